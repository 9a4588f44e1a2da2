//! REST as clients of NestJS services know it: refusals are `{statusCode, message, error}`, and so is everything that the extractors
//! here refuse; and lists say in a header where they go on.

use std::fmt::Display;

use axum::{
    extract::{FromRef, FromRequest, FromRequestParts, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use chat_core::{
    Chat, Error, Principal,
    auth::{AuthError, Credentials},
};
use chat_gateway::Problem;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::json;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    status: StatusCode,
    message: String,
    retry_after_secs: Option<u64>,
}

impl Refused {
    /// With this status; `message` is for the client.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry_after_secs: None }
    }

    /// A field that is missing or wrong.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// The token allows it not.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// There is no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// Its status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // NestJS's validation answers what is wrong with a body's contents so.
        let status =
            if status == StatusCode::UNPROCESSABLE_ENTITY { StatusCode::BAD_REQUEST } else { status };
        let retry_after_secs = problem.retry_after_secs();
        Self { status, message: problem.message, retry_after_secs }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        if let Error::Backend { .. } = error {
            // The client is told no more than that it failed.
            tracing::warn!(error = %error.with_causes(), "a request failed");
        }
        Problem::from(error).into()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self { status, message, retry_after_secs } = self;
        let error = status.canonical_reason().unwrap_or("Error");
        let body = json!({ "statusCode": status.as_u16(), "message": message, "error": error });
        let mut response = (status, axum::Json(body)).into_response();
        if let Some(seconds) = retry_after_secs {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// A body of JSON.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        match axum::Json::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(wrong) if wrong.status() == StatusCode::UNPROCESSABLE_ENTITY => {
                Err(Refused::bad_request(wrong.body_text()))
            }
            Err(wrong) => Err(Refused::new(wrong.status(), wrong.body_text())),
        }
    }
}

/// The query.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        query.map(|query| Self(query.0)).map_err(|wrong| Refused::bad_request(wrong.body_text()))
    }
}

/// What stands in the path.
#[derive(Debug, Clone, Copy)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|path| Self(path.0)).map_err(|wrong| Refused::bad_request(wrong.body_text()))
    }
}

/// Who asks, by the token of `Authorization: Bearer`, checked by the chat that the state holds.
#[derive(Debug, Clone)]
pub struct Caller(pub Principal);

impl<S: Send + Sync> FromRequestParts<S> for Caller
where
    Chat: FromRef<S>,
{
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let chat = Chat::from_ref(state);
        let token = bearer(parts).ok_or(Error::Unauthenticated(AuthError::Missing))?;
        Ok(Self(chat.authenticate(&Credentials::token(token)).await?))
    }
}

fn bearer(parts: &Parts) -> Option<String> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

/// For [`Router::fallback`](axum::Router::fallback).
pub async fn not_found(request: Request) -> Refused {
    Refused::not_found(format!("Cannot {} {}", request.method(), request.uri().path()))
}

/// Where a list has more than was asked for, a header says where (RFC 8288): at the same path, `after` the `next` place.
pub fn link(path: &str, limit: usize, next: Option<impl Display>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let link = next.map(|next| {
        // A user's id may have characters that mean something in a URL, or in this header.
        let next = next.to_string();
        let next = utf8_percent_encode(&next, NON_ALPHANUMERIC);
        format!("<{path}?limit={limit}&after={next}>; rel=\"next\"").try_into()
    });
    if let Some(Ok(link)) = link {
        headers.insert(header::LINK, link);
    }
    headers
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, body::to_bytes, routing::post};
    use serde_json::Value;
    use tower::ServiceExt as _;

    use super::*;

    async fn answer(path: &str, body: &'static str) -> (u16, Value) {
        let add = async |Path(to): Path<u32>, Json(more): Json<u32>| {
            if more == 0 {
                return Err(Refused::from(Error::RateLimited {
                    retry_after: std::time::Duration::from_millis(1_500),
                }));
            }
            Ok(axum::Json(to + more))
        };
        let routes = Router::new().route("/add/{to}", post(add)).fallback(not_found);
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        let response = routes.oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        if status == 429 {
            assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        }
        (status, serde_json::from_slice(&to_bytes(response.into_body(), 4_096).await.unwrap()).unwrap())
    }

    #[test]
    fn a_link_holds_any_id() {
        let headers = link("/rooms", 2, Some("a&b=>c d%+"));
        assert_eq!(headers[header::LINK], "</rooms?limit=2&after=a%26b%3D%3Ec%20d%25%2B>; rel=\"next\"");
        assert!(link("/rooms", 2, None::<&str>).is_empty());
    }

    #[tokio::test]
    async fn refusals_have_the_form_of_nestjs() {
        assert_eq!(answer("/add/1", "2").await, (200, json!(3)));
        for (path, body, status, error) in [
            ("/add/x", "2", 400, "Bad Request"),
            ("/add/1", "\"no number\"", 400, "Bad Request"),
            ("/add/1", "{", 400, "Bad Request"),
            ("/add/1", "0", 429, "Too Many Requests"),
            ("/other", "2", 404, "Not Found"),
        ] {
            let (got, said) = answer(path, body).await;
            assert_eq!(
                (got, &said["statusCode"], &said["error"]),
                (status, &json!(status), &json!(error)),
                "{path} {body}"
            );
            assert!(said["message"].as_str().is_some_and(|message| !message.is_empty()));
        }
        assert_eq!(answer("/other", "2").await.1["message"], "Cannot POST /other");
    }
}
