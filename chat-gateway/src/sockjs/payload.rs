//! Messages from the client: an array of JSON strings.

/// Why a payload is refused, in the protocol's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadPayload {
    /// Nothing, or JSON that is no array of strings.
    Expected,
    /// No JSON.
    Broken,
}

impl BadPayload {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Expected => "Payload expected.",
            Self::Broken => "Broken JSON encoding.",
        }
    }
}

/// The messages of a request's body.
pub(super) fn messages(payload: &[u8]) -> Result<Vec<String>, BadPayload> {
    if payload.is_empty() {
        return Err(BadPayload::Expected);
    }
    let text = str::from_utf8(payload).map_err(|_| BadPayload::Broken)?;
    read(text)
}

/// The messages of a WebSocket's frame: an array, one message alone, or nothing at all.
pub(super) fn frame_messages(text: &str) -> Result<Vec<String>, BadPayload> {
    match text.trim_start().as_bytes().first() {
        None => Ok(Vec::new()),
        Some(b'"') => read(&format!("[{text}]")),
        Some(_) => read(text),
    }
}

fn read(text: &str) -> Result<Vec<String>, BadPayload> {
    let error = match serde_json::from_str(text) {
        Ok(messages) => return Ok(messages),
        Err(error) => error,
    };
    if error.is_data() {
        return Err(BadPayload::Expected);
    }
    let repaired = without_lone_surrogates(text).ok_or(BadPayload::Broken)?;
    serde_json::from_str(&repaired).map_err(|_| BadPayload::Broken)
}

/// With U+FFFD for each escape that is half of a surrogate pair; `None` if there is none.
fn without_lone_surrogates(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut replaced = false;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match (escape(rest), rest.get(6..).and_then(escape)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                replaced = true;
                out.push('\u{fffd}');
                rest = &rest[6..];
                continue;
            }
            (Some(_), _) => 6,
            // The backslash and what it escapes, which is one character.
            (None, _) => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out.push_str(rest);
    replaced.then_some(out)
}

/// The number of an escape such as `\u12ab` at the text's beginning.
fn escape(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn arrays_of_strings_are_messages() {
        for (payload, expected) in [
            (r#"["a","b"]"#, Ok(vec!["a", "b"])),
            ("[]", Ok(vec![])),
            ("", Err(BadPayload::Expected)),
            (r#"{"a":1}"#, Err(BadPayload::Expected)),
            (r#""a""#, Err(BadPayload::Expected)),
            ("[1]", Err(BadPayload::Expected)),
            (r#"["x"#, Err(BadPayload::Broken)),
            (r#"["\q"]"#, Err(BadPayload::Broken)),
        ] {
            let expected = expected.map(|texts| texts.into_iter().map(str::to_owned).collect());
            assert_eq!(messages(payload.as_bytes()), expected, "{payload}");
        }
        assert_eq!(messages(b"[\"\xff\"]"), Err(BadPayload::Broken));
    }

    #[test]
    fn a_websocket_may_send_one_message_alone() {
        assert_eq!(frame_messages(""), Ok(vec![]));
        assert_eq!(frame_messages("[]"), Ok(vec![]));
        assert_eq!(frame_messages(r#" "a""#), Ok(vec!["a".to_owned()]));
        assert_eq!(frame_messages(r#""a","b""#), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(frame_messages(r#"["a"#), Err(BadPayload::Broken));
    }

    #[test]
    fn half_a_surrogate_pair_is_replaced() {
        for (payload, expected) in [
            (r#"["\ud83d\ude00"]"#, "😀"),
            (r#"["\ud83d"]"#, "\u{fffd}"),
            (r#"["\ude00\ud83d\ude00\ud83dx"]"#, "\u{fffd}😀\u{fffd}x"),
            (r#"["\\ud83d\ud83d\\"]"#, "\\ud83d\u{fffd}\\"),
        ] {
            assert_eq!(messages(payload.as_bytes()), Ok(vec![expected.to_owned()]), "{payload}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_answered(bytes in prop::collection::vec(any::<u8>(), 0..64), text in r#"(\["?|\\u?|[dD][89a-f]|"|é){0,40}"#) {
            let _ = messages(&bytes);
            let _ = messages(text.as_bytes());
            let _ = frame_messages(&text);
        }
    }
}
