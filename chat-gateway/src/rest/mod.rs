//! The protocol's lists and commands under plain HTTP.

mod extract;
mod health;
mod members;
mod messages;
mod presence;
mod read;
mod respond;
mod rooms;
mod search;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::Uri,
    routing::{get, put},
};

pub(crate) use self::extract::bearer;
use crate::{GatewayConfig, Problem, axum::Gateway};

pub(crate) fn routes(config: &GatewayConfig) -> Router<Gateway> {
    let mut routes = Router::new()
        .route("/rooms", get(rooms::list).post(rooms::create))
        .route("/rooms/{room}", get(rooms::show).patch(rooms::update))
        .route("/rooms/{room}/members", get(members::list))
        .route("/rooms/{room}/members/{user}", put(members::put).delete(members::remove))
        .route("/rooms/{room}/messages", get(messages::page).post(messages::send))
        .route("/rooms/{room}/read", get(read::markers).put(read::mark))
        .route("/rooms/{room}/unread", get(read::unread))
        .route("/search", get(search::search))
        .route("/presence", get(presence::presence))
        .route("/health", get(health::health));
    if config.metrics.is_some() {
        routes = routes.route("/metrics", get(health::metrics));
    }
    routes.layer(DefaultBodyLimit::max(config.limits.frame_bytes))
}

pub(crate) async fn not_found(uri: Uri) -> Problem {
    Problem::new("not_found", format!("there is nothing at {}", uri.path()))
}

pub(crate) async fn method_not_allowed() -> Problem {
    Problem::new("method_not_allowed", "this resource has no such method")
}
