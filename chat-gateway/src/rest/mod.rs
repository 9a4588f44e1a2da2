//! The protocol's lists and commands under plain HTTP.

mod extract;
mod health;
mod limit;
mod members;
mod message;
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
    routing::{MethodRouter, get},
};

pub(crate) use self::extract::bearer;
use crate::{GatewayConfig, Problem, axum::Gateway};

/// The router and the document, both made of the same table: a path, and a handler for each of its methods. What is
/// `beside` is in the document, and its own module puts it into the router.
macro_rules! table {
    (
        $($path:literal => { $($method:ident: $($handler:ident)::+),+ $(,)? })+
        beside $($beside_path:literal => { $beside_method:ident: $($beside:ident)::+ })+
    ) => {
        fn table() -> Router<Gateway> {
            Router::new()$(.route($path, MethodRouter::new()$(.$method($($handler)::+))+))+
        }

        #[cfg(feature = "openapi")]
        mod described {
            use super::*;

            #[derive(Debug, utoipa::OpenApi)]
            #[openapi(paths($($($($handler)::+),+),+, $($($beside)::+),+))]
            pub(crate) struct Operations;

            /// The path and the method of every route.
            #[cfg(test)]
            pub(crate) const ROUTES: &[(&str, &str)] = &[
                $($(($path, stringify!($method))),+),+,
                $(($beside_path, stringify!($beside_method))),+
            ];
        }
    };
}

table! {
    "/rooms" => { get: rooms::list, post: rooms::create }
    "/rooms/{room}" => { get: rooms::show, patch: rooms::update }
    "/rooms/{room}/members" => { get: members::list }
    "/rooms/{room}/members/{user}" => { put: members::put, delete: members::remove }
    "/rooms/{room}/messages" => { get: messages::page, post: messages::send }
    "/rooms/{room}/messages/{message}" => { patch: message::edit, delete: message::delete }
    "/rooms/{room}/messages/{message}/reactions/{key}" => {
        put: message::add_reaction,
        delete: message::remove_reaction,
    }
    "/rooms/{room}/read" => { get: read::markers, put: read::mark }
    "/rooms/{room}/unread" => { get: read::unread }
    "/search" => { get: search::search }
    "/presence" => { get: presence::presence }
    "/health" => { get: health::health }
    // Not compressed, as everything here is.
    beside "/events" => { get: crate::axum::events::events }
    // Unless the application gives metrics, the path is its own.
    "/metrics" => { get: health::metrics }
}

#[cfg(feature = "openapi")]
pub(crate) use self::described::Operations;
#[cfg(all(feature = "openapi", test))]
pub(crate) use self::described::ROUTES;

pub(crate) fn routes(config: &GatewayConfig) -> Router<Gateway> {
    let mut routes = table();
    if config.metrics.is_some() {
        routes = routes.route("/metrics", get(health::metrics));
    }
    #[cfg(feature = "openapi")]
    let routes = if config.openapi { routes.merge(crate::document::routes()) } else { routes };
    routes.layer(DefaultBodyLimit::max(config.limits.frame_bytes))
}

pub(crate) async fn not_found(uri: Uri) -> Problem {
    Problem::new("not_found", format!("there is nothing at {}", uri.path()))
}

pub(crate) async fn method_not_allowed() -> Problem {
    Problem::new("method_not_allowed", "this resource has no such method")
}
