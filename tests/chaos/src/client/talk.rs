//! What a client does on one connection.

use std::{collections::BTreeMap, convert::Infallible, net::SocketAddr, time::Duration};

use anyhow::Result;
use chat_core::{ClientMessageId, Cursor, MessageId, RoomId, Seq};
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    Talker,
    socketio::group_message,
    wire::{Broken, Heard, Joined, Link, Order, Page, Wire, read, write},
    within,
};
use crate::{
    http,
    notes::{Notes, Seen, Skip},
};

/// How often it looks what there is to do.
const TICK: Duration = Duration::from_millis(25);
/// A request without an answer for so long, and the client gives the connection up.
const ANSWER: Duration = Duration::from_secs(30);
/// A client loses its connection of its own accord after so many seconds.
const STAY: std::ops::Range<u64> = 15..120;

/// What an answer is waited for to.
#[derive(Debug, Clone)]
enum Asked {
    Join(RoomId),
    Send(ClientMessageId),
}

/// One connection.
pub(super) struct Talk<'a> {
    talker: &'a mut Talker,
    link: Link,
    wire: Box<dyn Wire>,
    gateway: SocketAddr,
    next_tag: u64,
    asked: BTreeMap<u64, (Asked, Instant)>,
    /// Rooms to be joined, and when.
    to_join: BTreeMap<RoomId, Instant>,
    /// The last entry by the connection's own account.
    cursors: BTreeMap<RoomId, Cursor>,
    ids: BTreeMap<RoomId, MessageId>,
    /// Up to which message the history was fetched.
    fetched: BTreeMap<RoomId, MessageId>,
    to_fetch: Vec<RoomId>,
    heard_at: Instant,
    beat_at: Instant,
    leaves_at: Instant,
}

impl<'a> Talk<'a> {
    pub(super) fn new(talker: &'a mut Talker, link: Link, wire: Box<dyn Wire>, gateway: SocketAddr) -> Self {
        let now = Instant::now();
        let mut to_join: BTreeMap<RoomId, Instant> =
            talker.role.rooms.iter().map(|room| (room.clone(), now)).collect();
        let mut cursors = BTreeMap::new();
        if !talker.role.protocol.writes() {
            // Joined by opening the stream, with what was known then.
            to_join.clear();
            let notes = talker.notes();
            let known =
                notes.places.iter().filter_map(|(room, place)| Some((room.clone(), place.cursor.clone()?)));
            cursors.extend(known);
        }
        let leaves_at = within(&mut talker.dice, STAY);
        Self {
            talker,
            link,
            wire,
            gateway,
            next_tag: 10,
            asked: BTreeMap::new(),
            to_join,
            cursors,
            ids: BTreeMap::new(),
            fetched: BTreeMap::new(),
            to_fetch: Vec::new(),
            heard_at: now,
            beat_at: now,
            leaves_at,
        }
    }

    /// Until the connection breaks, or is given up.
    pub(super) async fn run(&mut self) -> Result<Infallible, Broken> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                text = read(&mut self.link) => {
                    let text = text?;
                    self.heard_at = Instant::now();
                    if !text.is_empty() {
                        self.take(&text).await?;
                    }
                }
                _ = tick.tick() => self.act().await?,
            }
        }
    }

    async fn act(&mut self) -> Result<(), Broken> {
        let now = Instant::now();
        if now >= self.leaves_at {
            return Err(Broken);
        }
        let late = self.asked.values().any(|(_, since)| now - *since > ANSWER);
        if late || now - self.heard_at > self.wire.silence() {
            self.talker.notes().gave_up += 1;
            return Err(Broken);
        }
        if let Some((every, beat)) = self.wire.beat()
            && now >= self.beat_at
        {
            self.beat_at = now + every;
            write(&mut self.link, beat).await?;
        }
        for text in self.due(now) {
            write(&mut self.link, text).await?;
        }
        Ok(())
    }

    /// Everything that is to be said now.
    fn due(&mut self, now: Instant) -> Vec<String> {
        let Talker { role, notes, dice, .. } = &mut *self.talker;
        let mut notes = notes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut texts = Vec::new();
        let rooms: Vec<RoomId> =
            self.to_join.iter().filter(|(_, at)| **at <= now).map(|(room, _)| room.clone()).collect();
        for room in rooms {
            self.to_join.remove(&room);
            self.next_tag += 1;
            let cursor = notes.places.get(&room).and_then(|place| place.cursor.clone());
            if let Some(cursor) = &cursor {
                self.cursors.insert(room.clone(), cursor.clone());
            }
            texts.push(self.wire.join(self.next_tag, &room, cursor.as_ref()));
            self.asked.insert(self.next_tag, (Asked::Join(room), now));
        }
        if !role.protocol.writes() {
            return texts;
        }
        notes.write(&role.rooms, now, dice);
        for message in notes.outbox.due(now) {
            self.next_tag += 1;
            texts.push(self.wire.send(self.next_tag, &role.person, message));
            self.asked.insert(self.next_tag, (Asked::Send(message.client_id.clone()), now));
        }
        texts
    }

    async fn take(&mut self, text: &str) -> Result<(), Broken> {
        let Ok(all) = self.wire.hear(text) else {
            self.talker.notes().problem("protocol", format!("this is no frame: {text}"));
            return Err(Broken);
        };
        for heard in all {
            if let Heard::Answer(answer) = heard {
                write(&mut self.link, answer).await?;
            } else {
                self.took(heard)?;
            }
        }
        for room in std::mem::take(&mut self.to_fetch) {
            self.fetch(&room).await.map_err(|_| Broken)?;
        }
        Ok(())
    }

    fn took(&mut self, heard: Heard) -> Result<(), Broken> {
        match heard {
            Heard::Answer(_) => {}
            Heard::Joined { tag, joined } => {
                if let Some((Asked::Join(room), _)) = self.asked.remove(&tag) {
                    self.joined(room, joined);
                }
            }
            Heard::Follows { room, joined } => self.joined(room, joined),
            Heard::Id(id) => self.talker.notes().event_id = Some(id),
            Heard::Sent { tag, position, durability } => {
                if let Some((Asked::Send(client_id), _)) = self.asked.remove(&tag) {
                    self.talker.notes().acknowledged(&client_id, position, durability);
                }
            }
            Heard::Refused { tag, may_repeat, pause, what } => {
                let asked = self.asked.remove(&tag).map(|(asked, _)| asked);
                if !may_repeat {
                    self.talker.notes().problem("service", format!("refused for good: {what}"));
                }
                let pause = pause.unwrap_or_else(|| Duration::from_millis(self.talker.dice.u64(50..300)));
                match asked {
                    Some(Asked::Join(room)) => {
                        self.to_join.insert(room, Instant::now() + pause);
                    }
                    Some(Asked::Send(client_id)) => self.talker.notes().refused(&client_id, pause),
                    None => {}
                }
            }
            Heard::Entry(seen) => self.entry(seen),
            Heard::Page { room, page } => self.page(&room, page),
            Heard::Missed(room) => self.to_fetch.push(room),
            Heard::Over => return Err(Broken),
            Heard::Wrong { guarantee, what } => self.talker.notes().problem(guarantee, what),
        }
        Ok(())
    }

    fn joined(&mut self, room: RoomId, joined: Joined) {
        if let Joined::Page(page) = joined {
            self.page(&room, page);
        }
        if self.wire.order() == Order::ById {
            self.to_fetch.push(room.clone());
        }
        self.talker.notes().joined.insert(room);
    }

    fn entry(&mut self, seen: Seen) {
        let (room, order) = (seen.room.clone(), self.wire.order());
        let mut notes = self.talker.notes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(cursor) = &seen.cursor {
            let last = self.cursors.insert(room.clone(), cursor.clone());
            let follows = |last: &Cursor| match order {
                Order::Next => last.seq.next() == cursor.seq,
                _ => last.seq < cursor.seq,
            };
            if last.as_ref().is_some_and(|last| !follows(last)) {
                notes.problem("G5", format!("{room}: {cursor} came after {last:?}"));
            }
        } else if let Some(id) = seen.id {
            let last = self.ids.insert(room.clone(), id);
            if last.is_some_and(|last| last >= id) {
                notes.problem("G5", format!("{room}: {id} came live after {last:?}"));
            }
            if self.fetched.get(&room).is_some_and(|fetched| id <= *fetched) {
                return;
            }
        }
        notes.apply(seen);
    }

    /// Goes on from a page: what is in it and is known is passed over, what lies before it is told by the server to be passed over.
    fn page(&mut self, room: &RoomId, page: Page) {
        let Page { entries, head, reset } = page;
        self.cursors.insert(room.clone(), head.clone());
        let mut notes = self.talker.notes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if reset {
            notes.problem("G5", format!("{room}: told to forget everything, up to {head}"));
        }
        let known = last_known(&notes, room);
        let new: Vec<Seen> = entries
            .into_iter()
            .filter(|entry| entry.cursor.as_ref().is_some_and(|at| at.seq > known))
            .collect();
        let first = new.first().and_then(|entry| entry.cursor.as_ref()).map_or(head.seq.next(), |at| at.seq);
        if first > known.next() && known > Seq::ZERO {
            notes.skips.push(Skip {
                room: room.clone(),
                after: known,
                up_to: first.previous(),
                head: head.seq,
            });
        }
        for seen in new {
            notes.apply(seen);
        }
        notes.places.entry(room.clone()).or_default().cursor = Some(head);
    }

    /// As clients of the group chat do: what came after the last message that is known, page by page.
    async fn fetch(&mut self, room: &RoomId) -> Result<()> {
        loop {
            let Some(last) = self.talker.notes().places.get(room).and_then(|place| place.id) else {
                return Ok(());
            };
            let path = format!("/rooms/{room}/messages?after={last}&limit=100");
            let token = self.talker.role.person.token.clone();
            let answer = http::done(self.gateway, "GET", &path, &token, None).await?;
            let messages = answer["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
            let page: Vec<Seen> = messages.iter().map(group_message).collect::<Result<_>>()?;
            let mut notes = self.talker.notes();
            for seen in page {
                let last = notes.places.get(room).and_then(|place| place.id);
                if seen.id <= last {
                    notes.problem("G4", format!("{room}: {:?} came in a page after {last:?}", seen.id));
                    continue;
                }
                notes.apply(seen);
            }
            let reached = notes.places.get(room).and_then(|place| place.id);
            drop(notes);
            if let Some(reached) = reached {
                self.fetched.insert(room.clone(), reached);
            }
            if answer["hasMore"] != Value::Bool(true) {
                return Ok(());
            }
        }
    }
}

fn last_known(notes: &Notes, room: &RoomId) -> Seq {
    let place = notes.places.get(room).and_then(|place| place.cursor.as_ref());
    place.map_or(Seq::ZERO, |cursor| cursor.seq)
}
