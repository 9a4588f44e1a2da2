//! REST, as the system's clients know it.

mod auth;
mod client;
mod members;
mod messages;
mod rooms;

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRef},
    http::HeaderName,
    routing::{get, post},
};
use chat_core::{
    Chat,
    auth::JwtSigner,
    rate_limit::{LocalRateLimiter, Quota, RateLimits},
};
use example_support::nest::{Refused, not_found};

use crate::{accounts::Accounts, passwords::Passwords, settings::GatewaySettings};

/// Bytes of a request's body; the largest there is names a room.
const BODY_BYTES: usize = 16 * 1024;
/// Passwords that one client may try for one address: one a second, so many at once after a pause.
const TRIES: Quota = Quota::new(1, 10);
/// And all clients together: nobody alone comes near it, so that nobody alone keeps others from logging in there.
const TRIES_OF_ALL: Quota = Quota::new(10, 200);
/// And one client, whatever the addresses: far fewer than are hashed in a second, so that nobody alone takes all places.
const TRIES_OF_CLIENT: Quota = Quota::new(5, 30);

/// What every request has at hand. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    chat: Chat,
    accounts: Accounts,
    passwords: Passwords,
    signer: JwtSigner,
    token_lifetime: Duration,
    tries: Arc<LocalRateLimiter>,
    address_header: Option<HeaderName>,
}

impl Group {
    pub(crate) fn new(chat: Chat, accounts: Accounts, settings: &GatewaySettings) -> anyhow::Result<Self> {
        let is_on = settings.rate_limits;
        let tries = RateLimits::unlimited().with_user_sends(is_on.then_some(TRIES_OF_CLIENT));
        let tries = tries.with_user_signals(is_on.then_some(TRIES));
        let tries = tries.with_user_reads(is_on.then_some(TRIES_OF_ALL));
        Ok(Self {
            chat,
            accounts,
            passwords: Passwords::new()?,
            signer: settings.tokens.signer.clone(),
            token_lifetime: settings.token_lifetime,
            tries: Arc::new(LocalRateLimiter::new(&tries)),
            address_header: settings.address_header.clone(),
        })
    }
}

impl FromRef<Group> for Chat {
    fn from_ref(group: &Group) -> Self {
        group.chat.clone()
    }
}

pub(crate) fn routes(group: Group) -> Router {
    Router::new()
        .route("/auth/register", post(auth::register))
        .route("/auth/login", post(auth::login))
        .route("/rooms", post(rooms::create).get(rooms::mine))
        .route("/rooms/{room}/join", post(members::join))
        .route("/rooms/{room}/members", get(members::list))
        .route("/rooms/{room}/messages", get(messages::list))
        .route("/rooms/{room}/read", post(messages::read))
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(group)
}

/// How many of a list are asked for: `most` at most, whatever is asked.
fn limit(asked: Option<u64>, default: usize, most: usize) -> Result<usize, Refused> {
    let Some(asked) = asked else { return Ok(default) };
    let asked = NonZeroU64::new(asked).ok_or_else(|| Refused::bad_request("limit begins with 1"))?;
    Ok(usize::try_from(asked.get()).unwrap_or(most).min(most))
}
