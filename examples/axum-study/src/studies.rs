//! Rooms by their studies, and numbers for what the library names otherwise.

use std::{sync::Arc, time::SystemTime};

use chat_core::{
    Actor, Chat, Cursor, Error, Member, MemberChange, MemberOutcome, NewRoom, ReadQuery, Result, Role, Room,
    RoomId, RoomKey, Rooms, Seq, Timestamp, UserId, rooms::Metadata,
};
use moka::future::Cache;
use serde_json::json;

use crate::{
    numbers::Numbers,
    wire::{self, MAX_BODY_CHARS, Told},
};

/// In a room's metadata: how far ids of new messages are ahead of their positions. Set by the import alone.
pub(crate) const OFFSET: &str = "messageOffset";
const STUDY: &str = "studyId";
const NAME: &str = "name";

/// How often a change of membership is tried that others get ahead of.
const TRIES: usize = 3;

/// Rooms whose offset is remembered.
const OFFSETS: u64 = 10_000;

/// The rooms of all studies. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Studies {
    chat: Chat,
    rooms: Arc<dyn Rooms>,
    numbers: Numbers,
    /// They change only by an import, and no instance runs during one.
    offsets: Cache<RoomId, u64>,
}

/// The room of a study that is to be created.
pub(crate) fn new_room(study: u64, name: &str) -> Result<NewRoom> {
    let key = RoomKey::new(&format!("study:{study}")).map_err(|error| Error::invalid(STUDY, error))?;
    let mut metadata = Metadata::new();
    metadata.insert(STUDY.to_owned(), json!(study));
    metadata.insert(NAME.to_owned(), json!(name));
    Ok(NewRoom::for_key(key).with_metadata(metadata).with_max_body_chars(MAX_BODY_CHARS))
}

/// The study of a room, and its name.
pub(crate) fn study(room: &Room) -> (Option<u64>, &str) {
    let name = room.metadata.get(NAME).and_then(|name| name.as_str()).unwrap_or_default();
    (room.metadata.get(STUDY).and_then(serde_json::Value::as_u64), name)
}

/// A room's offset, as its metadata say it.
pub(crate) fn offset(metadata: &Metadata) -> u64 {
    metadata.get(OFFSET).and_then(serde_json::Value::as_u64).unwrap_or(0)
}

impl Studies {
    pub(crate) fn new(chat: Chat, rooms: Arc<dyn Rooms>, numbers: Numbers) -> Self {
        Self { chat, rooms, numbers, offsets: Cache::new(OFFSETS) }
    }

    pub(crate) const fn chat(&self) -> &Chat {
        &self.chat
    }

    /// The service itself, on behalf of a user.
    pub(crate) fn service(&self, user: &UserId) -> Actor {
        self.chat.system(user.clone())
    }

    /// The room of a study, if it has one.
    pub(crate) async fn find(&self, study: u64) -> Result<Option<Room>> {
        match new_room(study, "")?.key {
            Some(key) => self.rooms.room_by_key(&key).await,
            None => Ok(None),
        }
    }

    /// The room of a study, made if it has none; `true` if it is new. Of two that make it at once one is answered to both.
    pub(crate) async fn find_or_create(&self, by: &Actor, mut room: NewRoom) -> Result<(Room, bool)> {
        let key = room.key.clone();
        let find = async || match &key {
            Some(key) => self.rooms.room_by_key(key).await,
            None => Ok(None),
        };
        if let Some(room) = find().await? {
            return Ok((room, false));
        }
        // A number that is not used after all is no loss.
        room.id = wire::room(self.numbers.next().await?)?;
        match by.create_room(room).await {
            // Somebody else was quicker, and has not let this user in.
            Err(error @ Error::NotAMember { .. }) => Ok((find().await?.ok_or(error)?, false)),
            done => done,
        }
    }

    /// The user's membership of a room.
    ///
    /// # Errors
    /// [`Error::NotAMember`] for former members too, and where there is no such room: who is no member need not know.
    pub(crate) async fn member(&self, room: &RoomId, user: &UserId) -> Result<Member> {
        let member = self.rooms.member(room, user).await?.filter(Member::is_current);
        member.ok_or_else(|| Error::NotAMember { room: room.clone(), user: user.clone() })
    }

    /// The user's membership of a room, present or past.
    pub(crate) async fn membership(&self, room: &RoomId, user: &UserId) -> Result<Option<Member>> {
        self.rooms.member(room, user).await
    }

    /// The role of somebody who is added: whoever is a member keeps theirs.
    pub(crate) async fn role_of(&self, room: &RoomId, user: &UserId) -> Result<Role> {
        let known = self.rooms.member(room, user).await?.filter(Member::is_current);
        Ok(known.map_or(Role::Member, |member| member.role))
    }

    /// Changes a membership now. Its version is a time, as those of events are: an event of before, which comes late or again, changes
    /// nothing of it.
    pub(crate) async fn change(
        &self,
        by: &Actor,
        room: &RoomId,
        change: MemberChange,
    ) -> Result<MemberOutcome> {
        let wants = change.role.is_some();
        let mut tries = 0;
        loop {
            let now = Timestamp::from(SystemTime::now()).as_millis();
            let known = self.rooms.member(room, &change.user).await?;
            // Clocks differ: what is known comes first in any case.
            let version = known.map_or(now, |known| now.max(known.version.saturating_add(1)));
            let outcome = by.change_member(room, change.clone().with_version(version)).await?;
            tries += 1;
            match &outcome {
                // Somebody else's change came in between.
                MemberOutcome::Unchanged(Some(is)) if is.is_current() != wants && tries < TRIES => {}
                _ => return Ok(outcome),
            }
        }
    }

    /// How far ids of new messages are ahead of their positions.
    pub(crate) async fn offset(&self, room: &RoomId) -> Result<u64> {
        if let Some(offset) = self.offsets.get(room).await {
            return Ok(offset);
        }
        let offset = offset(&self.rooms.room(room).await?.metadata);
        self.offsets.insert(room.clone(), offset).await;
        Ok(offset)
    }

    /// The position of the last message of a room, for somebody who may read it: that is asked, and counted, here.
    pub(crate) async fn head(&self, room: &RoomId, by: &Actor) -> Result<Cursor> {
        Ok(by.history(room, ReadQuery::newest().with_limit(1)).await?.head.cursor)
    }

    /// The id of the message at a position, zero where none has been.
    pub(crate) async fn number_at(&self, room: &RoomId, by: &Actor, at: &Cursor) -> Result<u64> {
        if at.seq == Seq::ZERO {
            return Ok(0);
        }
        let before = Cursor::new(at.epoch.clone(), at.seq.previous());
        let query = ReadQuery::after(before).with_limit(1);
        let page = self.service(by.user()).history(room, query).await?;
        let told = page.entries.first().and_then(Told::of);
        Ok(told.map_or_else(|| at.seq.get(), |told| told.message_id))
    }

    /// The position of the last message whose id is not greater than `id`, and that of the last message.
    ///
    /// Ids grow with positions, and are at least as great: in a room that was never imported they are the same. Messages that were
    /// imported are looked for, in as many steps as their number has binary digits.
    pub(crate) async fn position(&self, room: &RoomId, by: &Actor, id: u64) -> Result<[Cursor; 2]> {
        let head = self.head(room, by).await?;
        let at = |seq: u64| Cursor::new(head.epoch.clone(), Seq::new(seq).unwrap_or(Seq::MAX));
        let (mut least, mut most) = (id.saturating_sub(self.offset(room).await?), id);
        (least, most) = (least.min(head.seq.get()), most.min(head.seq.get()));
        while least < most {
            let middle = most - (most - least) / 2;
            if self.number_at(room, by, &at(middle)).await? <= id {
                least = middle;
            } else {
                most = middle - 1;
            }
        }
        Ok([at(least), head])
    }
}
