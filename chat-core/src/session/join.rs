//! Joining a room: register first, so that nothing is missed, then find out from where to go on.

use std::sync::Arc;

use crate::{
    Cursor, Error, Member, ReadQuery, Result, RoomId,
    auth::Action,
    hub::{Lane, LivePage, Read, RoomLink},
    mutation::Mutation,
    session::{JoinOutcome, JoinRequest, Joined, PageShare, Session, catch_up::hole_before, core::Full},
};

/// Takes a link out of its lane again, unless the join came through.
struct Registered {
    link: Option<Arc<RoomLink>>,
}

impl Registered {
    fn keep(mut self) {
        self.link = None;
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            link.detach();
        }
    }
}

impl Session {
    /// Follows a room. The answer is [`Event::Joined`](crate::session::Event::Joined) in the stream of events; after it come
    /// the entries after the cursor, first from the log, then live, each exactly once and in order. Joining a room that
    /// is joined already starts over from the new cursor.
    ///
    /// # Errors
    /// [`Error::NotAMember`], [`Error::Forbidden`], [`Error::RoomNotFound`]; [`Error::LimitExceeded`] where too many rooms
    /// are joined; [`Error::SessionClosed`]; a backend's error or [`Error::Timeout`], after which nothing has changed.
    ///
    /// # Cancel safety
    /// A dropped call has joined or has not.
    pub async fn join(&self, request: JoinRequest) -> Result<()> {
        let most = self.inner.parts.settings.rooms_per_session;
        let too_many = || Error::LimitExceeded { what: "rooms per session", max: most as u64 };
        if self.core.room_count() >= most && !self.core.has_joined(&request.room) {
            return Err(too_many());
        }
        let (link, registered) = self.register(&request.room).await?;
        // Asked after registering: an end of the membership from here on ends the link.
        let member = self.may_read(&request.room).await?;
        let settings = &self.inner.parts.settings;
        let wanted = request.page.unwrap_or(settings.join_page).clamp(1, ReadQuery::MAX_LIMIT);
        let mut share = PageShare::set_aside(&self.core.page_entries, wanted, settings);
        let (outcome, cursor, position) = self.outcome(&link.lane, request.cursor, share.entries()).await?;
        share.shrink_to(outcome.page().map_or(0, |page| page.entries.len()));
        let joined = Joined { tag: request.tag, room: request.room.clone(), outcome, cursor };
        self.check_open()?;
        let former = self.core.insert(&link, most).map_err(|full| match full {
            Full::Rooms => too_many(),
            Full::Over => Error::SessionClosed,
        })?;
        if let Some(former) = former {
            former.detach();
        }
        registered.keep();
        if !link.activate(joined, share, position, member.map(Arc::new)) {
            self.core.remove(&link);
            link.detach();
            return Err(Error::NotAMember { room: request.room, user: self.core.user.clone() });
        }
        Ok(())
    }

    async fn may_read(&self, room: &RoomId) -> Result<Option<Member>> {
        let (_, member) = self.actor()?.permit(Action::Read, room).await?;
        Ok(member)
    }

    async fn register(&self, room: &RoomId) -> Result<(Arc<RoomLink>, Registered)> {
        loop {
            let lane = match self.inner.hub.existing_lane(room) {
                Some(lane) => {
                    lane.ready().await?;
                    lane
                }
                None => {
                    // Nobody makes this node follow a room that they may not read.
                    self.may_read(room).await?;
                    self.inner.hub.lane(room).await?
                }
            };
            let link = RoomLink::new(lane.clone(), self.core.clone());
            if lane.attach(&link) {
                return Ok((link.clone(), Registered { link: Some(link) }));
            }
            // The lane was about to close: there will be a new one.
            tokio::task::yield_now().await;
        }
    }

    /// How the join goes on, the head to tell, and the position to go on from.
    async fn outcome(
        &self,
        lane: &Arc<Lane>,
        cursor: Option<Cursor>,
        page: usize,
    ) -> Result<(JoinOutcome, Cursor, Cursor)> {
        let parts = &self.inner.parts;
        let Some(cursor) = cursor else {
            let page = self.newest(lane, page).await?;
            let mut position = page.head.cursor.clone();
            if parts.settings.is_mutated(Mutation::ReadBeforeRegister) {
                tokio::task::yield_now().await;
                position = lane.head().unwrap_or(position);
            }
            return Ok((JoinOutcome::New { page }, position.clone(), position));
        };
        let mut head = in_reach(lane, &cursor);
        if head.is_none() && lane.warm_up(parts).await {
            head = in_reach(lane, &cursor);
        }
        let head = match head {
            Some(head) => head,
            None => match self.look_up(lane, &cursor).await? {
                Ok(head) => head,
                Err(Unusable::Reset) => {
                    let page = self.newest(lane, page).await?;
                    let position = page.head.cursor.clone();
                    return Ok((JoinOutcome::Reset { page }, position.clone(), position));
                }
                Err(Unusable::TooFar) => {
                    let page = self.newest_beyond(lane, page, &cursor).await?;
                    let position = page.head.cursor.clone();
                    let outcome = if position.epoch == cursor.epoch {
                        let hole = hole_before(&page, &cursor);
                        JoinOutcome::Limited { page, hole }
                    } else {
                        JoinOutcome::Reset { page }
                    };
                    return Ok((outcome, position.clone(), position));
                }
            },
        };
        Ok((JoinOutcome::Recovered, head, cursor))
    }

    async fn newest(&self, lane: &Arc<Lane>, limit: usize) -> Result<Arc<LivePage>> {
        lane.read(&self.inner.parts, Read::Newest { limit }).await
    }

    /// The newest page, not one from a read that began before the client got where it is.
    async fn newest_beyond(&self, lane: &Arc<Lane>, limit: usize, cursor: &Cursor) -> Result<Arc<LivePage>> {
        let page = self.newest(lane, limit).await?;
        let stale = page.head.cursor.epoch == cursor.epoch && page.head.cursor.seq < cursor.seq;
        if stale { self.newest(lane, limit).await } else { Ok(page) }
    }

    /// Asks the log about a cursor that memory does not reach.
    async fn look_up(&self, lane: &Arc<Lane>, cursor: &Cursor) -> Result<Result<Cursor, Unusable>> {
        let parts = &self.inner.parts;
        let rooms = [lane.room.clone()];
        let head = parts.call("heads", parts.log.heads(&rooms)).await?.pop().flatten();
        let head = head.ok_or_else(|| Error::RoomNotFound { room: lane.room.clone() })?;
        lane.hint(&head.cursor);
        let mut honoured = head.honours(&lane.room, cursor);
        if matches!(honoured, Err(Error::CursorReset { .. })) {
            // The log may know of a life before this one, and that nothing was lost of what the client has seen.
            let query = ReadQuery::after(cursor.clone()).with_limit(1);
            honoured = match parts.call("read", parts.log.read(&lane.room, query)).await {
                Ok(_) => Ok(()),
                Err(error @ (Error::CursorReset { .. } | Error::CursorExpired { .. })) => Err(error),
                Err(error) => return Err(error),
            };
        }
        Ok(match honoured {
            Ok(()) if head.cursor.seq.since(cursor.seq) > parts.settings.replay_limit => {
                Err(Unusable::TooFar)
            }
            Ok(()) => Ok(head.cursor),
            Err(Error::CursorExpired { .. }) => Err(Unusable::TooFar),
            Err(_) => Err(Unusable::Reset),
        })
    }
}

/// The head, if what follows the cursor is in memory: then it is kept, and of this life.
fn in_reach(lane: &Lane, cursor: &Cursor) -> Option<Cursor> {
    let (head, floor) = lane.order(|order| (order.head().clone(), order.floor()))?;
    (head.epoch == cursor.epoch && (floor..=head.seq).contains(&cursor.seq)).then_some(head)
}

/// Why a join cannot go on from its cursor.
enum Unusable {
    Reset,
    TooFar,
}
