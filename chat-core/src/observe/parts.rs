use std::time::Duration;

use async_trait::async_trait;
use tracing::field::Empty;

use super::{
    Observed,
    call::{Labels, call, watch},
};
use crate::{
    Backend, ConnectionId, Cursor, Draft, Fanout, MessageLog, Page, Presence, Result, RoomId, RoomKey, Rooms,
    Search, UserId,
    auth::{
        Access, Auth, Authorize, Binding, BindingClaim, BindingPolicy, Credentials, Decision, Principal,
        Revocation, RevocationStore, SessionBindings,
    },
    fanout::{Publication, Subscription, Topic},
    message_log::{AppendOutcome, Durability, Head, ReadQuery, Retention},
    presence::{LeaseStatus, NodeLease, PresenceChange, PresenceConnection, UserPresence},
    rate_limit::{RateDecision, RateKey, RateLimiter},
    rooms::{
        ActivityCursor, Member, MemberChange, MemberOutcome, MembersPage, NewRoom, ReadMarker, Room,
        RoomChange, RoomsPage,
    },
    search::{SearchPage, SearchQuery},
    unread::{KnownUnread, NewUnread, UnreadCache, UnreadHold},
};

/// One call: its span, its labels, and what it is passed on to. The braces hold the span's own fields.
macro_rules! observed {
    ($self:ident.$kind:ident.$method:ident( $( $argument:expr ),* ) as $backend:expr, { $( $fields:tt )* }) => {{
        let backend = $backend;
        let labels = Labels { backend, kind: stringify!($kind), operation: stringify!($method) };
        let span = tracing::debug_span!(
            concat!("chat.", stringify!($kind), ".", stringify!($method)), backend, error = Empty, $( $fields )*
        );
        call(span, labels, $self.inner.$method($( $argument ),*))
    }};
    ($self:ident.$kind:ident.$method:ident( $( $argument:expr ),* ), { $( $fields:tt )* }) => {
        observed!($self.$kind.$method($( $argument ),*) as $self.inner.name(), { $( $fields )* })
    };
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: Backend> Backend for Observed<T> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn health(&self) -> Result<()> {
        observed!(self.backend.health(), {}).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: MessageLog> MessageLog for Observed<T> {
    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    fn parallel_appends(&self) -> usize {
        self.inner.parallel_appends()
    }

    async fn append(&self, drafts: &[Draft]) -> Result<Vec<AppendOutcome>> {
        observed!(self.message_log.append(drafts), { count = drafts.len() }).await
    }

    async fn read(&self, room: &RoomId, query: ReadQuery) -> Result<Page> {
        observed!(self.message_log.read(room, query), { %room }).await
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>> {
        observed!(self.message_log.heads(rooms), { count = rooms.len() }).await
    }

    async fn trim(&self, room: &RoomId, retention: Retention) -> Result<Head> {
        observed!(self.message_log.trim(room, retention), { %room }).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: Rooms> Rooms for Observed<T> {
    async fn create(&self, room: NewRoom) -> Result<(Room, bool)> {
        observed!(self.rooms.create(room), { room = %room.id }).await
    }

    async fn room(&self, room: &RoomId) -> Result<Room> {
        observed!(self.rooms.room(room), { %room }).await
    }

    async fn room_by_key(&self, key: &RoomKey) -> Result<Option<Room>> {
        observed!(self.rooms.room_by_key(key), {}).await
    }

    async fn update(&self, room: &RoomId, change: RoomChange) -> Result<Room> {
        observed!(self.rooms.update(room, change), { %room }).await
    }

    async fn change_member(&self, room: &RoomId, change: MemberChange) -> Result<MemberOutcome> {
        observed!(self.rooms.change_member(room, change), { %room }).await
    }

    async fn member(&self, room: &RoomId, user: &UserId) -> Result<Option<Member>> {
        observed!(self.rooms.member(room, user), { %room }).await
    }

    async fn memberships(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<Option<Member>>> {
        observed!(self.rooms.memberships(user, rooms), { count = rooms.len() }).await
    }

    async fn members(&self, room: &RoomId, after: Option<&UserId>, limit: usize) -> Result<MembersPage> {
        observed!(self.rooms.members(room, after, limit), { %room }).await
    }

    async fn mark_read(&self, room: &RoomId, user: &UserId, cursor: &Cursor) -> Result<ReadMarker> {
        observed!(self.rooms.mark_read(room, user, cursor), { %room }).await
    }

    async fn unread(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<u64>> {
        observed!(self.rooms.unread(user, rooms), { count = rooms.len() }).await
    }

    async fn rooms_of(
        &self,
        user: &UserId,
        after: Option<&ActivityCursor>,
        limit: usize,
    ) -> Result<RoomsPage> {
        observed!(self.rooms.rooms_of(user, after, limit), {}).await
    }

    async fn read_markers(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<ReadMarker>> {
        observed!(self.rooms.read_markers(room, after, limit), { %room }).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: Fanout> Fanout for Observed<T> {
    async fn publish(&self, events: &[Publication]) -> Result<()> {
        observed!(self.fanout.publish(events), { count = events.len() }).await
    }

    async fn subscribe(&self, topic: &Topic) -> Result<Subscription> {
        let labels = Labels { backend: self.inner.name(), kind: "fanout", operation: "subscribe" };
        let subscription = observed!(self.fanout.subscribe(topic), { room = room_of(topic) }).await?;
        Ok(watch(subscription, labels))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: Presence> Presence for Observed<T> {
    async fn renew(&self, lease: &NodeLease, ttl: Duration) -> Result<LeaseStatus> {
        observed!(self.presence.renew(lease, ttl), {}).await
    }

    async fn release(&self, lease: &NodeLease) -> Result<()> {
        observed!(self.presence.release(lease), {}).await
    }

    async fn connected(&self, connection: &PresenceConnection) -> Result<PresenceChange> {
        observed!(self.presence.connected(connection), {}).await
    }

    async fn disconnected(&self, connection: &PresenceConnection) -> Result<PresenceChange> {
        observed!(self.presence.disconnected(connection), {}).await
    }

    async fn presence(&self, users: &[UserId]) -> Result<Vec<UserPresence>> {
        observed!(self.presence.presence(users), { count = users.len() }).await
    }

    async fn sweep(&self, grace: Duration) -> Result<Vec<UserPresence>> {
        observed!(self.presence.sweep(grace), {}).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: Search> Search for Observed<T> {
    async fn search(&self, query: SearchQuery) -> Result<SearchPage> {
        observed!(self.search.search(query), { room = query.room.as_ref().map(RoomId::as_str) }).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: Auth> Auth for Observed<T> {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal> {
        observed!(self.auth.authenticate(credentials), {}).await
    }

    async fn revalidate(&self, principal: &Principal) -> Result<()> {
        observed!(self.auth.revalidate(principal), {}).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: Authorize> Authorize for Observed<T> {
    async fn authorize(&self, access: Access<'_>) -> Result<Decision> {
        observed!(self.authorize.authorize(access) as "application", { room = access.room.map(RoomId::as_str) }).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: RevocationStore> RevocationStore for Observed<T> {
    async fn revoke(&self, revocation: &Revocation) -> Result<()> {
        observed!(self.revocation_store.revoke(revocation), {}).await
    }

    async fn is_revoked(&self, principal: &Principal) -> Result<bool> {
        observed!(self.revocation_store.is_revoked(principal), {}).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: SessionBindings> SessionBindings for Observed<T> {
    async fn claim(
        &self,
        binding: &Binding,
        connection: &ConnectionId,
        policy: BindingPolicy,
        time_to_live: Duration,
    ) -> Result<BindingClaim> {
        observed!(self.session_bindings.claim(binding, connection, policy, time_to_live), {}).await
    }

    async fn release(&self, binding: &Binding, connection: &ConnectionId) -> Result<()> {
        observed!(self.session_bindings.release(binding, connection), {}).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: RateLimiter> RateLimiter for Observed<T> {
    async fn check(&self, key: RateKey) -> Result<RateDecision> {
        observed!(self.rate_limiter.check(key), {}).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: UnreadCache> UnreadCache for Observed<T> {
    async fn recall(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<KnownUnread>> {
        observed!(self.unread_cache.recall(user, rooms), { count = rooms.len() }).await
    }

    async fn remember(&self, user: &UserId, counts: &[NewUnread]) -> Result<()> {
        observed!(self.unread_cache.remember(user, counts), { count = counts.len() }).await
    }

    async fn hold(&self, user: &UserId, room: &RoomId) -> Result<UnreadHold> {
        observed!(self.unread_cache.hold(user, room), { %room }).await
    }

    async fn release(&self, user: &UserId, room: &RoomId, hold: &UnreadHold) -> Result<()> {
        observed!(self.unread_cache.release(user, room, hold), { %room }).await
    }
}

fn room_of(topic: &Topic) -> Option<&str> {
    match topic {
        Topic::Room(room) => Some(room.as_str()),
        Topic::User(_) => None,
    }
}
