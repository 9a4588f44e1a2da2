//! What is special to this backend: its structures against naive models, and what restoring, trimming and deleting leave.

mod properties;
mod stories;

use std::sync::Arc;

use futures::FutureExt;

use super::{MemoryStore, test_clock::TestClock};
use crate::{
    AppendOutcome, ClientMessageId, Content, Cursor, Draft, Error, MemberChange, MessageId, NewRoom, Page,
    ReadQuery, Result, Retention, Role, RoomId, Seq, Storage as _, Timestamp, UserId, rooms::RoomSummary,
    search::SearchQuery,
};

/// Nothing in memory ever waits.
fn now<T>(call: impl Future<Output = Result<T>>) -> T {
    call.now_or_never().expect("waited").unwrap()
}

fn now_err<T: std::fmt::Debug>(call: impl Future<Output = Result<T>>) -> Error {
    call.now_or_never().expect("waited").unwrap_err()
}

fn room() -> RoomId {
    RoomId::new("r").unwrap()
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

/// A room with members, and short words for what is done to it.
struct Fixture {
    store: MemoryStore,
    clock: Arc<TestClock>,
    drafts: u64,
}

impl Fixture {
    fn new(members: &[&str]) -> Self {
        let clock = Arc::new(TestClock::at(Timestamp::from_secs(1_000)));
        let store = MemoryStore::with_clock(clock.clone());
        now(store.rooms().create(NewRoom::new(room())));
        for name in members {
            now(store.rooms().change_member(&room(), MemberChange::add(user(name), Role::Member)));
        }
        Self { store, clock, drafts: 0 }
    }

    fn draft(&mut self, sender: &str, content: Content) -> Draft {
        self.drafts += 1;
        Draft::new(room(), user(sender), ClientMessageId::new(&format!("m{}", self.drafts)).unwrap(), content)
    }

    fn append(&self, draft: &Draft) -> AppendOutcome {
        now(self.store.message_log().append(std::slice::from_ref(draft))).remove(0)
    }

    fn send(&mut self, sender: &str, content: Content) -> MessageId {
        let draft = self.draft(sender, content);
        match self.append(&draft) {
            AppendOutcome::New(position) => position.id,
            other => panic!("{other:?}"),
        }
    }

    fn read(&self, query: ReadQuery) -> Page {
        now(self.store.message_log().read(&room(), query))
    }

    fn trim_to(&self, entries: u64) {
        let retention = Retention { max_entries: Some(entries), not_before: None };
        now(self.store.message_log().trim(&room(), retention));
    }

    fn cursor(&self, number: u64) -> Cursor {
        Cursor::new(self.store.lock().epoch.clone(), seq(number))
    }

    fn unread(&self, name: &str) -> u64 {
        now(self.store.rooms().unread(&user(name), &[room()])).remove(0)
    }

    fn summary(&self, name: &str) -> Option<RoomSummary> {
        now(self.store.rooms().rooms_of(&user(name), None, 10)).rooms.pop()
    }

    fn found(&self, name: &str, text: &str) -> Vec<MessageId> {
        let page = now(self.store.search().search(SearchQuery::new(user(name), text)));
        page.messages.into_iter().map(|message| message.position.id).collect()
    }
}
