//! The document as a route.

use axum::{
    Router,
    extract::OriginalUri,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};

use super::document_at;
use crate::{Problem, axum::Gateway};

const DOCUMENT: &str = "/openapi.json";

/// `/openapi.json`, and `/docs` where that page is compiled in.
pub(crate) fn routes() -> Router<Gateway> {
    let routes = Router::new().route(DOCUMENT, get(serve));
    #[cfg(feature = "docs")]
    let routes = routes.merge(super::page::routes());
    routes
}

/// Names the prefix under which it was asked for, so that it is right wherever the routes are nested.
async fn serve(OriginalUri(uri): OriginalUri) -> Response {
    let prefix = uri.path().strip_suffix(DOCUMENT).unwrap_or_default();
    let base = if prefix.is_empty() { "/" } else { prefix };
    match document_at(base).to_json() {
        Ok(json) => {
            let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")];
            (headers, json).into_response()
        }
        Err(_) => Problem::new("internal", "the document could not be written").into_response(),
    }
}
