//! What a client says of itself when it connects.

use std::fmt;

use axum::http::request::Parts;
use serde_json::Value;

/// The handshake of one socket.
pub struct Handshake<'a> {
    /// What the client gave as `auth`; null where it gave nothing.
    pub auth: &'a Value,
    /// The request by which the connection was opened: its headers and its address.
    pub request: &'a Parts,
}

impl<'a> Handshake<'a> {
    /// The token: of `auth.token`, else of the header `Authorization: Bearer`, else of the query's `token`.
    #[must_use]
    pub fn token(&self) -> Option<String> {
        let of_auth = self.auth.get("token").and_then(Value::as_str).map(str::to_owned);
        of_auth.or_else(|| self.bearer()).or_else(|| self.query("token"))
    }

    /// The token of the header `Authorization: Bearer`.
    #[must_use]
    pub fn bearer(&self) -> Option<String> {
        let value = self.request.headers.get("authorization")?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    }

    /// The first value of this name in the address.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        let query = self.request.uri.query()?;
        let found = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned())
    }
}

/// Without what may be secret.
impl fmt::Debug for Handshake<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").field("path", &self.request.uri.path()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use serde_json::json;

    use super::*;

    fn token(auth: &Value, header: Option<&str>, uri: &str) -> Option<String> {
        let mut request = Request::builder().uri(uri);
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Handshake { auth, request: &parts }.token()
    }

    #[test]
    fn a_token_is_found_wherever_clients_put_it() {
        let (auth, none) = (json!({ "token": "a" }), Value::Null);
        assert_eq!(token(&auth, Some("Bearer b"), "/?token=c").as_deref(), Some("a"));
        assert_eq!(token(&none, Some("bearer  b"), "/?token=c").as_deref(), Some("b"));
        assert_eq!(
            token(&json!({ "token": 7 }), Some("Basic b"), "/?x=1&token=c%20d").as_deref(),
            Some("c d")
        );
        assert_eq!(token(&none, Some("Bearer"), "/"), None);
    }

    #[test]
    fn debug_shows_no_token() {
        let (parts, ()) = Request::builder().uri("/p?token=secret").body(()).unwrap().into_parts();
        let auth = json!({ "token": "secret" });
        let shown = format!("{:?}", Handshake { auth: &auth, request: &parts });
        assert!(shown.contains("/p") && !shown.contains("secret"), "{shown}");
    }
}
