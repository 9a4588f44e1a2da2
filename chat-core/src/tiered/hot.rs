//! What a fast log offers that stands in front of an archive.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::waiting::{Archived, DeadLetter, Lag, Pending, Take, Unlearned};
use crate::{
    Backend, ClientMessageId, Durability, Epoch, Fingerprint, MessageId, Result, RoomId, Seq, UserId, View,
};

/// A room as the hot log holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HotRoom {
    /// The epoch of the positions that it gives out.
    pub life: Epoch,
    /// The last position given out.
    pub head: Seq,
    /// The first position that it still has an entry of; one past the head where it has none.
    pub first: Seq,
    /// The first position that is kept at all, here or in the archive.
    pub oldest: Seq,
    /// Up to and with this position, entries are in the archive.
    pub archived: Seq,
}

/// What the hot log knows of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HotState {
    /// Nothing: the archive has all there is.
    Absent,
    /// It is closed, and entries of an earlier life are left that may not be in the archive: [`open`](HotLog::open) it before
    /// anything is said of it.
    Left,
    /// It is open.
    Open(HotRoom),
}

/// What stands in the way of a removed member or a closed room: a token that changes with every such change. What a node
/// learned of a room's members holds while the token stays the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Gate(pub Bytes);

/// The gate of a room, as an append found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateState {
    /// Its token.
    pub gate: Gate,
    /// No change is under way. Where one is, or was when its node went away, what is learned now may be outdated in a moment.
    pub settled: bool,
}

/// The digest of a sender and a client id, by which a repeat is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NameKey(pub [u8; 16]);

impl NameKey {
    /// The key of what `sender` calls `client_id`. Its value is the same in every release.
    #[must_use]
    pub fn new(sender: &UserId, client_id: &ClientMessageId) -> Self {
        let mut digest = Sha256::new();
        digest.update((sender.as_str().len() as u64).to_be_bytes());
        digest.update(sender.as_str());
        digest.update(client_id.as_str());
        let mut short = [0; 16];
        short.copy_from_slice(&digest.finalize()[..16]);
        Self(short)
    }
}

/// What a draft wants to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HotChange {
    /// The message.
    pub target: MessageId,
    /// It must be the sender's own.
    pub own_only: bool,
    /// It takes the message away.
    pub deletes: bool,
    /// What the archive says of a target that the hot log no longer has.
    pub known: Option<super::ArchivedTarget>,
}

/// A draft as the hot log sees it: what it needs to decide, and the rest as bytes.
#[derive(Debug, Clone)]
pub struct HotDraft {
    /// By which it is known when it comes again.
    pub key: NameKey,
    /// The digest of its payload.
    pub fingerprint: Fingerprint,
    /// From whom.
    pub sender: UserId,
    /// Stands for itself.
    pub timeline: bool,
    /// Can be changed by another entry.
    pub changeable: bool,
    /// What it changes.
    pub change: Option<HotChange>,
    /// It is refused whatever the hot log says, unless it is a repeat.
    pub refused: bool,
    /// The archive was asked, and has no entry of this key; it was asked when this was the first position here.
    pub not_archived: Option<Seq>,
    /// The encoded draft.
    pub payload: Bytes,
}

/// Drafts of one room, in their order.
#[derive(Debug, Clone)]
pub struct HotBatch {
    /// The room.
    pub room: RoomId,
    /// The gate under which the senders were found to be members; `None` asks for it.
    pub gate: Option<Gate>,
    /// The drafts.
    pub drafts: Vec<HotDraft>,
}

/// What became of a [`HotBatch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HotAppended {
    /// The room is not open here: [`open`](HotLog::open) it. Nothing was stored.
    Closed,
    /// The gate is another one, and this is it. Nothing was stored.
    Gate(GateState),
    /// So many entries wait to be archived that no more are taken. Nothing was stored.
    Full,
    /// One outcome per draft, in their order, and the life that gave out new positions.
    Done(Epoch, Vec<HotOutcome>),
}

/// What became of one draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HotOutcome {
    /// Stored now.
    New {
        /// Its position.
        seq: Seq,
        /// Its identity; its time is in it.
        id: MessageId,
    },
    /// There is an entry of this key: whether it is the same one, its fingerprint says.
    Known {
        /// Its position.
        seq: Seq,
        /// Its identity.
        id: MessageId,
        /// The digest of its payload.
        fingerprint: Fingerprint,
    },
    /// It was to be refused, and is no repeat.
    Refused,
    /// There is no such target, or it is deleted or cannot be changed.
    TargetMissing,
    /// The target is somebody else's.
    TargetNotOwn,
    /// The archive may have an entry of this key: ask it, and append again with `not_archived` of this. The drafts that
    /// follow it in the batch were not looked at.
    AskForCopy(Seq),
    /// The target is not here: ask the archive, and append again. The drafts that follow it were not looked at.
    AskForTarget,
    /// Not looked at, because of an earlier draft of the batch.
    NotReached,
}

/// An entry as the hot log gives it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HotEntry {
    /// Its position.
    pub seq: Seq,
    /// Its identity; its time is in it.
    pub id: MessageId,
    /// The position of the message that it changes, if it changes one.
    pub target: Option<Seq>,
    /// The encoded draft.
    pub payload: Bytes,
}

/// From where a page of the hot log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HotFrom {
    /// What follows this position.
    After(Seq),
    /// What precedes this position.
    Before(Seq),
    /// What follows this message.
    AfterId(MessageId),
    /// What precedes this message.
    BeforeId(MessageId),
    /// The newest entries.
    Newest,
}

/// What the hot log has of a page.
#[derive(Debug, Clone)]
pub enum HotPage {
    /// The room is not open here: [`HotLog::rooms`] says whether anything is left of it.
    Closed,
    /// The page begins or ends before [`HotRoom::first`], or starts from a message that is not here: the archive has it.
    Elsewhere(HotRoom),
    /// All of it is here.
    Here(HotWindow),
}

/// A page out of the hot log, of one instant.
#[derive(Debug, Clone)]
pub struct HotWindow {
    /// The room.
    pub room: HotRoom,
    /// The position that the page starts from; one past the head for the newest.
    pub place: Seq,
    /// The entries in the order of their positions. Of the timeline, one more than asked for where there are more.
    pub entries: Vec<HotEntry>,
    /// What was done later to these entries and to the targets of those that are edits: edits, deletions and reactions in
    /// the order of their positions. May contain entries of the page, too.
    pub changes: Vec<HotEntry>,
    /// Of the timeline: there are entries at or before the place.
    pub earlier: bool,
    /// Of the timeline: there are entries at or after the place.
    pub later: bool,
}

/// The right to open a room, for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Somebody has opened it.
    Open(HotRoom),
    /// Somebody else is opening it: ask again after this time.
    Wait(Duration),
    /// Open it, with this token.
    Yours {
        /// The token.
        token: Bytes,
        /// What is left of an earlier life, which may have lost its last entries.
        left: Option<HotRoom>,
    },
}

/// How a room is opened.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The room.
    pub room: RoomId,
    /// From [`Claim::Yours`].
    pub token: Bytes,
    /// The epoch of the life that begins.
    pub life: Epoch,
    /// The last position that exists: what is given out next follows it.
    pub base: Seq,
    /// Up to and with this position, entries are in the archive.
    pub archived: Seq,
    /// The first position that is kept at all.
    pub oldest: Seq,
    /// Ids given out must be greater.
    pub last_id: Option<MessageId>,
    /// Go on with the entries that are left. Otherwise those that wait are put aside as lost …
    pub keep: bool,
    /// … behind this position: up to and with it the archive has the same ones.
    pub lost_after: Seq,
}

/// A membership or a room is being changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold(pub Bytes);

/// A log that holds the newest entries of its rooms, gives out their positions, and forgets them once they are archived.
///
/// It knows nothing of rooms and members but what it is told: [`Tiered`](super::Tiered) looks those up in the archive. Of
/// each room it keeps a *window*: all entries that are not archived, and some more.
///
/// # Contract
/// - An append of a room is one step: repeats are found, positions and ids given out, entries stored.
/// - A room is *open* only as long as it is certain that no entry of it was lost. After a restart, a failover, or a flush it
///   is closed, whatever is left of it.
/// - Each call is safe to drop; it may or may not have been done.
#[async_trait]
pub trait HotLog: Backend {
    /// How safe an entry is when [`append`](Self::append) answers.
    fn durability(&self) -> Durability;

    /// What is known of these rooms, in their order.
    async fn rooms(&self, rooms: &[RoomId]) -> Result<Vec<HotState>>;

    /// Appends, one answer per batch. Each room occurs at most once.
    ///
    /// Each draft is checked in one order: whether it is a repeat; `refused`; the target.
    ///
    /// # Errors
    /// An error says nothing about what was stored: append again.
    async fn append(&self, batches: &[HotBatch]) -> Result<Vec<HotAppended>>;

    /// Reads one page, of one instant. `limit` is at least 1.
    async fn page(&self, room: &RoomId, from: HotFrom, view: View, limit: usize) -> Result<HotPage>;

    /// Asks for the right to open a room.
    async fn claim(&self, room: &RoomId) -> Result<Claim>;

    /// Opens a room; `false` if the claim ran out or the room is open.
    async fn open(&self, opening: Opening) -> Result<bool>;

    /// Closes a room whose life the archive no longer goes along with. What is left stays, until it is opened again.
    async fn close_room(&self, room: &RoomId, life: &Epoch) -> Result<()>;

    /// Before a change of who may write into a room: the gate becomes another one, and is not settled.
    async fn hold(&self, room: &RoomId) -> Result<Hold>;

    /// After the change: the gate becomes another one, and is settled if no other change is under way.
    async fn release(&self, room: &RoomId, hold: &Hold) -> Result<()>;

    /// Entries before `oldest` are no longer kept anywhere.
    async fn trim(&self, room: &RoomId, life: &Epoch, oldest: Seq) -> Result<()>;

    /// Takes rooms whose entries wait, also closed ones with entries left, each for itself: nobody else takes them until they are [`archived`](Self::archived)
    /// or `idle` is over. `worker` is a name that no other worker has.
    async fn take(&self, worker: &str, take: Take) -> Result<Vec<Pending>>;

    /// Which of these rooms have entries that wait, closed ones with entries left among them, with at most `max_entries` of each.
    async fn pending(&self, rooms: &[RoomId], max_entries: usize) -> Result<Vec<Pending>>;

    /// Every room with entries that wait, closed ones with entries left among them.
    async fn pending_rooms(&self) -> Result<Vec<RoomId>>;

    /// Notes what was archived. Rooms with more that waits will be taken again.
    async fn archived(&self, done: &[Archived]) -> Result<()>;

    /// Puts entries aside where an operator finds them.
    async fn bury(&self, letters: &[DeadLetter]) -> Result<()>;

    /// What of the archive's names is not known here yet; `None` if all are, or the room is closed.
    async fn unlearned(&self, room: &RoomId) -> Result<Option<Unlearned>>;

    /// Tells the names of the archive behind the position [`Unlearned::after`], up to and with `upto`. Without an effect if the
    /// life is another one, or others than those are to be told by now.
    async fn learn(
        &self,
        room: &RoomId,
        life: &Epoch,
        after: Seq,
        upto: Seq,
        names: &[NameKey],
    ) -> Result<()>;

    /// How far the archive is behind.
    async fn lag(&self) -> Result<Lag>;
}
