//! What a node lists, whose word about it counts, and whose turn it is to be written anew.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use chat_core::{
    Clock as _, ConnectionId, SystemClock, Timestamp, UserId,
    presence::{Incarnation, PresenceConnection},
};
use tokio::time::Instant;

/// A connection of this node.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) user: UserId,
    pub(super) server: String,
    pub(super) since: Timestamp,
    /// When it was written last. It runs out a lifetime later.
    written: Instant,
    /// The call that vouches for it: the latest one of the newest claim.
    call: u64,
    claim: Claim,
}

/// What a call says of a connection: of which life it is, then of which lease. Of two, the greater holds.
type Claim = (Incarnation, Incarnation);

const fn claim(connection: &PresenceConnection) -> Claim {
    (connection.incarnation, connection.lease.incarnation)
}

type Entries = HashMap<ConnectionId, Entry>;

/// Of one user.
type Connections = Vec<(ConnectionId, Entry)>;

/// Whether what is listed keeps up with those who are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// So many ran out since they were written last, and are here.
    FellBehind(usize),
    CaughtUp,
}

/// What this node lists.
#[derive(Default)]
pub(super) struct Here {
    /// As many as the node has sessions.
    entries: Entries,
    /// Those of the lease's life before, until they are registered anew. Whose end did not come through is never registered again, and
    /// so is forgotten.
    before: Entries,
    calls: u64,
    /// Whose turn was the last: one renewal goes on where the one before was out of time.
    after: Option<UserId>,
    is_behind: bool,
}

impl Here {
    pub(super) fn contains(&self, connection: &ConnectionId) -> bool {
        self.entries.contains_key(connection)
    }

    /// A call registers it. Gives the call's number and what is to be written.
    pub(super) fn register(&mut self, connection: &PresenceConnection) -> (u64, Entry) {
        let PresenceConnection { user, connection: id, lease, .. } = connection;
        let before = self.before.remove(id);
        let known = self.entries.remove(id);
        self.calls += 1;
        let call = self.calls;
        let entry = match known {
            // One that was on its way for longer says nothing of this one.
            Some(known) if known.claim > claim(connection) => known,
            known => {
                let known = known.or(before).filter(|known| known.user == *user);
                let since = known.map_or_else(|| SystemClock.now(), |known| known.since);
                let (server, written) = (lease.node.to_string(), Instant::now());
                Entry { user: user.clone(), server, since, written, call, claim: claim(connection) }
            }
        };
        self.entries.insert(id.clone(), entry.clone());
        (call, entry)
    }

    /// The call was refused. What another one vouches for stays: the answer may be from before that was asked.
    pub(super) fn refuse(&mut self, connection: &ConnectionId, call: u64) {
        if self.entries.get(connection).is_some_and(|entry| entry.call == call) {
            self.entries.remove(connection);
        }
    }

    /// It ended, this life of it or an earlier one; says whether it was known.
    pub(super) fn take(&mut self, connection: &PresenceConnection) -> bool {
        let ends = |entry: &Entry| entry.claim.0 <= connection.incarnation;
        let mut took = false;
        for entries in [&mut self.before, &mut self.entries] {
            if entries.get(&connection.connection).is_some_and(ends) {
                took |= entries.remove(&connection.connection).is_some();
            }
        }
        took
    }

    pub(super) fn take_all(&mut self) -> impl Iterator<Item = (ConnectionId, Entry)> + use<> {
        let [before, entries] = [&mut self.before, &mut self.entries].map(std::mem::take);
        before.into_iter().chain(entries)
    }

    pub(super) fn begin_anew(&mut self) {
        self.before = std::mem::take(&mut self.entries);
    }

    /// Everybody by turns, whose was longest ago first. What was not registered anew by now is forgotten.
    pub(super) fn turns(&mut self) -> impl Iterator<Item = (UserId, Connections)> + use<> {
        self.before.clear();
        let mut earlier: BTreeMap<UserId, Connections> = BTreeMap::new();
        for (connection, entry) in &self.entries {
            earlier.entry(entry.user.clone()).or_default().push((connection.clone(), entry.clone()));
        }
        let mut later = BTreeMap::new();
        if let Some(after) = &self.after {
            later = earlier.split_off(after);
            if let Some((user, connections)) = later.remove_entry(after) {
                earlier.insert(user, connections);
            }
        }
        later.into_iter().chain(earlier)
    }

    /// The user's turn is over, and so are those of all before.
    pub(super) fn had_turn(&mut self, user: UserId) {
        self.after = Some(user);
    }

    /// They were written at that time.
    pub(super) fn written<'a>(&mut self, connections: impl Iterator<Item = &'a ConnectionId>, at: Instant) {
        for connection in connections {
            if let Some(entry) = self.entries.get_mut(connection) {
                entry.written = at;
            }
        }
    }

    /// Whether entries of this lifetime keep up, where that has changed.
    pub(super) fn pace(&mut self, lifetime: Duration) -> Option<Pace> {
        let late = self.entries.values().filter(|entry| entry.written.elapsed() >= lifetime).count();
        let was_behind = std::mem::replace(&mut self.is_behind, late > 0);
        match (was_behind, late) {
            (false, 1..) => Some(Pace::FellBehind(late)),
            (true, 0) => Some(Pace::CaughtUp),
            _ => None,
        }
    }
}
