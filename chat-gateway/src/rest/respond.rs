use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::Problem;

/// A JSON body that nobody keeps: every answer depends on who asks.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => {
            let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
            (status, headers, body).into_response()
        }
        Err(_) => Problem::new("internal", "the answer could not be written").into_response(),
    }
}

pub(super) fn ok(body: &impl Serialize) -> Response {
    json(StatusCode::OK, body)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        crate::observe::error(self.code);
        let status = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers =
            [(header::CONTENT_TYPE, "application/problem+json"), (header::CACHE_CONTROL, "no-store")];
        let mut response = (status, headers, self.to_json()).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            // https://www.rfc-editor.org/rfc/rfc6750#section-3
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::UPGRADE_REQUIRED {
            // https://www.rfc-editor.org/rfc/rfc9110#section-15.5.22: to what, and https://www.rfc-editor.org/rfc/rfc6455#section-4.4
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        if let Some(seconds) = self.retry_after_secs() {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
