//! What was answered and seen, next to what is stored, by the history checker of the simulation.

use std::{collections::BTreeMap, time::Duration};

use chat_core::{
    AppendOutcome, ClientMessageId, Cursor, Draft, MessageLog, ReadQuery, RoomId, Seq, StoredMessage, UserId,
};
use chat_simulation::History;

/// A history whose log is told: positions, keys and gaps are checked with that.
pub(crate) struct Told {
    history: History,
    stored: BTreeMap<RoomId, Vec<StoredMessage>>,
}

impl Told {
    /// Everything that the log has of these rooms.
    pub(crate) async fn of(log: &dyn MessageLog, rooms: impl IntoIterator<Item = RoomId>) -> Self {
        let (history, mut stored) = (History::new(false), BTreeMap::new());
        for room in rooms {
            let entries = whole(log, &room).await;
            for StoredMessage { position, sender, client_id, content, .. } in &entries {
                let draft = Draft::new(room.clone(), sender.clone(), client_id.clone(), content.clone());
                history.stored(&[draft], &[AppendOutcome::New(position.clone())]);
            }
            if let Some(last) = entries.last() {
                let Cursor { epoch, seq } = &last.position.cursor;
                history.check_log(&room, epoch, *seq, Seq::FIRST, &entries);
            }
            stored.insert(room, entries);
        }
        Self { history, stored }
    }

    /// A sender was told that its message is accepted.
    pub(crate) fn accepted(&self, room: &RoomId, user: &UserId, client_id: &ClientMessageId) {
        let mut stored = self.stored[room].iter();
        match stored.find(|entry| entry.sender == *user && entry.client_id == *client_id) {
            Some(entry) => self.history.acknowledged(room, user, client_id, &entry.position),
            None => self.history.violation("G1", format!("{room} lost {client_id} of {user}")),
        }
    }

    /// A session was given these, from the beginning of each room on: each entry once, in order, and none is lacking.
    pub(crate) fn given(&self, user: &UserId, entries: &[StoredMessage]) {
        entries.iter().for_each(|entry| self.history.applied(user, entry, Duration::ZERO));
        for (room, stored) in &self.stored {
            let given = entries.iter().filter(|entry| entry.room == *room);
            if !given.map(StoredMessage::seq).eq(stored.iter().map(StoredMessage::seq)) {
                self.history.violation("G5", format!("{user} was not given {room} as it is stored"));
            }
        }
    }

    /// What it came to: nothing may have been violated, and something must have happened.
    pub(crate) fn holds(&self) {
        let report = self.history.report();
        assert!(report.violations.is_empty(), "{:#?}", report.violations);
        assert!(report.stored > 0 && report.acknowledged > 0, "{report:?}");
    }
}

/// A room from its beginning to its head.
pub(crate) async fn whole(log: &dyn MessageLog, room: &RoomId) -> Vec<StoredMessage> {
    let head = log.heads(std::slice::from_ref(room)).await.unwrap()[0].clone().unwrap().cursor;
    let mut after = Cursor::new(head.epoch, Seq::ZERO);
    let mut entries: Vec<StoredMessage> = Vec::new();
    loop {
        let page = log.read(room, ReadQuery::after(after.clone()).with_limit(1_000)).await.unwrap();
        entries.extend(page.entries);
        if page.reaches_head {
            return entries;
        }
        after = entries.last().expect("a page has something").position.cursor.clone();
    }
}
