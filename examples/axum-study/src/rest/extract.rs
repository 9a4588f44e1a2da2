//! What requests bring along.

use std::fmt;

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::{StatusCode, header, request::Parts},
};
use chat_core::{
    Actor,
    auth::{AuthError, Credentials},
};
use chat_gateway::Problem;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::{App, refused};
use crate::{settings::ServiceToken, wire::number};

/// Where other services show their token.
const SERVICE_TOKEN: &str = "x-internal-token";

/// A body of JSON; an empty one counts as `{}`.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let body = bytes::Bytes::from_request(request, app).await.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                return Problem::new("body_too_large", rejection.body_text());
            }
            Problem::invalid(rejection.body_text())
        })?;
        let body: &[u8] = if body.is_empty() { b"{}" } else { &body };
        let read = serde_json::from_slice(body);
        read.map(Self).map_err(|error| {
            let code = if error.is_data() { "invalid_request" } else { "malformed" };
            Problem::new(code, error.to_string())
        })
    }
}

/// The query.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let query = axum::extract::Query::from_request_parts(parts, app).await;
        query.map(|query| Self(query.0)).map_err(|rejection| Problem::invalid(rejection.body_text()))
    }
}

/// The number in the path.
pub(super) struct Id(pub(super) u64);

impl FromRequestParts<App> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let path = axum::extract::Path::<String>::from_request_parts(parts, app).await;
        let id = path.ok().and_then(|path| number(&path.0));
        id.map(Self).ok_or_else(|| Problem::invalid("the path has a number there"))
    }
}

/// Who asks, by the token of `Authorization: Bearer`.
pub(super) struct Caller(pub(super) Actor);

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let value = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = value
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty())
            .map(|(_, token)| token.trim())
            .ok_or_else(|| refused(AuthError::Missing.into()))?;
        let chat = app.studies.chat();
        let principal = chat.authenticate(&Credentials::token(token)).await.map_err(refused)?;
        Ok(Self(chat.actor(principal)))
    }
}

/// What lets other services in, as its digest: how long comparing takes says nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ServiceKey([u8; 32]);

impl ServiceKey {
    pub(crate) fn new(token: &ServiceToken) -> Self {
        Self::of(token.0.as_bytes())
    }

    fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }
}

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceKey(…)")
    }
}

/// Another service, by the header `X-Internal-Token`. A user's token is none.
pub(super) struct Service;

impl FromRequestParts<App> for Service {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let shown = parts.headers.get(SERVICE_TOKEN).map(|token| ServiceKey::of(token.as_bytes()));
        match shown {
            Some(shown) if shown == app.service => Ok(Self),
            Some(_) => Err(Problem::new("forbidden", "this is for services alone")),
            None => Err(Problem::new("unauthenticated", "this needs the header X-Internal-Token")),
        }
    }
}
