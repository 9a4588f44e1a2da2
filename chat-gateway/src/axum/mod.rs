//! Ready-made routes for axum: the WebSocket, the event stream and REST.

#[cfg(feature = "compression")]
mod compress;
mod documents;
pub(crate) mod events;
mod gathered;
pub(crate) mod origin;
mod socket;

use std::sync::Arc;

use chat_core::Chat;

use crate::{GatewayConfig, rest};

/// What every route has at hand.
#[derive(Debug, Clone)]
pub(crate) struct Gateway {
    pub(crate) chat: Chat,
    pub(crate) config: Arc<GatewayConfig>,
}

/// The routes of the WebSocket (`/ws`), of the event stream (`/events`), of REST and of the protocol's document
/// (`/asyncapi.json`), without a prefix: nest them where they are to be.
///
/// ```
/// # fn routes(chat: chat_core::Chat) -> axum::Router {
/// axum::Router::new().nest("/chat", chat_gateway::router(chat, chat_gateway::GatewayConfig::new()))
/// # }
/// ```
pub fn router(chat: Chat, config: GatewayConfig) -> ::axum::Router {
    let gateway = Gateway { chat, config: Arc::new(config) };
    let rest = rest::routes(&gateway.config).merge(documents::routes());
    #[cfg(feature = "compression")]
    let rest = compress::compressed(rest, &gateway.config);
    ::axum::Router::new()
        .route("/ws", ::axum::routing::get(socket::upgrade))
        .route("/events", ::axum::routing::get(events::events))
        .merge(rest)
        .fallback(rest::not_found)
        .method_not_allowed_fallback(rest::method_not_allowed)
        .with_state(gateway)
}
