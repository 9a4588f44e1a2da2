//! Headers that the protocol wants on its answers.

use std::time::{Duration, SystemTime};

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
            ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ALLOW,
            CACHE_CONTROL, CONTENT_TYPE, COOKIE, EXPIRES, ORIGIN, SET_COOKIE, VARY,
        },
    },
    response::Response,
};

pub(super) const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=UTF-8");
pub(super) const JAVASCRIPT: HeaderValue = HeaderValue::from_static("application/javascript; charset=UTF-8");
pub(super) const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=UTF-8");
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=UTF-8");
pub(super) const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// A year, in seconds: how long an answer that does not change is kept.
const YEAR: Duration = Duration::from_secs(31_536_000);

/// An answer with a body of a kind.
pub(super) fn answer(status: StatusCode, kind: HeaderValue, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// The path is there, and takes other methods.
pub(super) fn method_not_allowed(allowed: &'static str) -> Response {
    let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// What a browser asks before it sends something to another origin.
pub(super) fn preflight(allowed: &'static str) -> Response {
    let mut response = empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(allowed));
    headers.insert(ACCESS_CONTROL_MAX_AGE, YEAR.as_secs().into());
    keep(headers);
    response
}

/// The answer may be kept for a year.
pub(super) fn keep(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000"));
    if let Ok(expires) = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now() + YEAR)) {
        headers.insert(EXPIRES, expires);
    }
}

/// The answer must not be kept, nor gathered on its way, which would hold up what is live.
pub(super) fn do_not_keep(headers: &mut HeaderMap) {
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-store, no-cache, no-transform, must-revalidate, max-age=0"),
    );
    // nginx: https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffering
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
}

/// Lets the page that asked read the answer.
pub(super) fn share(headers: &mut HeaderMap, request: &HeaderMap) {
    match request.get(ORIGIN) {
        Some(origin) => {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        None => {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
    }
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if let Some(asked) = request.get(ACCESS_CONTROL_REQUEST_HEADERS).filter(|asked| !asked.is_empty()) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
}

/// The cookie by which a balancer finds the session's process, given back as it came.
pub(super) fn set_cookie(headers: &mut HeaderMap, request: &HeaderMap) {
    let cookies = request.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let value = cookies
        .flat_map(|cookies| cookies.split(';'))
        .find_map(|cookie| cookie.trim().strip_prefix("JSESSIONID="))
        .unwrap_or("dummy");
    if let Ok(cookie) = HeaderValue::try_from(format!("JSESSIONID={value}; Path=/")) {
        headers.append(SET_COOKIE, cookie);
    }
}
