//! The page: Swagger UI, out of this program.

use std::sync::Arc;

use axum::{
    Router,
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use utoipa_swagger_ui::{Config, SwaggerFile};

use crate::{Problem, axum::Gateway};

/// Scripts, styles and requests of this host alone. Pictures may also stand in the style sheet itself, as its arrows do.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn routes() -> Router<Gateway> {
    Router::new()
        // Its files are named relative to a folder. So is this answer: right under any prefix.
        .route("/docs", get(|| async { (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, "docs/")]) }))
        .route("/docs/", get(|| async { file("index.html") }))
        .route("/docs/{file}", get(|Path(name): Path<String>| async move { file(&name) }))
}

fn file(name: &str) -> Response {
    // Without a validator, which would send the document's address to somebody else's server.
    let config = Config::new(["../openapi.json"])
        .validator_url("none")
        .use_base_layout()
        .display_request_duration(true)
        .doc_expansion("list")
        .default_models_expand_depth(0);
    match utoipa_swagger_ui::serve(name, Arc::new(config)) {
        Ok(Some(SwaggerFile { bytes, content_type, .. })) => {
            let headers = [
                (header::CONTENT_TYPE, with_charset(content_type)),
                (header::CONTENT_SECURITY_POLICY, POLICY.to_owned()),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
                (header::REFERRER_POLICY, "no-referrer".to_owned()),
                (header::CACHE_CONTROL, "no-cache".to_owned()),
            ];
            (headers, bytes.into_owned()).into_response()
        }
        Ok(None) => Problem::new("not_found", "the page has no such file").into_response(),
        Err(_) => Problem::new("internal", "the page could not be written").into_response(),
    }
}

fn with_charset(kind: String) -> String {
    if kind.starts_with("text/") { format!("{kind}; charset=utf-8") } else { kind }
}
