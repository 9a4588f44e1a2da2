//! A room in a hot log, as a test writes into it.

use std::{sync::Arc, time::Duration};

use chat_backend_redis::{HotLogConfig, RedisConfig};
use chat_core::{
    ClientMessageId, Epoch, Fingerprint, MessageId, RoomId, Seq,
    tiered::{
        Archived, Claim, Gate, HotAppended, HotBatch, HotChange, HotDraft, HotEntry, HotLog, HotOutcome,
        HotRoom, HotState, NameKey, Opening, Take,
    },
};
use chat_test_services::Redis;

use crate::live::{connect, fresh, room, user};

pub(super) struct Place {
    pub(super) log: Arc<dyn HotLog>,
    pub(super) room: RoomId,
}

/// How the room goes on.
#[derive(Clone, Copy)]
pub(super) struct Base {
    pub(super) base: u64,
    pub(super) archived: u64,
    pub(super) oldest: u64,
    pub(super) last_id: Option<MessageId>,
    pub(super) keep: bool,
}

impl Base {
    /// Nothing is kept of what is left, and everything before is archived.
    pub(super) fn at(base: u64) -> Self {
        Self { base, archived: base, oldest: 1, last_id: None, keep: false }
    }

    pub(super) fn keeping(base: u64, archived: u64) -> Self {
        Self { base, archived, oldest: 1, last_id: None, keep: true }
    }
}

impl Place {
    /// An open room without entries, on a prefix of its own.
    pub(super) async fn open(config: HotLogConfig) -> Self {
        let place = Self::closed(&fresh(Redis::shared().await.unwrap()), config).await;
        place.begin(Base::at(0)).await;
        place
    }

    pub(super) async fn closed(server: &RedisConfig, config: HotLogConfig) -> Self {
        Self { log: connect(server).await.hot_log(config), room: room("tea") }
    }

    pub(super) fn beside(&self, name: &str) -> Self {
        Self { log: Arc::clone(&self.log), room: room(name) }
    }

    pub(super) async fn claim(&self) -> (fred::bytes::Bytes, Option<HotRoom>) {
        match self.log.claim(&self.room).await.unwrap() {
            Claim::Yours { token, left } => (token, left),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn opening(&self, token: fred::bytes::Bytes, base: Base) -> Opening {
        let Base { base, archived, oldest, last_id, keep } = base;
        let [base, archived, oldest] = [base, archived, oldest].map(seq);
        let life = Epoch::generate();
        Opening {
            room: self.room.clone(),
            token,
            life,
            base,
            archived,
            oldest,
            last_id,
            keep,
            lost_after: Seq::ZERO,
        }
    }

    /// Opens the room; answers its life.
    pub(super) async fn begin(&self, base: Base) -> Epoch {
        let (token, _) = self.claim().await;
        let opening = self.opening(token, base);
        let life = opening.life.clone();
        assert!(self.log.open(opening).await.unwrap());
        life
    }

    pub(super) async fn state(&self) -> HotState {
        self.log.rooms(std::slice::from_ref(&self.room)).await.unwrap().remove(0)
    }

    pub(super) async fn now(&self) -> HotRoom {
        match self.state().await {
            HotState::Open(room) => room,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn append(&self, gate: Option<Gate>, drafts: Vec<HotDraft>) -> HotAppended {
        let batch = HotBatch { room: self.room.clone(), gate, drafts };
        self.log.append(&[batch]).await.unwrap().remove(0)
    }

    pub(super) async fn gate(&self) -> Gate {
        match self.append(None, vec![draft("gate")]).await {
            HotAppended::Gate(state) => state.gate,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn send(&self, drafts: Vec<HotDraft>) -> Vec<HotOutcome> {
        match self.append(Some(self.gate().await), drafts).await {
            HotAppended::Done(_, outcomes) => outcomes,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn send_one(&self, draft: HotDraft) -> HotOutcome {
        self.send(vec![draft]).await.remove(0)
    }

    /// Sends messages that are new, to the archive, too.
    pub(super) async fn fill(&self, names: impl IntoIterator<Item = String>) -> Vec<(Seq, MessageId)> {
        let not_archived = Some(self.now().await.first);
        let drafts = names.into_iter().map(|name| HotDraft { not_archived, ..draft(&name) }).collect();
        self.send(drafts).await.iter().map(new).collect()
    }

    pub(super) async fn archive(&self, upto: u64) {
        let life = self.now().await.life;
        let done = Archived { room: self.room.clone(), life, upto: seq(upto), ticket: None };
        self.log.archived(&[done]).await.unwrap();
    }
}

pub(super) fn names(of: std::ops::RangeInclusive<u64>) -> impl Iterator<Item = String> {
    of.map(|number| format!("m{number}"))
}

pub(super) fn draft(name: &str) -> HotDraft {
    by("ann", name)
}

pub(super) fn by(sender: &str, name: &str) -> HotDraft {
    let sender = user(sender);
    let mut fingerprint = [0; 16];
    fingerprint[..name.len().min(16)].copy_from_slice(&name.as_bytes()[..name.len().min(16)]);
    HotDraft {
        key: key(sender.as_str(), name),
        fingerprint: Fingerprint(fingerprint),
        sender,
        timeline: true,
        changeable: true,
        change: None,
        refused: false,
        not_archived: None,
        payload: name.to_owned().into(),
    }
}

pub(super) fn key(sender: &str, name: &str) -> NameKey {
    NameKey::new(&user(sender), &ClientMessageId::new(name).unwrap())
}

/// A change of somebody else's or the own message, which is not in the timeline.
pub(super) fn change(name: &str, target: MessageId) -> HotDraft {
    let change = HotChange { target, own_only: false, deletes: false, known: None };
    HotDraft { timeline: false, changeable: false, change: Some(change), ..draft(name) }
}

pub(super) fn with(mut draft: HotDraft, edit: impl FnOnce(&mut HotChange)) -> HotDraft {
    edit(draft.change.as_mut().unwrap());
    draft
}

pub(super) fn new(outcome: &HotOutcome) -> (Seq, MessageId) {
    match outcome {
        HotOutcome::New { seq, id } => (*seq, *id),
        other => panic!("{other:?}"),
    }
}

pub(super) fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

pub(super) fn seqs(entries: &[HotEntry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.seq.get()).collect()
}

/// Whatever waits.
pub(super) fn all() -> Take {
    Take {
        entries: 1,
        age: Duration::ZERO,
        max_rooms: 100,
        max_entries: 1_000,
        idle: Duration::from_secs(600),
    }
}
