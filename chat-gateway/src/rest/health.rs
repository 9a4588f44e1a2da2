use std::collections::BTreeMap;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::respond;
use crate::{Problem, axum::Gateway};

#[derive(Serialize)]
struct Part<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct Body<'a> {
    status: &'static str,
    parts: BTreeMap<&'a str, Part<'a>>,
}

const fn status(healthy: bool) -> &'static str {
    if healthy { "ok" } else { "failing" }
}

pub(super) async fn health(State(gateway): State<Gateway>) -> Response {
    let health = gateway.chat.health().await;
    let parts = health.parts.iter().map(|part| {
        let error = part.error.as_deref();
        (part.part, Part { status: status(error.is_none()), error })
    });
    let healthy = health.is_healthy();
    let body = Body { status: status(healthy), parts: parts.collect() };
    respond::json(if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &body)
}

pub(super) async fn metrics(State(gateway): State<Gateway>) -> Response {
    match &gateway.config.metrics {
        Some(render) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], render()).into_response()
        }
        None => Problem::new("not_found", "there are no metrics here").into_response(),
    }
}
