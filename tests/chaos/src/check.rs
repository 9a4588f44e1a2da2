//! What clients saw, next to what is stored. The rules of the log are the simulation's `History`; here is what becomes of a client's
//! notes before it, and what each client had to be given.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chat_core::{
    Body, ClientMessageId, Content, EntryKind, MessageId, RoomId, Seq, Settings, StoredMessage, UserId,
};
use chat_simulation::History;
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    chronicle::{Finding, Sort},
    notes::{Ack, Notes, Seen, Skip},
};

/// How a pipeline's clients are to be judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Clients are given joins and leaves, too.
    pub(crate) every_kind: bool,
    /// What answers have to say of how safe a message is, where they say it.
    pub(crate) durability: &'static str,
    /// The lives of the log are its own: the database counts on in one.
    pub(crate) lives: bool,
}

/// One client's notes, and whose they are.
#[derive(Debug)]
pub(crate) struct Witness<'a> {
    pub(crate) name: &'a str,
    pub(crate) user: &'a UserId,
    pub(crate) rooms: &'a [RoomId],
    pub(crate) notes: &'a Notes,
}

/// The log of each room, whole.
pub(crate) type Stored = BTreeMap<RoomId, Vec<StoredMessage>>;

/// Judges one pipeline.
pub(crate) fn check(rules: Rules, stored: &Stored, witnesses: &[Witness<'_>]) -> Vec<Finding> {
    let mut check = Check { rules, stored, history: History::new(false), known: 0, findings: Vec::new() };
    check.log();
    for witness in witnesses {
        check.answers(witness);
        check.entries(witness);
        for room in witness.rooms {
            check.given(witness, room);
        }
    }
    check.own(witnesses);
    for (room, entries) in stored {
        if let Some(head) = entries.last().map(|entry| &entry.position.cursor) {
            check.history.check_log(room, &head.epoch, head.seq, Seq::FIRST, entries);
        }
    }
    check.ask_history(None);
    check.findings
}

struct Check<'a> {
    rules: Rules,
    stored: &'a Stored,
    history: History,
    /// Violations of the history's that are findings already.
    known: usize,
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn found(&mut self, sort: Sort, guarantee: &'static str, at: Option<Instant>, what: String) {
        self.findings.push(Finding { sort, guarantee, what, at });
    }

    /// Takes what the history has found since it was last asked.
    fn ask_history(&mut self, at: Option<Instant>) {
        let violations = self.history.report().violations;
        for violation in violations.get(self.known..).unwrap_or_default() {
            let sort = match violation.guarantee {
                "G1" => Sort::Loss,
                "G2" => Sort::Duplicate,
                "G3" => Sort::Disorder,
                _ => Sort::Other,
            };
            self.findings.push(Finding {
                sort,
                guarantee: violation.guarantee,
                what: violation.what.clone(),
                at,
            });
        }
        self.known = violations.len();
    }

    /// Tells the history what is stored, in the log's order.
    fn log(&mut self) {
        for entries in self.stored.values() {
            self.history.stored_entries(entries);
        }
        self.ask_history(None);
    }

    fn room(&self, room: &RoomId) -> &[StoredMessage] {
        self.stored.get(room).map(Vec::as_slice).unwrap_or_default()
    }

    /// What was acknowledged is stored, once, and where it was said to be.
    fn answers(&mut self, witness: &Witness<'_>) {
        let own: BTreeMap<(&RoomId, &ClientMessageId), &StoredMessage> = self
            .stored
            .values()
            .flatten()
            .filter(|entry| entry.sender == *witness.user)
            .map(|entry| ((&entry.room, &entry.client_id), entry))
            .collect();
        for Ack { room, client_id, position, durability, text, at } in &witness.notes.acks {
            let at = Some(*at);
            let Some(there) = own.get(&(room, client_id)) else {
                let what =
                    format!("{}: {client_id} in {room} was acknowledged and is not stored", witness.name);
                self.found(Sort::Loss, "G1", at, what);
                continue;
            };
            if text_of(there).as_ref() != Some(text) {
                let what = format!(
                    "{}: {client_id} in {room} said {text:?}, and another text is stored",
                    witness.name
                );
                self.found(Sort::Other, "G1", at, what);
            }
            let mut said = position.clone().unwrap_or_else(|| there.position.clone());
            if self.rules.lives {
                said.cursor.epoch = there.position.cursor.epoch.clone();
            }
            self.history.acknowledged(room, witness.user, client_id, &said);
            self.ask_history(at);
            if durability.as_ref().is_some_and(|said| said != self.rules.durability) {
                let what = format!("{}: {client_id} was answered as {durability:?}", witness.name);
                self.found(Sort::Other, "G1", at, what);
            }
        }
    }

    /// What a client was given is what is stored there.
    fn entries(&mut self, witness: &Witness<'_>) {
        for seen in &witness.notes.seen {
            let Some(there) = self.find(seen) else {
                let Seen { room, id, cursor, text, .. } = seen;
                let what = format!(
                    "{}: was given {id:?} at {cursor:?} in {room}, which is not stored: {text:?}",
                    witness.name
                );
                self.found(Sort::Loss, "G1", Some(seen.at), what);
                continue;
            };
            let mut given = there.clone();
            given.position.id = seen.id.unwrap_or(given.position.id);
            if let (Some(cursor), false) = (&seen.cursor, self.rules.lives) {
                given.position.cursor = cursor.clone();
            }
            given.sender = seen.sender.clone();
            if let Some(client_id) = &seen.client_id {
                given.client_id = client_id.clone();
            }
            if text_of(there) != seen.text {
                given.content = Content::text(seen.text.as_deref().unwrap_or_default());
            }
            self.history.applied(witness.user, &given, Duration::ZERO);
            self.ask_history(Some(seen.at));
        }
    }

    /// The stored entry that a client must mean.
    fn find(&self, seen: &Seen) -> Option<&StoredMessage> {
        let room = self.room(&seen.room);
        match &seen.cursor {
            Some(cursor) => {
                let found = room.binary_search_by_key(&cursor.seq, StoredMessage::seq).ok()?;
                let there = &room[found];
                (self.rules.lives || there.position.cursor.epoch == cursor.epoch).then_some(there)
            }
            None => {
                let id: MessageId = seen.id?;
                let found = room.binary_search_by_key(&id, |entry| entry.position.id).ok()?;
                Some(&room[found])
            }
        }
    }

    /// From the first entry on, a client was given every one, once, in order.
    fn given(&mut self, witness: &Witness<'_>, room: &RoomId) {
        let given: Vec<(Seq, Instant)> = witness
            .notes
            .seen
            .iter()
            .filter(|seen| seen.room == *room)
            .filter_map(|seen| Some((self.find(seen)?.seq(), seen.at)))
            .collect();
        let Some((first, _)) = given.first().copied() else {
            let what = format!("{}: was given nothing in {room}", witness.name);
            return self.found(Sort::Loss, "G5", None, what);
        };
        let (mut had, mut last) = (BTreeSet::new(), Seq::ZERO);
        for (seq, at) in &given {
            if !had.insert(*seq) {
                let what = format!("{}: was given {room} {seq} twice", witness.name);
                self.found(Sort::Duplicate, "G5", Some(*at), what);
            } else if *seq < last {
                let what = format!("{}: was given {room} {seq} after {last}", witness.name);
                self.found(Sort::Disorder, "G3", Some(*at), what);
            }
            last = last.max(*seq);
        }
        let stored_up_to = self.room(room).last().map_or(Seq::ZERO, StoredMessage::seq);
        let skips = witness.notes.skips.iter().filter(|skip| skip.room == *room);
        let skips: Vec<_> = skips.filter(|skip| may_skip(skip, stored_up_to)).collect();
        let due = self.room(room).iter().filter(|entry| entry.seq() >= first);
        let due = due.filter(|entry| self.rules.every_kind || entry.content.kind() == EntryKind::Chat);
        let missing: Vec<Seq> = due
            .map(StoredMessage::seq)
            .filter(|seq| !had.contains(seq))
            .filter(|seq| !skips.iter().any(|skip| skip.after < *seq && *seq <= skip.up_to))
            .collect();
        if let Some(gap) = missing.first() {
            // It came after what is before the gap.
            let before = given.iter().filter(|(seq, _)| seq < gap).map(|(_, at)| *at).max();
            let what = format!("{}: was never given {} of {room}: {missing:?}", witness.name, missing.len());
            self.found(Sort::Loss, "G5", before, what);
        }
    }

    /// What is stored of a person was also answered to them: everybody sends until they are.
    fn own(&mut self, witnesses: &[Witness<'_>]) {
        let mut answered: BTreeSet<(&UserId, &RoomId, &ClientMessageId)> = BTreeSet::new();
        let mut users: BTreeSet<&UserId> = BTreeSet::new();
        for witness in witnesses {
            users.insert(witness.user);
            answered.extend(witness.notes.acks.iter().map(|ack| (witness.user, &ack.room, &ack.client_id)));
        }
        let stored = self.stored;
        for entry in stored.values().flatten().filter(|entry| entry.is_countable()) {
            let known = answered.contains(&(&entry.sender, &entry.room, &entry.client_id));
            if users.contains(&entry.sender) && !known {
                let what = format!(
                    "{} of {} is stored at {} {} and was never answered",
                    entry.client_id,
                    entry.sender,
                    entry.room,
                    entry.seq()
                );
                self.found(Sort::Other, "G1", None, what);
            }
        }
    }
}

/// What follows a client's position is sent one by one, unless that is too much: only then a page may stand for it. Nothing here is
/// so old that it is not kept.
fn may_skip(skip: &Skip, stored_up_to: Seq) -> bool {
    skip.head.min(stored_up_to).since(skip.after) > Settings::REPLAY_LIMIT
}

/// What a message says, whichever form it is stored in.
fn text_of(entry: &StoredMessage) -> Option<String> {
    match entry.content.body()? {
        Body::Text(text) => Some(text.to_string()),
        Body::Json(json) => {
            let body: Value = serde_json::from_str(json.as_str()).ok()?;
            body["content"].as_str().map(str::to_owned)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
