//! Every trait for `Arc<T>` and `Box<T>`, so that a part can be shared, boxed and wrapped without anybody noticing.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

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

/// Implements one trait for one pointer; the lint finds a method with a default body that was forgotten here.
macro_rules! forward {
    (@for $pointer:ident $trait:ident {
        $( fn $plain:ident() -> $value:ty; )*
        $( async fn $method:ident( $( $argument:ident: $type:ty ),* ) -> $output:ty; )*
    }) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: $trait + ?Sized> $trait for $pointer<T> {
            $(
                fn $plain(&self) -> $value {
                    (**self).$plain()
                }
            )*
            $(
                async fn $method(&self, $( $argument: $type ),*) -> $output {
                    (**self).$method($( $argument ),*).await
                }
            )*
        }
    };
    ($trait:ident { $( $methods:tt )* }) => {
        forward!(@for Arc $trait { $( $methods )* });
        forward!(@for Box $trait { $( $methods )* });
    };
}

forward!(Backend {
    fn name() -> &'static str;
    async fn health() -> Result<()>;
});

forward!(MessageLog {
    fn durability() -> Durability;
    fn parallel_appends() -> usize;
    async fn append(drafts: &[Draft]) -> Result<Vec<AppendOutcome>>;
    async fn read(room: &RoomId, query: ReadQuery) -> Result<Page>;
    async fn heads(rooms: &[RoomId]) -> Result<Vec<Option<Head>>>;
    async fn trim(room: &RoomId, retention: Retention) -> Result<Head>;
});

forward!(Rooms {
    async fn create(room: NewRoom) -> Result<(Room, bool)>;
    async fn room(room: &RoomId) -> Result<Room>;
    async fn room_by_key(key: &RoomKey) -> Result<Option<Room>>;
    async fn update(room: &RoomId, change: RoomChange) -> Result<Room>;
    async fn change_member(room: &RoomId, change: MemberChange) -> Result<MemberOutcome>;
    async fn member(room: &RoomId, user: &UserId) -> Result<Option<Member>>;
    async fn memberships(user: &UserId, rooms: &[RoomId]) -> Result<Vec<Option<Member>>>;
    async fn members(room: &RoomId, after: Option<&UserId>, limit: usize) -> Result<MembersPage>;
    async fn mark_read(room: &RoomId, user: &UserId, cursor: &Cursor) -> Result<ReadMarker>;
    async fn unread(user: &UserId, rooms: &[RoomId]) -> Result<Vec<u64>>;
    async fn rooms_of(user: &UserId, after: Option<&ActivityCursor>, limit: usize) -> Result<RoomsPage>;
    async fn read_markers(room: &RoomId, after: Option<&UserId>, limit: usize) -> Result<Vec<ReadMarker>>;
});

forward!(Fanout {
    async fn publish(events: &[Publication]) -> Result<()>;
    async fn subscribe(topic: &Topic) -> Result<Subscription>;
});

forward!(Presence {
    async fn renew(lease: &NodeLease, ttl: Duration) -> Result<LeaseStatus>;
    async fn release(lease: &NodeLease) -> Result<()>;
    async fn connected(connection: &PresenceConnection) -> Result<PresenceChange>;
    async fn disconnected(connection: &PresenceConnection) -> Result<PresenceChange>;
    async fn presence(users: &[UserId]) -> Result<Vec<UserPresence>>;
    async fn sweep(grace: Duration) -> Result<Vec<UserPresence>>;
});

forward!(Search {
    async fn search(query: SearchQuery) -> Result<SearchPage>;
});

forward!(Auth {
    async fn authenticate(credentials: &Credentials) -> Result<Principal>;
    async fn revalidate(principal: &Principal) -> Result<()>;
});

forward!(Authorize {
    async fn authorize(access: Access<'_>) -> Result<Decision>;
});

forward!(RevocationStore {
    async fn revoke(revocation: &Revocation) -> Result<()>;
    async fn is_revoked(principal: &Principal) -> Result<bool>;
});

forward!(SessionBindings {
    async fn claim(
        binding: &Binding,
        connection: &ConnectionId,
        policy: BindingPolicy,
        time_to_live: Duration
    ) -> Result<BindingClaim>;
    async fn release(binding: &Binding, connection: &ConnectionId) -> Result<()>;
});

forward!(RateLimiter {
    async fn check(key: RateKey) -> Result<RateDecision>;
});

forward!(UnreadCache {
    async fn recall(user: &UserId, rooms: &[RoomId]) -> Result<Vec<KnownUnread>>;
    async fn remember(user: &UserId, counts: &[NewUnread]) -> Result<()>;
    async fn hold(user: &UserId, room: &RoomId) -> Result<UnreadHold>;
    async fn release(user: &UserId, room: &RoomId, hold: &UnreadHold) -> Result<()>;
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::RoleAuthorizer;

    /// Compiles only if every pointer to every trait object is that trait itself.
    #[test]
    fn a_pointer_to_a_part_is_that_part() {
        fn parts<L: MessageLog, R: Rooms, F: Fanout, P: Presence, S: Search>() {}
        fn guards<A: Auth, Z: Authorize, V: RevocationStore, M: RateLimiter>() {}
        fn bindings<B: SessionBindings>() {}
        fn caches<C: UnreadCache>() {}
        parts::<Arc<dyn MessageLog>, Arc<dyn Rooms>, Arc<dyn Fanout>, Arc<dyn Presence>, Arc<dyn Search>>();
        parts::<Box<dyn MessageLog>, Box<dyn Rooms>, Box<dyn Fanout>, Box<dyn Presence>, Box<dyn Search>>();
        guards::<Arc<dyn Auth>, Arc<dyn Authorize>, Arc<dyn RevocationStore>, Arc<dyn RateLimiter>>();
        bindings::<Arc<dyn SessionBindings>>();
        bindings::<Box<dyn SessionBindings>>();
        caches::<Arc<dyn UnreadCache>>();
        caches::<Box<dyn UnreadCache>>();
        guards::<Box<dyn Auth>, Box<dyn Authorize>, Box<dyn RevocationStore>, Box<dyn RateLimiter>>();
    }

    #[tokio::test]
    async fn a_call_reaches_what_is_pointed_at() {
        let admin = Principal::new(UserId::new("ann").unwrap()).with_role("admin");
        let access = Access::new(&admin, crate::auth::Action::ManageRoom, None, None);
        let rules: Arc<Box<dyn Authorize>> = Arc::new(Box::new(RoleAuthorizer::new()));
        assert_eq!(rules.authorize(access).await.unwrap(), Decision::Allow(crate::Authority::Moderator));
    }
}
