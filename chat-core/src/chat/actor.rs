mod members;

use std::sync::Arc;

use crate::{
    AppendOutcome, Authority, Body, ClientMessageId, Content, Cursor, Draft, Durability, Error,
    MAX_BODY_CHARS, Member, MessageId, NewRoom, Page, Position, ReactionKey, ReactionOp, ReadMarker,
    ReadQuery, Result, Room, RoomChange, RoomId, SendFailure, UserId,
    auth::{Access, Action, Decision, Principal},
    chat::{Inner, hooks},
    fanout::{FanoutEvent, Publication, Topic},
    presence::UserPresence,
    rate_limit::{RateDecision, RateKey},
    rooms::{ActivityCursor, MembersPage, RoomsPage},
    search::{SearchPage, SearchQuery},
    session::SessionCore,
};

/// Most users whose presence is asked for at once.
const MAX_PRESENCE_USERS: usize = 200;

/// A send that succeeded: stored, or in a durable queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Where the message is; `None` for one in a durable queue ([`Durability::Accepted`]), which has no place yet.
    pub position: Option<Position>,
    /// It was there before: this is the first one's position.
    pub duplicate: bool,
    /// How safe it is.
    pub durability: Durability,
}

/// Somebody and what they may do: every call is authorized, rate limited, and told to whom it concerns.
#[derive(Debug, Clone)]
pub struct Actor {
    inner: Arc<Inner>,
    principal: Arc<Principal>,
    /// The connection behind it, whose joined rooms need no look-up.
    session: Option<Arc<SessionCore>>,
    /// The service itself.
    system: bool,
}

impl Actor {
    pub(crate) fn new(
        inner: Arc<Inner>,
        principal: Arc<Principal>,
        session: Option<Arc<SessionCore>>,
    ) -> Self {
        Self { inner, principal, session, system: false }
    }

    pub(crate) fn system(inner: Arc<Inner>, user: UserId) -> Self {
        Self { inner, principal: Arc::new(Principal::new(user)), session: None, system: true }
    }

    /// Who acts.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.principal.user
    }

    /// Asks for permission in a room, with the membership as it is now.
    pub(crate) async fn permit(&self, action: Action, room: &RoomId) -> Result<(Authority, Option<Member>)> {
        if self.system {
            return Ok((Authority::System, None));
        }
        let parts = &self.inner.parts;
        let member = parts.call("member", parts.rooms.member(room, self.user())).await?;
        let authority = self.decide(action, Some(room), member.as_ref()).await?;
        Ok((authority, member))
    }

    /// Asks for permission with what is known of a joined room; the log checks the membership again.
    async fn permit_quickly(&self, action: Action, room: &RoomId) -> Result<Authority> {
        let link = self.session.as_ref().and_then(|session| session.room(room));
        let known = link.and_then(|link| link.lock().member.clone());
        match known {
            Some(member) if !self.system => self.decide(action, Some(room), Some(&member)).await,
            _ => Ok(self.permit(action, room).await?.0),
        }
    }

    async fn decide(
        &self,
        action: Action,
        room: Option<&RoomId>,
        member: Option<&Member>,
    ) -> Result<Authority> {
        let parts = &self.inner.parts;
        let access = Access::new(&self.principal, action, room, member);
        match (parts.call("authorize", parts.authorizer.authorize(access)).await?, room) {
            (Decision::Allow(authority), _) => Ok(authority),
            (Decision::NotAMember, Some(room)) => {
                Err(Error::NotAMember { room: room.clone(), user: self.user().clone() })
            }
            (Decision::NotAMember, None) => Err(Error::Forbidden { reason: "members only" }),
            (Decision::Deny(reason), _) => Err(Error::Forbidden { reason }),
        }
    }

    async fn take(&self, key: RateKey) -> Result<()> {
        if self.system {
            return Ok(());
        }
        let parts = &self.inner.parts;
        match parts.call("rate limit", parts.limiter.check(key)).await? {
            RateDecision::Allowed => Ok(()),
            RateDecision::Limited { retry_after } => Err(Error::RateLimited { retry_after }),
        }
    }

    async fn take_read(&self) -> Result<()> {
        self.take(RateKey::UserReads(self.user().clone())).await
    }

    /// Stores an entry and tells the room. Sending the same client id again is the same message.
    ///
    /// # Errors
    /// [`Error::NotAMember`], [`Error::Forbidden`], [`Error::RoomNotFound`], [`Error::Body`], [`Error::Refused`],
    /// [`Error::Rejected`], [`Error::Conflict`], [`Error::Invalid`] for a [reserved](ClientMessageId::RESERVED) client id:
    /// not stored. [`Error::RateLimited`], [`Error::Busy`]: not stored, try
    /// again. [`Error::Timeout`] and backend errors: unknown, try again with the same client id.
    ///
    /// # Cancel safety
    /// A dropped call may or may not have stored the message. Sending it again is safe.
    pub async fn send(&self, room: &RoomId, client_id: ClientMessageId, content: Content) -> Result<Sent> {
        content.body().map_or(Ok(()), |body: &Body| body.check(MAX_BODY_CHARS))?;
        if client_id.is_reserved() {
            // Or its sender could take the place of an entry that tells of them.
            return Err(Error::invalid("client id", "those that begin with `!` are the server's own"));
        }
        let authority = self.permit_quickly(Action::Send(content.kind()), room).await?;
        self.take(RateKey::UserSends(self.user().clone())).await?;
        self.take(RateKey::RoomSends(room.clone())).await?;
        let draft =
            Draft::new(room.clone(), self.user().clone(), client_id, content).with_authority(authority);
        let draft = if self.system { draft } else { hooks::before_append(&self.inner.parts, draft).await? };
        self.append(draft).await
    }

    async fn append(&self, draft: Draft) -> Result<Sent> {
        let (room, user) = (draft.room.clone(), draft.sender.clone());
        let durability = self.inner.parts.log.durability();
        let (position, duplicate) = match self.inner.group_commit.append(draft).await? {
            AppendOutcome::New(position) => (Some(position), false),
            AppendOutcome::Duplicate(position) => (Some(position), true),
            AppendOutcome::Accepted => (None, false),
            AppendOutcome::Conflict(first) => return Err(SendFailure::Conflict(first).to_error(&room, &user)),
            AppendOutcome::Refused(refusal) => {
                return Err(SendFailure::Refused(refusal).to_error(&room, &user));
            }
        };
        Ok(Sent { position, duplicate, durability })
    }

    /// [`send`](Self::send) of a text.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn send_text(&self, room: &RoomId, client_id: ClientMessageId, text: &str) -> Result<Sent> {
        self.send(room, client_id, Content::text(text)).await
    }

    /// [`send`](Self::send) of an edit.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn edit(
        &self,
        room: &RoomId,
        client_id: ClientMessageId,
        target: MessageId,
        body: Body,
    ) -> Result<Sent> {
        self.send(room, client_id, Content::Edit { target, body }).await
    }

    /// [`send`](Self::send) of a delete.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn delete(&self, room: &RoomId, client_id: ClientMessageId, target: MessageId) -> Result<Sent> {
        self.send(room, client_id, Content::Delete { target }).await
    }

    /// [`send`](Self::send) of a reaction.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn react(
        &self,
        room: &RoomId,
        client_id: ClientMessageId,
        target: MessageId,
        key: ReactionKey,
        op: ReactionOp,
    ) -> Result<Sent> {
        self.send(room, client_id, Content::Reaction { target, key, op }).await
    }

    /// One page of a room.
    ///
    /// # Errors
    /// As for [`MessageLog::read`](crate::MessageLog::read); [`Error::NotAMember`], [`Error::RateLimited`].
    pub async fn history(&self, room: &RoomId, query: ReadQuery) -> Result<Page> {
        self.permit(Action::Read, room).await?;
        self.take_read().await?;
        let parts = &self.inner.parts;
        parts.call("read", parts.log.read(room, query)).await
    }

    /// My rooms, latest activity first.
    ///
    /// # Errors
    /// [`Error::RateLimited`]; a backend's error.
    pub async fn rooms(&self, after: Option<&ActivityCursor>, limit: usize) -> Result<RoomsPage> {
        self.take_read().await?;
        let parts = &self.inner.parts;
        parts.call("rooms_of", parts.rooms.rooms_of(self.user(), after, limit)).await
    }

    /// A room.
    ///
    /// # Errors
    /// [`Error::NotAMember`], [`Error::RoomNotFound`].
    pub async fn room(&self, room: &RoomId) -> Result<Room> {
        self.permit(Action::Read, room).await?;
        let parts = &self.inner.parts;
        parts.call("room", parts.rooms.room(room)).await
    }

    /// Creates a room and becomes its owner, or gets the one with its key or id; `true` if it is new.
    ///
    /// # Errors
    /// [`Error::Forbidden`]; [`Error::NotAMember`] if it exists and is somebody else's; [`Error::RoomExists`],
    /// [`Error::LimitExceeded`].
    pub async fn create_room(&self, room: NewRoom) -> Result<(Room, bool)> {
        let parts = &self.inner.parts;
        if !self.system {
            self.decide(Action::CreateRoom, None, None).await?;
        }
        self.take(RateKey::UserSends(self.user().clone())).await?;
        let room = if self.system { room } else { room.with_owner(self.user().clone()) };
        let (room, new) = parts.call("create", parts.rooms.create(room)).await?;
        if !new {
            self.permit(Action::Read, &room.id).await?;
        } else if !self.system {
            // Other devices of this user show it.
            let member = parts.call("member", parts.rooms.member(&room.id, self.user())).await?;
            if let Some(member) = member {
                self.tell_of_member(&room.id, &member);
            }
        }
        Ok((room, new))
    }

    /// Changes a room.
    ///
    /// # Errors
    /// [`Error::NotAMember`], [`Error::Forbidden`], [`Error::RoomNotFound`], [`Error::LimitExceeded`].
    pub async fn update_room(&self, room: &RoomId, change: RoomChange) -> Result<Room> {
        self.permit(Action::ManageRoom, room).await?;
        self.take(RateKey::UserSends(self.user().clone())).await?;
        let (rooms, of) = (self.inner.parts.rooms.clone(), room.clone());
        let store = async move { rooms.update(&of, change).await };
        let (inner, room) = (self.inner.clone(), room.clone());
        let tell = async move |changed: Room| {
            let event = FanoutEvent::RoomChanged(changed.clone());
            inner.publisher.send(vec![Publication::new(Topic::Room(room), event)]);
            changed
        };
        self.inner.changes.see_through(&self.inner.parts, "update", store, tell).await
    }

    /// Members, by user id.
    ///
    /// # Errors
    /// [`Error::NotAMember`], [`Error::RoomNotFound`], [`Error::RateLimited`].
    pub async fn members(&self, room: &RoomId, after: Option<&UserId>, limit: usize) -> Result<MembersPage> {
        self.permit(Action::SeeMembers, room).await?;
        self.take_read().await?;
        let parts = &self.inner.parts;
        parts.call("members", parts.rooms.members(room, after, limit)).await
    }

    /// Moves my read marker forward and tells the room and my other devices.
    ///
    /// # Errors
    /// As for [`Rooms::mark_read`](crate::Rooms::mark_read); [`Error::RateLimited`].
    pub async fn mark_read(&self, room: &RoomId, cursor: &Cursor) -> Result<ReadMarker> {
        self.take(RateKey::UserSignals(self.user().clone())).await?;
        let (rooms, inner, user) = (self.inner.parts.rooms.clone(), self.inner.clone(), self.user().clone());
        let (of, at, who) = (room.clone(), cursor.clone(), user.clone());
        let store = async move { rooms.mark_read(&of, &who, &at).await };
        let (room, cursor) = (room.clone(), cursor.clone());
        let tell = async move |marker: ReadMarker| {
            if marker.cursor == cursor {
                let event =
                    || FanoutEvent::Read { room: room.clone(), user: user.clone(), cursor: cursor.clone() };
                inner.publisher.send(vec![
                    Publication::new(Topic::Room(room.clone()), event()),
                    Publication::new(Topic::User(user.clone()), event()),
                ]);
            }
            marker
        };
        self.inner.changes.see_through(&self.inner.parts, "mark_read", store, tell).await
    }

    /// Who has read up to where.
    ///
    /// # Errors
    /// [`Error::NotAMember`], [`Error::RoomNotFound`], [`Error::RateLimited`].
    pub async fn read_markers(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<ReadMarker>> {
        self.permit(Action::Read, room).await?;
        self.take_read().await?;
        let parts = &self.inner.parts;
        parts.call("read_markers", parts.rooms.read_markers(room, after, limit)).await
    }

    /// How many entries of each room are unread.
    ///
    /// # Errors
    /// [`Error::RateLimited`]; a backend's error.
    pub async fn unread(&self, rooms: &[RoomId]) -> Result<Vec<u64>> {
        self.take_read().await?;
        let parts = &self.inner.parts;
        parts.call("unread", parts.rooms.unread(self.user(), rooms)).await
    }

    /// Who of these is online; at most 200 users at a time.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`], [`Error::RateLimited`].
    pub async fn presence(&self, users: &[UserId]) -> Result<Vec<UserPresence>> {
        if users.len() > MAX_PRESENCE_USERS {
            return Err(Error::LimitExceeded { what: "users", max: MAX_PRESENCE_USERS as u64 });
        }
        self.take_read().await?;
        let parts = &self.inner.parts;
        parts.call("presence", parts.presence.presence(users)).await
    }

    /// Looks for messages in my rooms.
    ///
    /// # Errors
    /// [`Error::Unsupported`] without search; as for [`Search::search`](crate::Search::search);
    /// [`Error::RateLimited`].
    pub async fn search(&self, query: SearchQuery) -> Result<SearchPage> {
        self.take_read().await?;
        let parts = &self.inner.parts;
        let search = parts.search.as_ref().ok_or(Error::Unsupported { part: "search" })?;
        if let Some(room) = &query.room {
            self.permit(Action::Read, room).await?;
        }
        let query = SearchQuery { user: self.user().clone(), ..query };
        parts.call("search", search.search(query)).await
    }

    /// Tells a room something short-lived.
    pub(crate) async fn publish_signal(
        &self,
        room: &RoomId,
        action: Action,
        event: FanoutEvent,
    ) -> Result<()> {
        self.permit_quickly(action, room).await?;
        self.take(RateKey::UserSignals(self.user().clone())).await?;
        let parts = &self.inner.parts;
        let publication = [Publication::new(Topic::Room(room.clone()), event)];
        parts.call("publish", parts.fanout.publish(&publication)).await
    }
}
