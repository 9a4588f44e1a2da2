//! Ready-made routes for axum.

use chat_core::Chat;

use crate::GatewayConfig;

/// The routes of the WebSocket and of REST, without a prefix: nest them where they are to be.
#[must_use]
pub fn router(chat: Chat, config: GatewayConfig) -> ::axum::Router {
    let _ = (chat, config);
    ::axum::Router::new()
}
