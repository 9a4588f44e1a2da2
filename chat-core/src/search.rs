//! Full text over the rooms a user may read.

use async_trait::async_trait;

use crate::{Backend, MessageId, Result, RoomId, StoredMessage, UserId};

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
    /// [`Error::LimitExceeded`](crate::Error::LimitExceeded) for a blank or overlong text; [`Error::NotAMember`](crate::Error::NotAMember)
    /// if a room is named that the user is no member of.
    async fn search(&self, query: SearchQuery) -> Result<SearchPage>;
}
