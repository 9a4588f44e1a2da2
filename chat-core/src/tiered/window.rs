//! Entries of the hot log as they are now.

use std::collections::{BTreeMap, BTreeSet};

use super::{HotEntry, HotWindow, payload};
use crate::{
    Body, Content, Cursor, Draft, Edited, Epoch, Error, Position, Result, Retry, Seq, StoredMessage,
    rules::Changes,
};

/// The entries of a window with what was done to them since.
///
/// # Errors
/// An entry that this release cannot read.
pub(super) fn shown(window: &HotWindow) -> Result<Vec<StoredMessage>> {
    let mut drafts = Vec::with_capacity(window.changes.len());
    for change in &window.changes {
        drafts.push((change, read(change)?));
    }
    let mut changes: BTreeMap<Seq, (Changes, Option<Body>)> = BTreeMap::new();
    let mut deleted = BTreeSet::new();
    for (change, draft) in &drafts {
        let Some(target) = change.target else { continue };
        let (changes, body) = changes.entry(target).or_default();
        match &draft.content {
            Content::Edit { body: new, .. } => {
                changes.edited = Some(Edited { seq: change.seq, at: change.id.timestamp() });
                *body = Some(new.clone());
            }
            Content::Delete { .. } => {
                changes.deleted = Some(change.seq);
                *body = Some(Body::Removed);
                deleted.insert(target);
            }
            Content::Reaction { key, op, .. } => changes.react(&draft.sender, key, *op, change.seq),
            _ => {}
        }
    }
    window
        .entries
        .iter()
        .map(|entry| {
            let mut message = StoredMessage::new(read(entry)?, position(&window.room.life, entry));
            if let Some((changes, body)) = changes.get(&entry.seq) {
                message.state = changes.to_state();
                replace(&mut message.content, body.as_ref());
            }
            // What an edit says is what the message said: it goes with it.
            let is_edit = matches!(message.content, Content::Edit { .. });
            if is_edit && entry.target.is_some_and(|target| deleted.contains(&target)) {
                replace(&mut message.content, Some(&Body::Removed));
            }
            Ok(message)
        })
        .collect()
}

fn replace(content: &mut Content, new: Option<&Body>) {
    if let (Some(body), Some(new)) = (content.body_mut(), new) {
        *body = new.clone();
    }
}

fn position(life: &Epoch, entry: &HotEntry) -> Position {
    let cursor = Cursor::new(life.clone(), entry.seq);
    Position { cursor, id: entry.id, created_at: entry.id.timestamp() }
}

fn read(entry: &HotEntry) -> Result<Draft> {
    payload::decode(&entry.payload).map_err(|reason| {
        Error::backend(super::NAME, "read", Retry::Never, format!("entry {}: {reason}", entry.seq))
    })
}
