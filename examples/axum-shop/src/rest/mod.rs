//! REST, as the shop's pages and apps know it.

mod messages;
mod rooms;

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRef},
    routing::{get, post},
};
use chat_core::{Actor, Chat, Principal};
use example_support::nest::{Refused, not_found};

use crate::{auth, rooms::Shop};

/// Bytes of a request's body; the only one there is names a store.
const BODY_BYTES: usize = 16 * 1024;

impl FromRef<Shop> for Chat {
    fn from_ref(shop: &Shop) -> Self {
        shop.chat.clone()
    }
}

pub(crate) fn routes(shop: Shop) -> Router {
    Router::new()
        .route("/user/chat-room", post(rooms::open).get(rooms::mine))
        .route("/user/chat-room/{room}/messages", get(messages::of_buyer))
        .route("/user/chat-room/{room}/read", post(messages::read_by_buyer))
        .route("/seller/chat-room/store/{store}", get(rooms::of_store))
        .route("/seller/chat-room/{room}/messages", get(messages::of_seller))
        .route("/seller/chat-room/{room}/read", post(messages::read_by_seller))
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(shop)
}

/// The caller as a buyer, which every role may be.
fn buyer(shop: &Shop, principal: Principal) -> Actor {
    shop.chat.actor(principal)
}

/// The caller as a seller.
fn seller(shop: &Shop, principal: Principal) -> Result<Actor, Refused> {
    if auth::is_seller(&principal) {
        return Ok(shop.chat.actor(principal));
    }
    Err(Refused::forbidden("for sellers only"))
}
