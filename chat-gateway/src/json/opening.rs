//! What the request that opens a connection says, for any server.

use chat_core::auth::Credentials;

use crate::Problem;

/// The WebSocket's subprotocol, confirmed to whoever asks for it in the header `Sec-WebSocket-Protocol`.
pub const SUBPROTOCOL: &str = "chat.v1";

/// The credentials of a header `Authorization: Bearer …`; `None` without one.
///
/// # Errors
/// The code `unauthenticated` if the header says something else.
pub fn bearer(authorization: Option<&str>) -> Result<Option<Credentials>, Problem> {
    let Some(value) = authorization else { return Ok(None) };
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            Ok(Some(Credentials::token(token.trim())))
        }
        _ => Err(Problem::new("unauthenticated", "the header must be `Authorization: Bearer …`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_holds_a_token_or_is_refused() {
        assert_eq!(bearer(None), Ok(None));
        assert_eq!(bearer(Some("bearer  a.b ")), Ok(Some(Credentials::token("a.b"))));
        for header in ["", "a.b", "Basic a", "Bearer", "Bearer  "] {
            assert_eq!(bearer(Some(header)).unwrap_err().code, "unauthenticated", "{header}");
        }
    }
}
