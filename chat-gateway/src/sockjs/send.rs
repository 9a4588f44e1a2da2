//! Requests that carry messages from the client.

use std::{borrow::Cow, sync::Arc};

use axum::{
    body::to_bytes,
    extract::Request,
    http::{StatusCode, header::CONTENT_TYPE},
    response::Response,
};
use bytes::Bytes;
use tokio::time::timeout;

use super::{
    headers::{PLAIN, answer, empty},
    payload::{self, BadPayload},
    service::Service,
    session::SessionEnded,
};

/// How such a request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Xhr,
    Jsonp,
}

pub(super) async fn send(service: &Arc<Service>, session: &str, kind: Kind, request: Request) -> Response {
    let is_form = request.headers().get(CONTENT_TYPE).is_some_and(|kind| {
        kind.to_str().is_ok_and(|kind| kind.trim_start().starts_with("application/x-www-form-urlencoded"))
    });
    let Some(core) = service.session(session) else {
        return answer(StatusCode::NOT_FOUND, PLAIN, "No such session");
    };
    // One request of a session is read after the other, however many come at once.
    let turn = match core.turn().await {
        Ok(Some(turn)) => turn,
        Ok(None) => return taken(kind),
        Err(SessionEnded) => return answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "Too slow"),
    };
    let read = to_bytes(request.into_body(), service.config.request_bytes);
    let body = match timeout(service.config.write_timeout, read).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return answer(StatusCode::PAYLOAD_TOO_LARGE, PLAIN, "Payload too large."),
        Err(_) => return answer(StatusCode::REQUEST_TIMEOUT, PLAIN, "Too slow"),
    };
    let messages = match kind {
        Kind::Jsonp if is_form => form(&body),
        Kind::Xhr | Kind::Jsonp => payload::messages(&body),
    };
    drop(body);
    let messages = match messages {
        Ok(messages) => messages,
        Err(bad) => return answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, bad.text()),
    };
    if turn.deliver(messages).await.is_err() {
        return answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "Too slow");
    }
    taken(kind)
}

fn taken(kind: Kind) -> Response {
    match kind {
        Kind::Xhr => {
            let mut response = empty(StatusCode::NO_CONTENT);
            // Firefox takes the missing body for XML otherwise.
            response.headers_mut().insert(CONTENT_TYPE, PLAIN);
            response
        }
        // Konqueror did not understand an answer without a body.
        Kind::Jsonp => answer(StatusCode::OK, PLAIN, "ok"),
    }
}

/// The field `d` of a form.
fn form(body: &Bytes) -> Result<Vec<String>, BadPayload> {
    let found = form_urlencoded::parse(body).find(|(name, _)| name == "d");
    let field = found.map_or(Cow::Borrowed(""), |(_, value)| value);
    payload::messages(field.as_bytes())
}
