//! What a hot log promises, step by step.

mod appending;
mod losing;
mod queue;
mod reading;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::FutureExt;

use super::{MemoryHotLog, MemoryHotLogSettings};
use crate::{
    ClientMessageId, Content, Epoch, MessageId, Result, RoomId, Seq, Timestamp, UserId,
    memory::test_clock::TestClock,
    tiered::{
        Archived, Claim, Gate, HotAppended, HotBatch, HotChange, HotDraft, HotLog, HotOutcome, HotRoom,
        HotState, NameKey, Opening, Take,
    },
};

/// Nothing in memory ever waits.
fn now<T>(call: impl Future<Output = Result<T>>) -> T {
    call.now_or_never().expect("waited").unwrap()
}

fn room() -> RoomId {
    RoomId::new("r").unwrap()
}

fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

fn life(name: &str) -> Epoch {
    Epoch::new(name).unwrap()
}

/// The key of what ann calls `name`.
fn key(name: &str) -> NameKey {
    NameKey::new(&UserId::new("ann").unwrap(), &ClientMessageId::new(name).unwrap())
}

/// A message of ann's.
fn says(name: &str) -> HotDraft {
    HotDraft {
        key: key(name),
        fingerprint: Content::text(name).fingerprint(),
        sender: UserId::new("ann").unwrap(),
        timeline: true,
        changeable: true,
        change: None,
        refused: false,
        not_archived: None,
        payload: Bytes::copy_from_slice(name.as_bytes()),
    }
}

/// What ann does to a message of her own.
fn changes(name: &str, target: MessageId, deletes: bool) -> HotDraft {
    let change = HotChange { target, own_only: true, deletes, known: None };
    HotDraft { timeline: false, changeable: false, change: Some(change), ..says(name) }
}

/// A hot log with one room, and short words for what is done to it.
struct World {
    hot: MemoryHotLog,
    clock: Arc<TestClock>,
}

impl World {
    fn closed(settings: MemoryHotLogSettings) -> Self {
        let clock = Arc::new(TestClock::at(Timestamp::from_secs(1_000)));
        Self { hot: MemoryHotLog::with_settings(settings, clock.clone()), clock }
    }

    /// With the room in its life `a`, behind so many entries that are in the archive alone.
    fn open(window: usize, archived: u64) -> Self {
        let world = Self::closed(MemoryHotLogSettings::default().with_window(window));
        assert!(world.begin("a", archived, false));
        world
    }

    fn claim(&self) -> (Bytes, Option<HotRoom>) {
        match now(self.hot.claim(&room())) {
            Claim::Yours { token, left } => (token, left),
            other => panic!("{other:?}"),
        }
    }

    fn opening(&self, name: &str, archived: u64, token: Bytes) -> Opening {
        let (base, archived) = (seq(archived), seq(archived));
        let (room, life) = (room(), life(name));
        Opening {
            room,
            token,
            life,
            base,
            archived,
            oldest: Seq::FIRST,
            last_id: None,
            keep: false,
            lost_after: Seq::ZERO,
        }
    }

    fn begin(&self, name: &str, base: u64, keep: bool) -> bool {
        let opening = self.opening(name, base, self.claim().0);
        now(self.hot.open(Opening { keep, ..opening }))
    }

    fn state(&self) -> HotState {
        now(self.hot.rooms(&[room()])).remove(0)
    }

    fn known(&self) -> HotRoom {
        match self.state() {
            HotState::Open(known) => known,
            other => panic!("{other:?}"),
        }
    }

    fn gate(&self) -> Gate {
        match self.try_append(None, Vec::new()) {
            HotAppended::Gate(state) => state.gate,
            other => panic!("{other:?}"),
        }
    }

    fn try_append(&self, gate: Option<Gate>, drafts: Vec<HotDraft>) -> HotAppended {
        now(self.hot.append(&[HotBatch { room: room(), gate, drafts }])).remove(0)
    }

    fn append(&self, drafts: Vec<HotDraft>) -> Vec<HotOutcome> {
        match self.try_append(Some(self.gate()), drafts) {
            HotAppended::Done(_, outcomes) => outcomes,
            other => panic!("{other:?}"),
        }
    }

    fn one(&self, draft: HotDraft) -> HotOutcome {
        self.append(vec![draft]).remove(0)
    }

    fn store(&self, draft: HotDraft) -> MessageId {
        match self.one(draft) {
            HotOutcome::New { id, .. } => id,
            other => panic!("{other:?}"),
        }
    }

    /// Stores messages with these numbers as names.
    fn fill(&self, from: u64, to: u64) -> Vec<MessageId> {
        (from..=to).map(|number| self.store(says(&number.to_string()))).collect()
    }

    fn archived(&self, name: &str, upto: u64) {
        now(self.hot.archived(&[Archived { room: room(), life: life(name), upto: seq(upto), ticket: None }]));
    }
}

/// Takes whatever waits.
const EAGER: Take =
    Take { entries: 1, age: Duration::ZERO, max_rooms: 10, max_entries: 100, idle: Duration::from_secs(30) };
