//! Frames to the client: <https://sockjs.github.io/sockjs-protocol/sockjs-protocol-0.3.3.html>, *Protocol and framing*.

use std::fmt::Write as _;

use super::Close;

/// Opens the session.
pub(super) const OPEN: &str = "o";

/// Nothing to say.
pub(super) const HEARTBEAT: &str = "h";

/// The messages as one frame.
pub(super) fn messages<'a>(messages: impl IntoIterator<Item = &'a str>) -> String {
    let mut frame = String::from("a[");
    for (i, message) in messages.into_iter().enumerate() {
        if i > 0 {
            frame.push(',');
        }
        push_json(&mut frame, message);
    }
    frame.push(']');
    frame
}

/// The end.
pub(super) fn close(close: &Close) -> String {
    let mut frame = format!("c[{},", close.code);
    push_json(&mut frame, &close.reason);
    frame.push(']');
    frame
}

/// A frame within a string of JavaScript, within a script of a page: `<` cannot end that script.
pub(super) fn in_script(frame: &str) -> String {
    let mut text = String::with_capacity(frame.len() + 16);
    push_json(&mut text, frame);
    if text.contains('<') { text.replace('<', "\\u003c") } else { text }
}

/// The text as JSON. Characters that browsers change on the way are escaped.
fn push_json(out: &mut String, text: &str) {
    // Text always becomes JSON.
    let json = serde_json::to_string(text).unwrap_or_default();
    if json.is_ascii() {
        out.push_str(&json);
        return;
    }
    for char in json.chars() {
        if matches!(char,
            '\u{200c}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{2060}'..='\u{206f}' | '\u{fff0}'..='\u{ffff}')
        {
            // Writing to memory does not fail.
            let _ = write!(out, "\\u{:04x}", u32::from(char));
        } else {
            out.push(char);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_browsers_change_is_escaped() {
        assert_eq!(messages(["  \0\n\r "]), r#"a["  \u0000\n\r "]"#);
        assert_eq!(
            messages(["a\u{200c}b\u{2028}\u{206f}", "\u{ffff}é😀"]),
            "a[\"a\\u200cb\\u2028\\u206f\",\"\\uffffé😀\"]"
        );
        assert_eq!(close(&Close::new(3000, "Go \"away\"!")), r#"c[3000,"Go \"away\"!"]"#);
    }

    #[test]
    fn no_message_ends_the_script_it_stands_in() {
        assert_eq!(in_script(r#"a["</script>"]"#), r#""a[\"\u003c/script>\"]""#);
    }

    proptest! {
        #[test]
        fn every_text_is_read_back(texts in prop::collection::vec(any::<String>(), 0..4)) {
            let frame = messages(texts.iter().map(String::as_str));
            let read: Vec<String> = serde_json::from_str(&frame[1..]).unwrap();
            prop_assert_eq!(&read, &texts);
            let script: String = serde_json::from_str(&in_script(&frame)).unwrap();
            prop_assert_eq!(script, frame);
        }
    }
}
