//! What later entries of a room make of one entry.

use std::collections::{BTreeMap, HashMap};

use crate::{Edited, EntryState, ReactionKey, ReactionOp, Reactions, Seq, UserId};

/// What later entries did to one entry. Reactions must be told in the order of their positions.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// The last edit, if any.
    pub edited: Option<Edited>,
    /// The position of the entry that deleted it, if one did.
    pub deleted: Option<Seq>,
    /// The positions of its edits, whose bodies go when it is deleted.
    pub edits: Vec<Seq>,
    reactions: Vec<ReactionTally>,
}

/// Who has one reaction on. It keeps its place among the others while nobody has it on.
#[derive(Debug, Clone)]
struct ReactionTally {
    key: ReactionKey,
    since: HashMap<UserId, Seq>,
    users: BTreeMap<Seq, UserId>,
}

impl Changes {
    /// Puts a reaction on or takes it off; `seq` is the reaction entry's position.
    pub fn react(&mut self, user: &UserId, key: &ReactionKey, op: ReactionOp, seq: Seq) {
        let known = self.reactions.iter().position(|tally| tally.key == *key);
        match (op, known.and_then(|index| self.reactions.get_mut(index))) {
            (ReactionOp::Add, Some(tally)) => tally.add(user, seq),
            (ReactionOp::Add, None) => {
                let mut tally =
                    ReactionTally { key: key.clone(), since: HashMap::new(), users: BTreeMap::new() };
                tally.add(user, seq);
                self.reactions.push(tally);
            }
            (ReactionOp::Remove, Some(tally)) => {
                if let Some(since) = tally.since.remove(user) {
                    tally.users.remove(&since);
                }
            }
            (ReactionOp::Remove, None) => {}
        }
    }

    /// The state of the entry, as readers are given it.
    #[must_use]
    pub fn to_state(&self) -> EntryState {
        let on = self.reactions.iter().filter(|tally| !tally.users.is_empty());
        let reactions = on.map(|tally| Reactions {
            key: tally.key.clone(),
            count: u32::try_from(tally.users.len()).unwrap_or(u32::MAX),
            users: tally.users.values().take(Reactions::MAX_USERS).cloned().collect(),
        });
        EntryState { edited: self.edited, deleted: self.deleted, reactions: reactions.collect() }
    }
}

impl ReactionTally {
    fn add(&mut self, user: &UserId, seq: Seq) {
        if !self.since.contains_key(user) {
            self.since.insert(user.clone(), seq);
            self.users.insert(seq, user.clone());
        }
    }
}
