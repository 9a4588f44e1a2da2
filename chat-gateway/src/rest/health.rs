use std::collections::BTreeMap;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::respond;
#[cfg(feature = "openapi")]
use crate::document::{MayBeOff, values};
use crate::{Problem, axum::Gateway};

/// One of the parts behind the chat.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ChatHealthPart))]
struct Part<'a> {
    /// Whether it works.
    #[cfg_attr(feature = "openapi", schema(value_type = values::Health))]
    status: &'static str,
    /// What is wrong with it; absent where nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    error: Option<&'a str>,
}

/// How the server is.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ChatHealth))]
struct Body<'a> {
    /// Whether all of it works.
    #[cfg_attr(feature = "openapi", schema(value_type = values::Health))]
    status: &'static str,
    /// By the part's name, such as `log`.
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, Part<'static>>))]
    parts: BTreeMap<&'a str, Part<'a>>,
}

const fn status(healthy: bool) -> &'static str {
    if healthy { "ok" } else { "failing" }
}

/// Whether it works
///
/// For load balancers: needs no token.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/health", operation_id = "chatHealth", tag = "Chat operation",
    security(()),
    responses(
        (status = 200, description = "All of it works.", body = Body<'static>),
        (status = 503, description = "Some part does not.", body = Body<'static>),
    ),
))]
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

/// Metrics
///
/// Prometheus text, where the application turned it on. Needs no token.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/metrics", operation_id = "chatMetrics", tag = "Chat operation",
    security(()),
    responses(
        (status = 200, description = "What was measured.", body = String, content_type = "text/plain"),
        MayBeOff,
    ),
))]
pub(super) async fn metrics(State(gateway): State<Gateway>) -> Response {
    match &gateway.config.metrics {
        Some(render) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], render()).into_response()
        }
        None => Problem::new("not_found", "there are no metrics here").into_response(),
    }
}
