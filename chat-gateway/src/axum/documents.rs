//! Documents for people and tools. They say nothing about anybody, so they need no token.

use axum::{Router, http::header, routing::get};

use super::Gateway;
use crate::json::ASYNCAPI;

pub(super) fn routes() -> Router<Gateway> {
    Router::new().route("/asyncapi.json", get(asyncapi))
}

/// The document is for whoever can read JSON: with its [own type], browsers would save it and not show it.
///
/// [own type]: https://www.iana.org/assignments/media-types/application/vnd.aai.asyncapi+json
async fn asyncapi() -> ([(header::HeaderName, &'static str); 2], &'static str) {
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")], ASYNCAPI)
}
