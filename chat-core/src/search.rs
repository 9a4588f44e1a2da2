//! Full text over the rooms a user may read.

use async_trait::async_trait;

use crate::{Backend, Error, MessageId, Result, RoomId, StoredMessage, UserId};

/// What to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SearchQuery {
    /// The reader: only rooms that this user is a member of now are searched.
    pub user: UserId,
    /// Words that must all occur, in any case. 1 to [`SearchQuery::MAX_TEXT_CHARS`] characters, not blank.
    pub text: String,
    /// Only this room.
    pub room: Option<RoomId>,
    /// Only messages older than this one, for the next page.
    pub before: Option<MessageId>,
    /// At most this many, 1 to 100.
    pub limit: usize,
}

impl SearchQuery {
    /// The longest text that is looked for.
    pub const MAX_TEXT_CHARS: usize = 256;

    /// Looks for `text` in all rooms of `user`, 20 at a time.
    #[must_use]
    pub fn new(user: UserId, text: impl Into<String>) -> Self {
        Self { user, text: text.into(), room: None, before: None, limit: 20 }
    }

    /// The [`words`] that are looked for.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] for a blank or overlong text.
    pub fn words(&self) -> Result<Vec<String>> {
        if self.text.trim().is_empty() || self.text.chars().count() > Self::MAX_TEXT_CHARS {
            let max = Self::MAX_TEXT_CHARS as u64;
            return Err(Error::LimitExceeded { what: "search text characters, not blank", max });
        }
        Ok(words(&self.text))
    }
}

/// One page of what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchPage {
    /// Newest first, as the messages are now. Deleted messages are never found.
    pub messages: Vec<StoredMessage>,
    /// Give this as `before` for the next page; `None` on the last one.
    pub next: Option<MessageId>,
}

/// Finds messages by their text.
#[async_trait]
pub trait Search: Backend {
    /// One page, by message id from newest to oldest.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] for a blank or overlong text; [`Error::NotAMember`]
    /// if a room is named that the user is no member of.
    async fn search(&self, query: SearchQuery) -> Result<SearchPage>;
}

/// A text as it is compared: in lower case, character by character. Unlike with [`str::to_lowercase`], a part of a text stays
/// a part of it (final sigma).
#[must_use]
pub fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// The words of a query, [folded](fold), each once. Empty only if `text` is blank.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = text.split_whitespace().map(fold).collect();
    words.sort_unstable();
    words.dedup();
    words
}

/// Whether each of `words` occurs in `text`, in any case, also within a longer word.
#[must_use]
pub fn matches(text: &str, words: &[String]) -> bool {
    let text = fold(text);
    words.iter().all(|word| text.contains(word.as_str()))
}
