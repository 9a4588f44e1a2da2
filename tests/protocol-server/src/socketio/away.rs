//! A chat behind which something is not there for a while.

use std::{
    io,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use chat_core::{
    Auth, Backend, Chat, Error, Result, Retry, StoredMessage, UserId,
    auth::{AuthError, Credentials, Principal},
};
use chat_gateway::{
    GatewayConfig, Limits, Problem,
    socketio::{self, Answer, Asked, Dialect, Done, Emit, Request, socketioxide::SocketIo},
};
use serde_json::json;

/// A chat on `/away`, whose tokens say until when nobody can be looked up: milliseconds since 1970.
pub(super) fn mount(io: &SocketIo, limits: Limits) -> anyhow::Result<()> {
    let chat = Chat::builder().memory().auth(Away).build()?;
    socketio::mount(io, chat, Greeting, GatewayConfig::new().with_limits(limits));
    Ok(())
}

#[derive(Debug)]
struct Away;

#[async_trait]
impl Backend for Away {
    fn name(&self) -> &'static str {
        "away"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Auth for Away {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal> {
        let token = credentials.token.as_ref().ok_or(AuthError::Missing)?;
        let until = Duration::from_millis(token.expose().parse().map_err(|_| AuthError::Malformed)?);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if now < until {
            let away = io::Error::from(io::ErrorKind::ConnectionRefused);
            return Err(Error::backend("users", "authenticate", Retry::Later, away));
        }
        Ok(Principal::new(UserId::new("somebody").map_err(|_| AuthError::Malformed)?))
    }

    async fn revalidate(&self, _: &Principal) -> Result<()> {
        Ok(())
    }
}

/// Answers `hello`.
#[derive(Debug)]
struct Greeting;

impl Dialect for Greeting {
    fn namespace(&self) -> &str {
        "/away"
    }

    fn request(&self, asked: &Asked<'_>) -> std::result::Result<Request, Problem> {
        if asked.event == "hello" { Ok(Request::Alive) } else { Err(asked.unknown()) }
    }

    fn answer(&self, _: &Asked<'_>, done: std::result::Result<Done, Problem>) -> Answer {
        Answer::Ack(json!(done.is_ok()))
    }

    fn entry(&self, _: &StoredMessage) -> Option<Emit> {
        None
    }
}
