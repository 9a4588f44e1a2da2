//! A client that keeps to the protocol: a cursor per room, an outbox that is sent again until it is answered, and joining
//! with the cursor after every break.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use chat_core::{
    Body, ClientMessageId, Content, Cursor, Error, Event, JoinRequest, MessageId, ReactionKey, ReactionOp,
    RoomId, Session, SessionEvents, UserId,
    session::{Hole, JoinOutcome, Joined},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    node::{Lifeline, RECHECK},
    world::World,
};

/// How long news may take to get about when nothing brings it but being asked again.
const PATIENCE: Duration = RECHECK.saturating_add(Duration::from_secs(1));

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Anything may happen.
    Chaos,
    /// Nothing new is said; what is open is brought to an end.
    Settling,
    Done,
}

#[derive(Debug, Clone)]
struct Outgoing {
    room: RoomId,
    client_id: ClientMessageId,
    content: Content,
}

pub(crate) struct Client {
    world: Arc<World>,
    user: UserId,
    name: usize,
    stage: watch::Receiver<Stage>,
    /// The last entry applied, by room.
    pub(crate) applied: BTreeMap<RoomId, Cursor>,
    outbox: VecDeque<Outgoing>,
    /// Messages of this user that may be edited, deleted, reacted to.
    mine: Vec<(RoomId, MessageId)>,
    sends: u64,
    joins: u64,
}

/// What holds for one connection.
struct Connection {
    since: Instant,
    /// Where the stream of a room stands, by its own account.
    streams: BTreeMap<RoomId, Cursor>,
    asked: BTreeMap<u64, Option<Cursor>>,
    joining: BTreeSet<RoomId>,
}

impl Client {
    pub(crate) fn new(world: Arc<World>, name: usize, stage: watch::Receiver<Stage>) -> Self {
        let user = world.users[name % world.users.len()].clone();
        Self {
            world,
            user,
            name,
            stage,
            applied: BTreeMap::new(),
            outbox: VecDeque::new(),
            mine: Vec::new(),
            sends: 0,
            joins: 0,
        }
    }

    fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    pub(crate) const fn user(&self) -> &UserId {
        &self.user
    }

    pub(crate) fn has_open_sends(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Lives until everything is done.
    pub(crate) async fn run(mut self) -> Self {
        while self.stage() != Stage::Done {
            let since = Instant::now();
            let credentials = self.world.token(&self.user);
            if let Some((chat, lifeline)) = self.world.node() {
                // A client that gives up while it is let in.
                let patience = self.impatience(20, 10_000);
                if let Ok(Ok((session, events))) = timeout(patience, chat.connect(&credentials)).await {
                    let streams = BTreeMap::new();
                    let (asked, joining) = (BTreeMap::new(), BTreeSet::new());
                    let connection = Connection { since, streams, asked, joining };
                    drop(chat);
                    self.live(session, events, connection, lifeline).await;
                }
            }
            sleep(self.world.dice.millis(5..400)).await;
        }
        self
    }

    /// Mostly long enough; now and then too short for anything.
    fn impatience(&self, percent: u64, otherwise: u64) -> Duration {
        let chaos = self.stage() == Stage::Chaos;
        let millis =
            if chaos && self.world.dice.chance(percent) { self.world.dice.number(0..15) } else { otherwise };
        Duration::from_millis(millis)
    }

    async fn live(
        &mut self,
        session: Session,
        mut events: SessionEvents,
        mut connection: Connection,
        lifeline: Lifeline,
    ) {
        let lasts = self.world.dice.millis(500..9_000);
        let mut leaves_at = (self.stage() == Stage::Chaos).then(|| Instant::now() + lasts);
        let mut acts_at = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = lifeline.cut() => return,
                event = events.next() => match event {
                    Some(Event::Closing(_)) | None => return,
                    Some(event) => self.take(&mut connection, event),
                },
                () = sleep_until(leaves_at.unwrap_or(acts_at)), if leaves_at.is_some_and(|at| at <= acts_at) => return,
                () = sleep_until(acts_at) => {
                    match self.stage() {
                        Stage::Chaos => {}
                        Stage::Settling => leaves_at = None,
                        Stage::Done => return,
                    }
                    if self.act(&session, &mut connection).await.is_err() {
                        return;
                    }
                    acts_at = Instant::now() + self.world.dice.millis(10..250);
                }
            }
        }
    }

    /// Does one thing. `Err` if the session is over.
    async fn act(&mut self, session: &Session, connection: &mut Connection) -> Result<(), ()> {
        let missing = |room: &&RoomId| !session.has_joined(room);
        if let Some(room) = self.world.rooms.iter().find(missing).cloned() {
            return self.join(session, connection, room).await;
        }
        if self.stage() == Stage::Chaos {
            match self.world.dice.number(0..100) {
                // Reads nothing for a while.
                0..3 => sleep(self.world.dice.millis(200..6_000)).await,
                3..8 => {
                    session.leave(&self.world.some_room());
                    connection.joining.clear();
                }
                8..16 => {
                    let room = self.world.some_room();
                    if let (Some(cursor), Ok(actor)) = (self.applied.get(&room), session.actor()) {
                        let _ = timeout(self.impatience(20, 5_000), actor.mark_read(&room, cursor)).await;
                    }
                }
                16..20 => {
                    let _ = session.typing(&self.world.some_room(), true).await;
                }
                20..70 => self.write(),
                _ => {}
            }
        }
        self.send(session).await
    }

    async fn join(&mut self, session: &Session, connection: &mut Connection, room: RoomId) -> Result<(), ()> {
        self.joins += 1;
        let mut request = JoinRequest::new(room.clone()).with_tag(self.joins);
        let cursor = self.applied.get(&room).cloned();
        if let Some(cursor) = cursor.clone() {
            request = request.after(cursor);
        }
        connection.asked.insert(self.joins, cursor);
        match timeout(self.impatience(15, 15_000), session.join(request)).await {
            Ok(Err(Error::SessionClosed | Error::Unauthenticated(_))) => Err(()),
            _ => Ok(()),
        }
    }

    /// Puts something new into the outbox.
    fn write(&mut self) {
        let dice = &self.world.dice;
        self.sends += 1;
        let client_id = ClientMessageId::new(&format!("{}-{}", self.name, self.sends)).unwrap();
        let text = format!("{} of {}", self.sends, self.name);
        let known = (!self.mine.is_empty()).then(|| self.mine[dice.index(self.mine.len())].clone());
        let (room, content) = match (dice.number(0..10), known) {
            (0, Some((room, target))) => (room, Content::Edit { target, body: Body::text(&text) }),
            (1, Some((room, target))) => (room, Content::Delete { target }),
            (2, Some((room, target))) => {
                let op = if dice.chance(70) { ReactionOp::Add } else { ReactionOp::Remove };
                (room, Content::Reaction { target, key: ReactionKey::new("+1").unwrap(), op })
            }
            _ => (self.world.some_room(), Content::text(&text)),
        };
        self.outbox.push_back(Outgoing { room, client_id, content });
    }

    /// Sends what is first in the outbox, and takes it out when the answer is final.
    async fn send(&mut self, session: &Session) -> Result<(), ()> {
        let Some(outgoing) = self.outbox.front().cloned() else { return Ok(()) };
        let Ok(actor) = session.actor() else { return Err(()) };
        let Outgoing { room, client_id, content } = outgoing;
        let is_chat = matches!(content, Content::Chat { .. });
        let send = actor.send(&room, client_id.clone(), content.clone());
        let Ok(answer) = timeout(self.impatience(15, 15_000), send).await else { return Ok(()) };
        match answer {
            Ok(sent) => {
                let position = sent.position.unwrap_or_else(|| panic!("this log stores before it answers"));
                self.world.history.acknowledged(&room, &self.user, &client_id, &position);
                self.outbox.pop_front();
                if is_chat {
                    self.mine.push((room.clone(), position.id));
                }
                if is_chat && self.world.dice.chance(5) {
                    self.send_another_payload(&actor, &room, client_id).await;
                }
            }
            Err(error) if error.is_retryable() => {}
            Err(Error::SessionClosed | Error::Unauthenticated(_)) => return Err(()),
            Err(Error::Conflict { .. }) => {
                let what = format!("{room}: {client_id} of {} was called a conflict with itself", self.user);
                self.world.history.violation("G2", what);
                self.outbox.pop_front();
            }
            // Refused for good: no member, no target.
            Err(_) => {
                self.outbox.pop_front();
            }
        }
        Ok(())
    }

    async fn send_another_payload(
        &self,
        actor: &chat_core::Actor,
        room: &RoomId,
        client_id: ClientMessageId,
    ) {
        let forgets = self.world.forgets();
        let answer =
            timeout(Duration::from_secs(15), actor.send_text(room, client_id.clone(), "another payload"))
                .await;
        if let (Ok(Ok(sent)), false) = (answer, forgets) {
            let what = format!("{room}: {client_id} was taken again with another payload, as {sent:?}");
            self.world.history.violation("G2", what);
        }
    }

    /// Takes an event as the protocol says, checking that it says what it must.
    fn take(&mut self, connection: &mut Connection, event: Event) {
        match event {
            Event::Joined(joined) => self.joined(connection, *joined),
            Event::Entry(entry) => {
                let message = entry.value();
                let (room, at) = (&message.room, &message.position.cursor);
                self.world.history.note(|| format!("{} is given {room} {at}", self.name));
                let stream = connection.streams.get(room);
                if stream.is_none_or(|stream| stream.epoch != at.epoch || stream.seq.next() != at.seq) {
                    let what = format!("{} was given {room} {at} when {stream:?} was the last", self.user);
                    self.world.history.violation("G5", what);
                }
                connection.streams.insert(room.clone(), at.clone());
                let last = self.applied.get(room);
                if last.is_none_or(|last| last.epoch != at.epoch || last.seq < at.seq) {
                    self.applied.insert(room.clone(), at.clone());
                    self.world.history.applied(&self.user, message, PATIENCE);
                    self.check_revocation(connection.since, room, at);
                }
            }
            Event::Resync { room, hole, page } => {
                self.check_hole(connection, &room, &hole);
                if let Some(page) = page {
                    self.restart(connection, &room, page.head.cursor.clone(), false);
                }
            }
            Event::Reset { room, page } => self.restart(connection, &room, page.head.cursor.clone(), true),
            Event::Left { room, .. } => {
                connection.streams.remove(&room);
            }
            _ => {}
        }
    }

    fn joined(&mut self, connection: &mut Connection, joined: Joined) {
        let Joined { tag, room, outcome, .. } = joined;
        self.world.history.note(|| format!("{} joined {room}", self.name));
        let asked = connection.asked.remove(&tag).flatten();
        match (outcome, asked) {
            (JoinOutcome::New { page }, None) => {
                connection.streams.insert(room.clone(), page.head.cursor.clone());
                if self.applied.get(&room).is_none_or(|applied| !is_beyond(applied, &page.head.cursor)) {
                    self.applied.insert(room, page.head.cursor.clone());
                }
            }
            (JoinOutcome::Recovered, Some(cursor)) => {
                connection.streams.insert(room, cursor);
            }
            (JoinOutcome::Limited { page, hole }, Some(cursor)) => {
                connection.streams.insert(room.clone(), cursor);
                self.check_hole(connection, &room, &hole);
                self.restart(connection, &room, page.head.cursor.clone(), false);
            }
            (JoinOutcome::Reset { page }, Some(cursor)) => {
                connection.streams.insert(room.clone(), cursor);
                self.restart(connection, &room, page.head.cursor.clone(), true);
            }
            (outcome, asked) => {
                let what =
                    format!("{} asked for {room} after {asked:?} and was answered {outcome:?}", self.user);
                self.world.history.violation("G5", what);
            }
        }
    }

    fn check_hole(&self, connection: &Connection, room: &RoomId, hole: &Hole) {
        let stream = connection.streams.get(room);
        if stream != Some(&hole.after) || hole.before.seq <= hole.after.seq {
            let what = format!("{} was told of {hole:?} in {room} when {stream:?} was the last", self.user);
            self.world.history.violation("G8", what);
        }
    }

    /// Goes on from a page. Within an epoch that is never back; another epoch is called a reset.
    fn restart(&mut self, connection: &mut Connection, room: &RoomId, head: Cursor, reset: bool) {
        let stream = connection.streams.insert(room.clone(), head.clone());
        if stream
            .as_ref()
            .is_none_or(|stream| (stream.epoch != head.epoch) != reset || is_beyond(stream, &head))
        {
            let what =
                format!("{} was sent from {stream:?} of {room} to {head:?}, reset: {reset}", self.user);
            self.world.history.violation("G4", what);
        }
        self.applied.insert(room.clone(), head);
    }

    fn check_revocation(&self, since: Instant, room: &RoomId, at: &Cursor) {
        let Some(revoked) = self.world.history.revoked_at(&self.user) else { return };
        let stored = self.world.history.stored_at(room, at);
        if since < revoked && stored.is_some_and(|stored| stored > revoked + PATIENCE) {
            let what = format!("{} was given {room} {at} on a session that was revoked", self.user);
            self.world.history.violation("G6", what);
        }
    }
}

/// Further on in the same epoch.
fn is_beyond(cursor: &Cursor, other: &Cursor) -> bool {
    cursor.epoch == other.epoch && cursor.seq > other.seq
}
