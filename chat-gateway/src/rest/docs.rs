//! Documents for people and tools. They say nothing about anybody, so they need no token.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

use crate::json::ASYNCAPI;

/// The WebSocket protocol, as [registered](https://www.iana.org/assignments/media-types/application/vnd.aai.asyncapi+json).
const ASYNCAPI_TYPE: &str = "application/vnd.aai.asyncapi+json;version=3.0.0";

pub(super) async fn asyncapi() -> Response {
    ([(header::CONTENT_TYPE, ASYNCAPI_TYPE)], ASYNCAPI).into_response()
}
