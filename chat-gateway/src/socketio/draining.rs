//! Clients that come while the server ends.

use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use chat_core::Chat;

/// Seconds.
const RETRY_AFTER: u64 = 1;

/// Sends clients away that open a transport while the chat [drains](Chat::drain): status 503, after which Socket.IO's own client comes back by
/// itself, to another server where a balancer knows of the end. Without it they are let wait, as with every
/// [`Refusal::Later`](super::Refusal::Later). Transports that are open already go on.
///
/// ```
/// # use chat_core::Chat;
/// # use chat_gateway::{Limits, socketio};
/// # fn router(chat: Chat) -> axum::Router {
/// let (layer, io) = socketio::layer(&Limits::new());
/// // …
/// axum::Router::new()
///     .layer(layer)
///     .layer(axum::middleware::from_fn_with_state(chat, socketio::refuse_while_draining))
/// # }
/// ```
///
/// # Cancel safety
/// A dropped call drops the request.
pub async fn refuse_while_draining(State(chat): State<Chat>, request: Request, next: Next) -> Response {
    if chat.is_draining() && opens_transport(request.uri().query().unwrap_or_default()) {
        let retry = [(header::RETRY_AFTER, RETRY_AFTER)];
        return (StatusCode::SERVICE_UNAVAILABLE, retry, "draining").into_response();
    }
    next.run(request).await
}

/// Every request of Engine.IO's names the version; those of a transport that is there name it, too.
fn opens_transport(query: &str) -> bool {
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    has("EIO") && !has("sid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_opens_a_transport_is_told_from_the_rest() {
        for (query, opens) in [
            ("EIO=4&transport=polling&t=abc", true),
            ("transport=websocket&EIO=4", true),
            ("EIO=4&transport=polling&sid=abc", false),
            ("sid=abc&EIO=4&transport=websocket", false),
            ("limit=3", false),
            ("", false),
        ] {
            assert_eq!(opens_transport(query), opens, "{query}");
        }
    }
}
