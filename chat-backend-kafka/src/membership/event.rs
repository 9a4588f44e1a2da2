//! What an application says: what a record means, and where memberships are kept.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use chat_core::{BoxError, Chat, MemberChange, MemberOutcome, NewRoom, Result, Rooms, UserId};

/// A record of the topic.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct MembershipRecord<'r> {
    /// Its key.
    pub key: Option<&'r [u8]>,
    /// Its value.
    pub value: Option<&'r [u8]>,
    /// Its partition.
    pub partition: i32,
    /// Its place there.
    pub offset: i64,
}

impl<'r> MembershipRecord<'r> {
    pub(super) const fn new(
        key: Option<&'r [u8]>,
        value: Option<&'r [u8]>,
        partition: i32,
        offset: i64,
    ) -> Self {
        Self { key, value, partition, offset }
    }
}

/// What a record means.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MembershipEvent {
    /// The room, by its key or its id; created like this if it is missing.
    pub room: NewRoom,
    /// The change of one membership.
    ///
    /// Give it a [version](MemberChange::with_version) that grows with each change of this membership, such as a number or a time of
    /// the sender's database. It is kept with the membership, so a change that comes twice, or after a later one, changes
    /// nothing. Without one, changes are applied in the order in which they come, and a repeat of an older one undoes a
    /// newer one for a moment.
    pub change: MemberChange,
}

impl MembershipEvent {
    /// This change in this room.
    #[must_use]
    pub const fn new(room: NewRoom, change: MemberChange) -> Self {
        Self { room, change }
    }

    /// Whose membership it is: its events are applied one after the other.
    pub(super) fn membership(&self) -> (String, UserId) {
        let room = match &self.room.key {
            Some(key) => format!("key {key}"),
            None => format!("id {}", self.room.id),
        };
        (room, self.change.user.clone())
    }
}

/// Reads records, as the application that writes them does. Closures that take a record do.
pub trait MembershipDecoder: Send + Sync + 'static {
    /// What the record means; `None` for one that is of no interest.
    ///
    /// # Errors
    /// It cannot be read: it becomes a dead letter, with this reason.
    fn decode(&self, record: &MembershipRecord<'_>) -> Result<Option<MembershipEvent>, BoxError>;
}

impl<F> MembershipDecoder for F
where
    F: Fn(&MembershipRecord<'_>) -> Result<Option<MembershipEvent>, BoxError> + Send + Sync + 'static,
{
    fn decode(&self, record: &MembershipRecord<'_>) -> Result<Option<MembershipEvent>, BoxError> {
        self(record)
    }
}

/// Where memberships are kept: a store's [`Rooms`], or a [`Chat`], which also tells the sessions that are open and writes the change into
/// the room.
#[async_trait]
pub trait Memberships: fmt::Debug + Send + Sync + 'static {
    /// Applies an event; a second time changes nothing.
    ///
    /// # Errors
    /// Why not. It is tried again, whatever the error says of that.
    ///
    /// # Cancel safety
    /// A call that is dropped has applied it or not.
    async fn apply(&self, event: MembershipEvent) -> Result<MemberOutcome>;
}

#[async_trait]
impl Memberships for Arc<dyn Rooms> {
    async fn apply(&self, event: MembershipEvent) -> Result<MemberOutcome> {
        let (room, _) = self.create(event.room).await?;
        self.change_member(&room.id, event.change).await
    }
}

#[async_trait]
impl Memberships for Chat {
    async fn apply(&self, event: MembershipEvent) -> Result<MemberOutcome> {
        let service = self.system(event.change.user.clone());
        let (room, _) = service.create_room(event.room).await?;
        service.change_member(&room.id, event.change).await
    }
}
