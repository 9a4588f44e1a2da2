//! What a durable store offers so that another log may stand in front of it.

use async_trait::async_trait;

use crate::{
    Backend, ClientMessageId, Draft, Epoch, Fingerprint, Head, MessageId, Position, Result, RoomId, Seq,
    Timestamp, UserId,
};

/// A stretch of a room's history during which one hot log gave out its positions without losing any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// The epoch of its cursors.
    pub epoch: Epoch,
    /// The last position of the lives before it: its own entries begin behind this one.
    pub base: Seq,
}

/// What an archive holds of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedRoom {
    /// The ends of what is archived, in the archive's own epoch.
    pub head: Head,
    /// No id given out in the room so far is greater; `None` if there was none.
    pub last_id: Option<MessageId>,
    /// The lives since the archive's present epoch began, oldest first, the last [`ArchivedRoom::MAX_LIVES`] of them.
    pub lives: Vec<Life>,
}

impl ArchivedRoom {
    /// So many lives are remembered. A cursor of an earlier one is reset.
    pub const MAX_LIVES: usize = 16;

    /// The life that the next entries belong to, if a hot log has stood in front of this room.
    #[must_use]
    pub fn life(&self) -> Option<&Life> {
        self.lives.last()
    }
}

/// Whether a life began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifeOutcome {
    /// It did; what was imported for earlier ones behind its base is refused from now on.
    Begun,
    /// The room is no longer as it was seen: look again.
    Changed,
    /// There is no such room.
    RoomMissing,
}

/// An entry that has its position already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportEntry {
    /// Its position.
    pub seq: Seq,
    /// Its identity, which is greater than those of the entries before it.
    pub id: MessageId,
    /// What was sent.
    pub draft: Draft,
}

impl ImportEntry {
    /// When it was stored: the time in its id.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        self.id.timestamp()
    }
}

/// Entries of one room, in the order of their positions and without gaps between them.
#[derive(Debug, Clone)]
pub struct Import {
    /// The room.
    pub room: RoomId,
    /// The life that the hot log had when these were read from it.
    pub life: Epoch,
    /// At least one.
    pub entries: Vec<ImportEntry>,
}

/// What became of an [`Import`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportOutcome {
    /// All of them are stored now, by this call or before it. The room's head is this.
    Stored(Seq),
    /// Nothing was stored: these entries begin behind the position that follows the head, which is this.
    Gap(Seq),
    /// Nothing was stored: the room has begun another life meanwhile, which gives out these positions itself, or holds other
    /// entries there.
    Superseded,
    /// There is no such room.
    RoomMissing,
}

/// Whether somebody may write into a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// The room takes entries.
    pub active: bool,
    /// Its limit for bodies.
    pub max_body_chars: u32,
    /// The user is a member now.
    pub member: bool,
}

/// An entry that another one may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedTarget {
    /// Its position.
    pub seq: Seq,
    /// Who sent it.
    pub sender: UserId,
    /// Not deleted, and of a kind that can be changed.
    pub open: bool,
}

/// The archive's side of a [`Tiered`](super::Tiered) log. Implemented by stores that have a
/// [`MessageLog`](crate::MessageLog) and [`Rooms`](crate::Rooms) over the same data.
///
/// # Contract
/// - Imported entries keep position, id, time and fingerprint; they act on their targets, count as unread, and show in lists
///   and searches, as if they had been appended.
/// - A room's sender, activity and target are not checked again: whoever gave out the position did. An entry whose target is no
///   longer there is stored without an effect.
/// - [`begin_life`](Self::begin_life) and [`import`](Self::import) of one room wait for each other.
#[async_trait]
pub trait Archive: Backend {
    /// What is archived of these rooms, in their order; `None` for a room that does not exist.
    async fn rooms(&self, rooms: &[RoomId]) -> Result<Vec<Option<ArchivedRoom>>>;

    /// Begins a life of a room, if it is still as `seen`: the same epoch, head and present life.
    ///
    /// # Cancel safety
    /// The life may or may not have begun.
    async fn begin_life(&self, room: &RoomId, seen: &ArchivedRoom, life: &Life) -> Result<LifeOutcome>;

    /// Stores entries of several rooms, each room at most once, in one step; one outcome for each, in their order.
    ///
    /// Entries up to the head are passed over where they are the same ones. An import is stored only if its life is the
    /// room's present one, or an earlier one whose successors all have bases at or behind its last entry.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if one of the entries is what the archive will never take, such as a second one
    /// of a name: then nothing was stored. Any other error says nothing about what was stored: call again.
    ///
    /// # Cancel safety
    /// A dropped call may or may not have stored the entries.
    async fn import(&self, imports: &[Import]) -> Result<Vec<ImportOutcome>>;

    /// Whether these users may write into these rooms, in their order; `None` for a room that does not exist.
    async fn admissions(&self, writers: &[(RoomId, UserId)]) -> Result<Vec<Option<Admission>>>;

    /// Where the entries with these names are, with the fingerprints of their payloads, in the order of `names`. Cursors are in
    /// the archive's epoch.
    async fn copies(
        &self,
        names: &[(RoomId, UserId, ClientMessageId)],
    ) -> Result<Vec<Option<(Position, Fingerprint)>>>;

    /// What is known of these messages as targets, in their order.
    async fn targets(&self, targets: &[(RoomId, MessageId)]) -> Result<Vec<Option<ArchivedTarget>>>;

    /// The names of the entries that follow `after`, at most `limit`, in the order of their positions.
    ///
    /// # Errors
    /// [`Error::RoomNotFound`](crate::Error::RoomNotFound).
    async fn names(
        &self,
        room: &RoomId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<(Seq, UserId, ClientMessageId)>>;
}
