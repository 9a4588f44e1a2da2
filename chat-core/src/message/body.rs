//! What a message says, and within which bounds.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest body of a room that sets no limit of its own, in characters (Unicode scalar values).
pub const DEFAULT_MAX_BODY_CHARS: u32 = 1_000;

/// No room may set a greater limit than this many characters.
pub const MAX_BODY_CHARS: u32 = 65_536;

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// Plain text.
    Text(Arc<str>),
    /// A JSON value of the application's own shape.
    Json(JsonText),
    /// The message was deleted and what it said is no longer given out. Only found in what is read.
    Removed,
}

/// Checked JSON in the form its sender gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JsonText(Arc<str>);

impl JsonText {
    /// Checks that `text` is one JSON value.
    ///
    /// # Errors
    /// [`InvalidBody::NotJson`] otherwise.
    pub fn new(text: &str) -> Result<Self, InvalidBody> {
        let text = text.trim();
        serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|_| InvalidBody::NotJson)?;
        Ok(Self(text.into()))
    }

    /// The JSON.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for JsonText {
    type Error = InvalidBody;

    fn try_from(text: String) -> Result<Self, InvalidBody> {
        Self::new(&text)
    }
}

impl From<JsonText> for String {
    fn from(json: JsonText) -> Self {
        json.0.as_ref().to_owned()
    }
}

/// A body that no room takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InvalidBody {
    /// Nothing but white space.
    #[error("the body is blank")]
    Blank,
    /// Longer than the room allows.
    #[error("the body is longer than {max_chars} characters")]
    TooLong {
        /// The room's limit.
        max_chars: u32,
    },
    /// Within the room's limit, and yet larger than what carries messages to the log can take.
    #[error("the body is larger than can be carried")]
    TooLarge,
    /// U+0000 in a text: several stores cannot hold it. (JSON escapes it.)
    #[error("the body has a zero character")]
    ZeroCharacter,
    /// Not one JSON value.
    #[error("the body is not valid JSON")]
    NotJson,
    /// [`Body::Removed`] cannot be sent.
    #[error("a removed body cannot be sent")]
    Removed,
}

impl Body {
    /// A text body.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    /// Checks the body against a room's limit. JSON counts by the characters of its text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, max_chars: u32) -> Result<(), InvalidBody> {
        let text = match self {
            Self::Text(text) if text.trim().is_empty() => return Err(InvalidBody::Blank),
            Self::Text(text) if text.contains('\0') => return Err(InvalidBody::ZeroCharacter),
            Self::Text(text) => text,
            Self::Json(json) => json.as_str(),
            Self::Removed => return Err(InvalidBody::Removed),
        };
        // A text has at most as many characters as bytes, so most need no count.
        let max = max_chars as usize;
        if text.len() > max && text.chars().take(max + 1).count() > max {
            return Err(InvalidBody::TooLong { max_chars });
        }
        Ok(())
    }

    /// Length in bytes, for accounting.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Json(json) => json.as_str().len(),
            Self::Removed => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_counted_in_characters() {
        assert_eq!(Body::text(&"é".repeat(1_000)).check(1_000), Ok(()));
        assert_eq!(
            Body::text(&"é".repeat(1_001)).check(1_000),
            Err(InvalidBody::TooLong { max_chars: 1_000 })
        );
        assert_eq!(Body::text(" \n\t\u{3000}").check(1_000), Err(InvalidBody::Blank));
        assert_eq!(Body::Removed.check(1_000), Err(InvalidBody::Removed));
        assert_eq!(Body::text("a\0b").check(1_000), Err(InvalidBody::ZeroCharacter));
        assert_eq!(JsonText::new("{\"a\":"), Err(InvalidBody::NotJson));
        assert_eq!(JsonText::new(" {\"a\": 1} ").unwrap().as_str(), "{\"a\": 1}");
    }
}
