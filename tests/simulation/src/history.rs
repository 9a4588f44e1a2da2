use std::{
    collections::BTreeMap,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use chat_core::{
    AppendOutcome, Authority, ClientMessageId, Content, Cursor, Draft, Epoch, Fingerprint, MessageId,
    Position, RoomId, Seq, StoredMessage, UserId,
};
use tokio::time::Instant;

/// A guarantee that did not hold.
#[derive(Debug, Clone)]
pub struct Violation {
    /// Which, as in the design: `G1` to `G8`.
    pub guarantee: &'static str,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.guarantee, self.what)
    }
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Report {
    /// Guarantees that did not hold; empty in a good run.
    pub violations: Vec<Violation>,
    /// Entries stored.
    pub stored: usize,
    /// Sends that were acknowledged.
    pub acknowledged: usize,
    /// Entries that clients applied.
    pub applied: usize,
    /// Digest of everything that happened, in order: the same for the same seed.
    pub trace: u64,
}

/// An entry as it was stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) id: MessageId,
    pub(crate) sender: UserId,
    pub(crate) client_id: ClientMessageId,
    pub(crate) content: Fingerprint,
    pub(crate) at: Instant,
}

/// When somebody could read a room no longer, if not let in again.
#[derive(Debug, Clone)]
struct Ban {
    from: Instant,
    until: Option<Instant>,
}

#[derive(Debug, Default)]
struct Log {
    /// By room, epoch and position.
    stored: BTreeMap<(RoomId, Epoch), BTreeMap<Seq, Stored>>,
    acks: BTreeMap<(RoomId, UserId, ClientMessageId), Position>,
    /// Positions up to here survived the end of an epoch.
    survived: BTreeMap<(RoomId, Epoch), Seq>,
    bans: BTreeMap<(UserId, RoomId), Vec<Ban>>,
    /// The first position that is kept; what was there before may be sent again.
    oldest: BTreeMap<RoomId, Seq>,
    revoked: BTreeMap<UserId, Instant>,
    violations: Vec<Violation>,
    acknowledged: usize,
    applied: usize,
    trace: DefaultHasher,
    verbose: bool,
}

/// Everything that happened, checked as it happens where that is possible. Also for tests with real servers and clients: what
/// was stored is then told at the end, in the log's order, and after it what clients saw.
#[derive(Debug, Clone, Default)]
pub struct History(Arc<Mutex<Log>>);

impl History {
    /// Nothing has happened yet. Prints what does, if `verbose`.
    #[must_use]
    pub fn new(verbose: bool) -> Self {
        Self(Arc::new(Mutex::new(Log { verbose, ..Log::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap()
    }

    /// Notes something for the trace.
    pub(crate) fn note(&self, what: impl FnOnce() -> String) {
        let what = what();
        let mut log = self.lock();
        what.hash(&mut log.trace);
        if log.verbose {
            println!("{what}");
        }
    }

    /// A guarantee did not hold.
    pub fn violation(&self, guarantee: &'static str, what: String) {
        self.note(|| format!("VIOLATION {guarantee}: {what}"));
        self.lock().violations.push(Violation { guarantee, what });
    }

    /// A log of real parts, or a piece of it, in its order: as [`stored`](Self::stored), entry by entry.
    pub fn stored_entries(&self, entries: &[StoredMessage]) {
        for entry in entries {
            let StoredMessage { room, sender, client_id, content, authority, position, .. } = entry.clone();
            let draft = Draft::new(room, sender, client_id, content).with_authority(authority);
            self.stored(&[draft], &[AppendOutcome::New(position)]);
        }
    }

    /// The log stored something: position, identity and key are checked on the spot.
    pub fn stored(&self, drafts: &[Draft], outcomes: &[AppendOutcome]) {
        for (draft, outcome) in drafts.iter().zip(outcomes) {
            let AppendOutcome::New(position) = outcome else { continue };
            let Cursor { epoch, seq } = position.cursor.clone();
            self.note(|| format!("stored {} {}.{seq} {}", draft.room, draft.sender, draft.client_id));
            let stored = Stored {
                id: position.id,
                sender: draft.sender.clone(),
                client_id: draft.client_id.clone(),
                content: draft.fingerprint(),
                at: Instant::now(),
            };
            let problem = {
                let mut log = self.lock();
                let oldest = log.oldest.get(&draft.room).copied().unwrap_or(Seq::FIRST);
                let room = log.stored.entry((draft.room.clone(), epoch)).or_default();
                let last = room.last_key_value().map(|(seq, stored)| (*seq, stored.id));
                let same_key =
                    |other: &Stored| other.sender == draft.sender && other.client_id == draft.client_id;
                let problem = if seq != last.map_or(Seq::FIRST, |(seq, _)| seq.next()) {
                    Some(("G3", format!("{}: {seq} was stored after {last:?}", draft.room)))
                } else if last.is_some_and(|(_, id)| id >= position.id) {
                    Some(("G3", format!("{}: the id at {seq} does not grow", draft.room)))
                } else if room.range(oldest..).any(|(_, other)| same_key(other)) {
                    Some((
                        "G2",
                        format!("{}: {} of {} was stored twice", draft.room, draft.client_id, draft.sender),
                    ))
                } else {
                    None
                };
                room.insert(seq, stored);
                problem
            };
            if let Some((guarantee, what)) = problem {
                self.violation(guarantee, what);
            }
            let as_member = draft.authority == Authority::Member;
            if as_member && self.was_banned(&draft.sender, &draft.room, Instant::now(), Duration::ZERO) {
                let what = format!(
                    "{}: {} was stored after {} was removed",
                    draft.room, draft.client_id, draft.sender
                );
                self.violation("G6", what);
            }
        }
    }

    /// A sender was told that its message is stored there.
    pub fn acknowledged(&self, room: &RoomId, user: &UserId, client_id: &ClientMessageId, at: &Position) {
        let (known, first) = {
            let mut log = self.lock();
            log.acknowledged += 1;
            let stored = log.stored.get(&(room.clone(), at.cursor.epoch.clone()));
            let known = stored.and_then(|stored| stored.get(&at.cursor.seq)).cloned();
            let key = (room.clone(), user.clone(), client_id.clone());
            let first = log.acks.insert(key, at.clone());
            (known, first)
        };
        self.note(|| format!("acknowledged {room} {} {user} {client_id}", at.cursor.seq));
        match known {
            Some(stored)
                if stored.id == at.id && stored.sender == *user && stored.client_id == *client_id => {}
            _ => self.violation(
                "G1",
                format!("{room}: {client_id} of {user} was acknowledged at {at:?}, which is not it"),
            ),
        }
        if let Some(first) = first.filter(|first| first.cursor.epoch == at.cursor.epoch && first != at) {
            self.violation(
                "G2",
                format!("{room}: {client_id} of {user} was acknowledged as {first:?} and as {at:?}"),
            );
        }
    }

    /// A client was given an entry.
    pub fn applied(&self, user: &UserId, message: &StoredMessage, patience: Duration) {
        let Cursor { epoch, seq } = message.position.cursor.clone();
        let room = message.room.clone();
        let stored = {
            let mut log = self.lock();
            log.applied += 1;
            log.stored.get(&(room.clone(), epoch)).and_then(|stored| stored.get(&seq)).cloned()
        };
        let Some(stored) = stored else {
            return self.violation("G1", format!("{user} was given {room} {seq}, which is not stored"));
        };
        if (stored.id, &stored.sender, &stored.client_id)
            != (message.position.id, &message.sender, &message.client_id)
        {
            self.violation("G3", format!("{user} was given another entry than is stored at {room} {seq}"));
        }
        let changed = message.state.edited.is_some() || message.state.deleted.is_some();
        let gone = matches!(&message.content, Content::Edit { body: chat_core::Body::Removed, .. });
        if !changed && !gone && message.content.fingerprint() != stored.content {
            self.violation("G3", format!("{user} was given another payload than is stored at {room} {seq}"));
        }
        if self.was_banned(user, &room, stored.at, patience) {
            self.violation(
                "G6",
                format!("{user} was given {room} {seq}, stored after their membership had ended"),
            );
        }
    }

    /// Whether an entry stored then was none of the user's business, with `patience` for the news to get about.
    fn was_banned(&self, user: &UserId, room: &RoomId, stored: Instant, patience: Duration) -> bool {
        let log = self.lock();
        let bans = log.bans.get(&(user.clone(), room.clone()));
        bans.is_some_and(|bans| {
            // Membership that came back at any time lets the client read what was said meanwhile.
            bans.last().is_some_and(|ban| ban.until.is_none() && stored > ban.from + patience)
        })
    }

    pub(crate) fn banned(&self, user: &UserId, room: &RoomId) {
        let ban = Ban { from: Instant::now(), until: None };
        self.lock().bans.entry((user.clone(), room.clone())).or_default().push(ban);
        self.note(|| format!("removed {user} from {room}"));
    }

    pub(crate) fn let_in(&self, user: &UserId, room: &RoomId) {
        if let Some(ban) = self.lock().bans.entry((user.clone(), room.clone())).or_default().last_mut() {
            ban.until = Some(Instant::now());
        }
        self.note(|| format!("added {user} to {room}"));
    }

    pub(crate) fn trimmed(&self, room: &RoomId, oldest: Seq) {
        self.lock().oldest.insert(room.clone(), oldest);
        self.note(|| format!("trimmed {room} to {oldest}"));
    }

    pub(crate) fn revoked(&self, user: &UserId) {
        self.lock().revoked.insert(user.clone(), Instant::now());
        self.note(|| format!("revoked {user}"));
    }

    /// When the entry at this place was stored.
    pub(crate) fn stored_at(&self, room: &RoomId, at: &Cursor) -> Option<Instant> {
        let log = self.lock();
        log.stored.get(&(room.clone(), at.epoch.clone()))?.get(&at.seq).map(|stored| stored.at)
    }

    /// When the user's credentials from before were withdrawn.
    pub(crate) fn revoked_at(&self, user: &UserId) -> Option<Instant> {
        self.lock().revoked.get(user).copied()
    }

    /// The store went back to an older copy: what it still has goes on in a new epoch.
    pub(crate) fn restored(&self, from: &Epoch, to: &Epoch, heads: &BTreeMap<RoomId, Seq>) {
        let mut log = self.lock();
        for (room, head) in heads {
            log.survived.insert((room.clone(), from.clone()), *head);
            let kept = log.stored.get(&(room.clone(), from.clone())).map(|stored| {
                stored.range(..=*head).map(|(seq, stored)| (*seq, stored.clone())).collect::<BTreeMap<_, _>>()
            });
            log.stored.insert((room.clone(), to.clone()), kept.unwrap_or_default());
        }
        drop(log);
        self.note(|| format!("restored with {heads:?}"));
    }

    /// The acknowledged sends that must be in the log at the end: position by key, in this epoch.
    fn must_be_there(&self, room: &RoomId, epoch: &Epoch) -> Vec<(Seq, MessageId)> {
        let log = self.lock();
        let kept = |position: &Position| {
            let lost_tail = log.survived.get(&(room.clone(), position.cursor.epoch.clone()));
            position.cursor.epoch == *epoch || lost_tail.is_some_and(|kept| position.cursor.seq <= *kept)
        };
        log.acks
            .iter()
            .filter(|((acked, ..), position)| acked == room && kept(position))
            .map(|(_, position)| (position.cursor.seq, position.id))
            .collect()
    }

    /// The whole log as it is at the end, from the oldest position that is kept.
    pub fn check_log(&self, room: &RoomId, epoch: &Epoch, head: Seq, oldest: Seq, entries: &[StoredMessage]) {
        let seqs: Vec<u64> = entries.iter().map(|entry| entry.seq().get()).collect();
        if seqs != (oldest.get()..=head.get()).collect::<Vec<_>>() {
            self.violation("G3", format!("{room} has a gap: {seqs:?}"));
        }
        let there: BTreeMap<Seq, _> = entries.iter().map(|entry| (entry.seq(), entry.position.id)).collect();
        for (seq, id) in self.must_be_there(room, epoch) {
            if seq >= oldest && there.get(&seq) != Some(&id) {
                self.violation("G1", format!("{room} lost {id}, acknowledged at {seq}"));
            }
        }
    }

    /// What it came to.
    #[must_use]
    pub fn report(&self) -> Report {
        let log = self.lock();
        Report {
            violations: log.violations.clone(),
            stored: log.stored.values().map(BTreeMap::len).sum(),
            acknowledged: log.acknowledged,
            applied: log.applied,
            trace: log.trace.finish(),
        }
    }
}
