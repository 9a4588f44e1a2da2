//! What requests bring along; whatever is wrong with it is answered with a [`Problem`].

use axum::{
    extract::{
        FromRequest, FromRequestParts, Path, Query, Request,
        rejection::{BytesRejection, PathRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use bytes::Bytes;
use chat_core::{Actor, auth::Credentials};
use serde::de::DeserializeOwned;

use crate::{Problem, axum::Gateway, json};

/// The credentials of an `Authorization: Bearer …` header; `None` without one.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<Credentials>, Problem> {
    // What is no text is no token either.
    json::bearer(headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default()))
}

/// Who asks.
pub(super) struct Caller(pub(super) Actor);

impl FromRequestParts<Gateway> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, gateway: &Gateway) -> Result<Self, Problem> {
        let credentials = bearer(&parts.headers)?.unwrap_or(Credentials::none());
        let principal = gateway.chat.authenticate(&credentials).await?;
        Ok(Self(gateway.chat.actor(principal)))
    }
}

/// The parts of the path.
#[derive(FromRequestParts)]
#[from_request(via(Path), rejection(Problem))]
pub(super) struct Segments<T>(pub(super) T);

/// The parts of the query.
#[derive(FromRequestParts)]
#[from_request(via(Query), rejection(Problem))]
pub(super) struct Params<T>(pub(super) T);

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::invalid(rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::invalid(rejection.body_text())
    }
}

fn unread(rejection: &BytesRejection, max_bytes: usize) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::new("body_too_large", format!("a body has at most {max_bytes} bytes"));
    }
    Problem::invalid(rejection.body_text())
}

/// A JSON body, unread; an empty one counts as `{}`.
pub(super) struct JsonBody(Bytes);

impl JsonBody {
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let body: &[u8] = if self.0.is_empty() { b"{}" } else { &self.0 };
        // serde would also take an array for a struct.
        let first = body.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
        if matches!(first, Some(b'[')) {
            return Err(Problem::invalid("the body is one JSON object"));
        }
        let mut text = serde_json::Deserializer::from_slice(body);
        let read = serde_path_to_error::deserialize(&mut text).map_err(|error| {
            let path = error.path().to_string();
            let error = error.into_inner();
            match (error.is_data(), path.as_str()) {
                (false, _) => Problem::new("malformed", error.to_string()),
                // A field that is missing is named in the text itself.
                (true, ".") => Problem::invalid(error.to_string()),
                (true, field) => Problem::invalid(format!("`{field}`: {error}")),
            }
        })?;
        text.end().map_err(|error| Problem::new("malformed", error.to_string()))?;
        Ok(read)
    }
}

impl FromRequest<Gateway> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, gateway: &Gateway) -> Result<Self, Problem> {
        let content_type = request.headers().get(header::CONTENT_TYPE).map(|value| value.as_bytes().to_vec());
        let body = Bytes::from_request(request, gateway).await;
        let body = body.map_err(|rejection| unread(&rejection, gateway.config.limits.frame_bytes))?;
        let is_json =
            content_type.as_deref().and_then(|value| std::str::from_utf8(value).ok()).is_some_and(|value| {
                let kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
                kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
            });
        if !body.is_empty() && !is_json {
            return Err(Problem::new(
                "unsupported_media_type",
                "a body needs Content-Type: application/json",
            ));
        }
        Ok(Self(body))
    }
}
