//! Guests: whoever gives a name gets a token for a user id of its own, and a place in the lobby.

#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use axum::{
    Json, Router,
    extract::{ConnectInfo, State, rejection::JsonRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use chat_core::{
    Actor, Chat, Clock as _, Error, MemberChange, MemberOutcome, NewRoom, Role, RoomId, SystemClock, UserId,
    auth::{Credentials, JwtClaims, JwtSigner, Revocation, RevocationScope},
};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock as _};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tracing::error;
use unicode_normalization::char::is_combining_mark;

use crate::settings::MAX_TOKEN_LIFETIME;

/// The room that every guest is in.
const LOBBY: &str = "lobby";

/// The longest name, in characters.
const MAX_NAME_CHARS: usize = 24;

/// New guests per minute from one address, after as many at once. Behind a proxy all share the proxy's address.
const GUESTS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(120).unwrap();

/// A token holds a little longer than it says: no two clocks are the same.
const LEEWAY: Duration = Duration::from_secs(60);

/// Past this many addresses those that could have their full allowance again are forgotten.
const REMEMBERED_ADDRESSES: usize = 10_000;

/// Tries to find a user id that is not taken: with 24 random bits even the second is hardly ever needed.
const TRIES: usize = 8;

/// Lets guests in.
pub(crate) struct Guests {
    chat: Chat,
    signer: JwtSigner,
    lobby: RoomId,
    service: Actor,
    limiter: DefaultKeyedRateLimiter<IpAddr>,
}

#[derive(Deserialize)]
struct NewGuest {
    name: String,
}

/// A guest's way into the chat.
#[derive(Serialize)]
struct Guest {
    token: String,
    user: UserId,
    name: String,
}

impl Guests {
    /// Creates the lobby.
    pub(crate) async fn open(
        chat: Chat,
        signer: JwtSigner,
        max_body_chars: u32,
    ) -> anyhow::Result<Arc<Self>> {
        let lobby = RoomId::new(LOBBY)?;
        let service = chat.system(UserId::new("service")?);
        let mut room = NewRoom::new(lobby.clone()).with_max_body_chars(max_body_chars);
        room.metadata.insert("name".to_owned(), json!("Lobby"));
        service.create_room(room).await.context("the lobby could not be created")?;
        let limiter = RateLimiter::keyed(Quota::per_minute(GUESTS_PER_MINUTE));
        Ok(Arc::new(Self { chat, signer, lobby, service, limiter }))
    }

    /// `POST /guest`, `DELETE /guest` and `GET /guest/renew`.
    pub(crate) fn routes(self: Arc<Self>) -> Router {
        Router::new()
            .route("/guest", post(create).delete(leave))
            .route("/guest/renew", get(renew))
            .with_state(self)
    }

    async fn create(&self, name: &str) -> Result<Guest, Refusal> {
        let name = check_name(name)?;
        for _ in 0..TRIES {
            let user = user_id(name)?;
            // Whoever has this id already would be one and the same user, so it must be a new one.
            if self.enter_lobby(&user).await? {
                return self.guest(user, name);
            }
        }
        Err(Refusal::Busy)
    }

    async fn renew(&self, token: &str) -> Result<Guest, Refusal> {
        let principal = self.chat.authenticate(&Credentials::token(token)).await?;
        let name = principal.claims.get("name").and_then(|name| name.as_str());
        // After a restart with the same secret the token still holds, but the lobby is a new one.
        self.enter_lobby(&principal.user).await?;
        self.guest(principal.user.clone(), name.unwrap_or(principal.user.as_str()))
    }

    /// Withdraws every token that the guest has: sessions with them end on every process.
    async fn leave(&self, token: &str) -> Result<(), Refusal> {
        let user = self.chat.authenticate(&Credentials::token(token)).await?.user;
        // For as long as any of them could hold, also one of an earlier run with another lifetime, and one that is made right now.
        let until = SystemClock.now().after(MAX_TOKEN_LIFETIME + LEEWAY);
        Ok(self.chat.revoke(Revocation { user, scope: RevocationScope::IssuedBefore(until), until }).await?)
    }

    /// False if the user is or was a member: the version lets this be done once, so nobody who was removed gets back in.
    async fn enter_lobby(&self, user: &UserId) -> Result<bool, Refusal> {
        let change = MemberChange::add(user.clone(), Role::Member).with_version(1);
        let outcome = self.service.change_member(&self.lobby, change).await?;
        Ok(matches!(outcome, MemberOutcome::Added(_)))
    }

    fn guest(&self, user: UserId, name: &str) -> Result<Guest, Refusal> {
        let token = self.signer.sign(&JwtClaims::new(user.clone()).with_claim("name", name))?;
        Ok(Guest { token, user, name: name.to_owned() })
    }

    /// Counts a new guest of this address, or says how long it has to wait.
    fn may_create(&self, address: IpAddr) -> Result<(), Duration> {
        if self.limiter.len() > REMEMBERED_ADDRESSES {
            self.limiter.retain_recent();
        }
        let wait = |refused: governor::NotUntil<_>| refused.wait_time_from(self.limiter.clock().now());
        self.limiter.check_key(&address).map_err(wait)
    }
}

async fn create(
    State(guests): State<Arc<Guests>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    body: Result<Json<NewGuest>, JsonRejection>,
) -> Result<Response, Refusal> {
    guests.may_create(address.ip()).map_err(Refusal::TooMany)?;
    let Json(NewGuest { name }) = body?;
    Ok((StatusCode::CREATED, not_stored(guests.create(&name).await?)).into_response())
}

async fn renew(State(guests): State<Arc<Guests>>, headers: HeaderMap) -> Result<Response, Refusal> {
    Ok(not_stored(guests.renew(bearer(&headers)?).await?).into_response())
}

async fn leave(State(guests): State<Arc<Guests>>, headers: HeaderMap) -> Result<StatusCode, Refusal> {
    guests.leave(bearer(&headers)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (_, token) = authorization
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .ok_or(Refusal::Unauthenticated)?;
    Ok(token.trim())
}

/// A token belongs in no cache.
fn not_stored(guest: Guest) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], Json(guest))
}

/// The name as it is kept: 1 to 24 letters with their marks, digits, spaces, `-` and `_`, of any script.
fn check_name(name: &str) -> Result<&str, Refusal> {
    let name = name.trim();
    // Many scripts write part of their vowels as marks on a letter.
    let allowed = |c: char| c.is_alphanumeric() || is_combining_mark(c) || matches!(c, ' ' | '-' | '_');
    if name.is_empty() || name.chars().count() > MAX_NAME_CHARS || !name.chars().all(allowed) {
        return Err(Refusal::Name);
    }
    Ok(name)
}

/// The name in form encoding and six random hexadecimal digits, such as `Ann+Lee-3f9a21`: ids are ASCII, and whoever sees
/// one can read the name in it, whatever its script.
fn user_id(name: &str) -> Result<UserId, Refusal> {
    let mut random = [0; 3];
    getrandom::fill(&mut random).map_err(Refusal::internal)?;
    let [a, b, c] = random;
    let name: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    UserId::new(&format!("{name}-{a:02x}{b:02x}{c:02x}")).map_err(Refusal::internal)
}

/// Why somebody does not get in.
#[derive(Debug)]
enum Refusal {
    Malformed,
    NoJson,
    TooLarge,
    Name,
    Unauthenticated,
    /// For so long.
    TooMany(Duration),
    Busy,
    /// Without Redis nothing is withdrawn.
    Unsupported,
    Internal,
}

impl Refusal {
    /// The cause is for the log, not for the guest.
    fn internal(error: impl std::error::Error + 'static) -> Self {
        error!(error = &error as &dyn std::error::Error, "a guest could not be let in");
        Self::Internal
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Unauthenticated(_) => Self::Unauthenticated,
            Error::Unsupported { .. } => Self::Unsupported,
            error if error.is_retryable() => Self::Busy,
            error => Self::internal(error),
        }
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        match rejection.status() {
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::NoJson,
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            _ => Self::Malformed,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code, detail) = match &self {
            Self::Malformed => {
                (StatusCode::BAD_REQUEST, "malformed", "send JSON such as {\"name\":\"Ann\"}".to_owned())
            }
            Self::NoJson => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "a body needs Content-Type: application/json".to_owned(),
            ),
            Self::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "the request is too large".to_owned())
            }
            Self::Name => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid_name",
                format!("a name is 1 to {MAX_NAME_CHARS} letters, digits, spaces, - and _"),
            ),
            Self::Unauthenticated => {
                (StatusCode::UNAUTHORIZED, "unauthenticated", "the token does not hold".to_owned())
            }
            Self::TooMany(_) => (
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limited",
                "too many new guests from this address, try again later".to_owned(),
            ),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", "try again".to_owned()),
            Self::Unsupported => (
                StatusCode::NOT_IMPLEMENTED,
                "unsupported",
                "this server withdraws no tokens: it has no Redis".to_owned(),
            ),
            Self::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal", "something went wrong".to_owned())
            }
        };
        let title = status.canonical_reason();
        let mut problem =
            json!({ "title": title, "status": status.as_u16(), "code": code, "detail": detail });
        problem["retryable"] = matches!(self, Self::TooMany(_) | Self::Busy).into();
        let headers =
            [(header::CONTENT_TYPE, "application/problem+json"), (header::CACHE_CONTROL, "no-store")];
        let mut response = (status, headers, problem.to_string()).into_response();
        let headers = response.headers_mut();
        match self {
            // https://www.rfc-editor.org/rfc/rfc6750#section-3
            Self::Unauthenticated => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            // Whole seconds, rounded up, so that nobody comes too early.
            Self::TooMany(wait) => {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                headers.insert(header::RETRY_AFTER, seconds.into());
            }
            _ => {}
        }
        response
    }
}
