//! What goes into a room's log and what comes out of it.

mod body;
mod content;
mod entry;

pub use self::{
    body::{Body, DEFAULT_MAX_BODY_CHARS, InvalidBody, JsonText, MAX_BODY_CHARS},
    content::{Content, EntryKind, Fingerprint, ReactionOp},
    entry::{Authority, Draft, Edited, EntryState, Position, Reactions, StoredMessage},
};
