//! One room per buyer and store: made once, found by its key, listed for either side.

use chat_core::{
    Actor, Chat, Error, MemberChange, MemberOutcome, NewRoom, Role, Room, RoomId, RoomKey, UserId,
    rooms::{ActivityCursor, Metadata, RoomSummary},
};
use serde_json::{Value, json};

use crate::stores::{Store, Stores};

/// Rooms of one page of the library.
const PAGE: usize = 200;
/// Pages that are looked through for one list.
const PAGES: usize = 10;

/// What every request has at hand.
#[derive(Debug, Clone)]
pub(crate) struct Shop {
    pub(crate) chat: Chat,
    pub(crate) stores: Stores,
}

/// On which side of a room somebody stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Side {
    Buyer,
    /// Of this store, or of any.
    Store(Option<String>),
}

/// The room of a buyer and a store, as it is made. The key is unique: it is made once, whoever asks at the same time.
///
/// # Errors
/// The buyer's id is too long for a key.
pub(crate) fn new_room(buyer: &UserId, store: &str) -> Result<NewRoom, Error> {
    let key = RoomKey::new(&format!("{store}/{buyer}")).map_err(|error| Error::invalid("user id", error))?;
    let mut metadata = Metadata::new();
    metadata.insert("buyerId".to_owned(), json!(buyer));
    metadata.insert("storeId".to_owned(), json!(store));
    Ok(NewRoom::for_key(key).with_metadata(metadata))
}

/// The buyer of a room.
pub(crate) fn buyer(room: &Room) -> &str {
    text(room, "buyerId")
}

/// The id of a room's store.
pub(crate) fn store(room: &Room) -> &str {
    text(room, "storeId")
}

fn text<'r>(room: &'r Room, field: &str) -> &'r str {
    room.metadata.get(field).and_then(Value::as_str).unwrap_or_default()
}

impl Side {
    /// Whether a member of this room stands on this side of it.
    pub(crate) fn is(&self, user: &UserId, room: &Room) -> bool {
        let is_buyer = buyer(room) == user.as_str();
        match self {
            Self::Buyer => is_buyer,
            Self::Store(wanted) => !is_buyer && wanted.as_deref().is_none_or(|wanted| wanted == store(room)),
        }
    }
}

impl Shop {
    pub(crate) const fn new(chat: Chat, stores: Stores) -> Self {
        Self { chat, stores }
    }

    /// The room of this buyer and this store; `true` if it is new. The store's side is a member before the buyer is, and the buyer
    /// before this answers, so that nobody's first message comes too early to count for the other.
    ///
    /// # Cancel safety
    /// A dropped call may have made the room; the next one does what is left.
    pub(crate) async fn open(&self, buyer: &Actor, store: &Store) -> Result<(Room, bool), Error> {
        let service = self.chat.system(buyer.user().clone());
        let new = new_room(buyer.user(), &store.id)?.with_owner(store.owner.clone());
        let (room, is_new) = service.create_room(new).await?;
        let has_buyer = !is_new && buyer.room(&room.id).await.is_ok();
        // Somebody else may have opened it, and have got no further than half of what follows.
        if !has_buyer || !is_settled(&service, &room, store).await? {
            let mut settled = None;
            loop {
                // The store may have changed hands before its owner of then was a member here, and the room was not among theirs. A
                // later change finds it there.
                let store = self.stores.get(&store.id).await?.unwrap_or_else(|| store.clone());
                if settled.as_ref() == Some(&store.owner) {
                    break;
                }
                settle(&service, &room, &store).await?;
                settled = Some(store.owner);
            }
            // Last: with them, the room is complete.
            service.change_member(&room.id, MemberChange::add(buyer.user().clone(), Role::Member)).await?;
        }
        Ok((room, is_new))
    }

    /// The room, if the caller is a member of it and stands on this side.
    ///
    /// # Errors
    /// [`Error::NotAMember`], also where there is no such room: that is not for strangers to know.
    pub(crate) async fn room(&self, actor: &Actor, id: &RoomId, side: &Side) -> Result<Room, Error> {
        let room = actor.room(id).await?;
        if side.is(actor.user(), &room) {
            return Ok(room);
        }
        Err(Error::NotAMember { room: id.clone(), user: actor.user().clone() })
    }

    /// Rooms on this side, newest message first, and where the next page begins. It has fewer than `limit` where the caller has very
    /// many on the other side.
    pub(crate) async fn list(
        &self,
        actor: &Actor,
        side: &Side,
        mut after: Option<ActivityCursor>,
        limit: usize,
    ) -> Result<(Vec<RoomSummary>, Option<ActivityCursor>), Error> {
        let mut found = Vec::new();
        for _ in 0..PAGES {
            let page = actor.rooms(after.as_ref(), PAGE).await?;
            found.extend(page.rooms.into_iter().filter(|summary| side.is(actor.user(), &summary.room)));
            if found.len() > limit {
                found.truncate(limit);
                let next = found.last().map(RoomSummary::cursor);
                return Ok((found, next));
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok((found, after))
    }

    /// Makes or changes a store. Its rooms go over to a new owner, who then is on the store's side in place of the old one, on every
    /// node and at once. If it fails on the way, do it again: until it succeeds, former owners are remembered.
    pub(crate) async fn put_store(&self, id: &str, owner: UserId, name: &str) -> anyhow::Result<()> {
        let store = Store { id: id.to_owned(), owner, name: name.to_owned() };
        let handover = self.stores.begin_handover(id).await?;
        // First, so that rooms that are made from now on are the new owner's.
        self.stores.put(&store).await?;
        let former = self.stores.former_owners(id).await?;
        for former in former.iter().filter(|former| **former != store.owner) {
            // A room in which somebody writes moves to another page meanwhile.
            while self.hand_over(former, &store).await? {}
        }
        self.stores.end_handover(handover, id).await
    }

    /// One pass over the rooms of a former owner; `true` if one was not handed over yet.
    async fn hand_over(&self, former: &UserId, store: &Store) -> anyhow::Result<bool> {
        let service = self.chat.system(former.clone());
        let (mut after, mut found) = (None, false);
        loop {
            let page = service.rooms(after.as_ref(), PAGE).await?;
            for summary in page.rooms.iter().filter(|summary| self::store(&summary.room) == store.id) {
                let (room, owner) = (&summary.room, &store.owner);
                let mut changes = Vec::new();
                // Somebody who buys from a store that is theirs stays the buyer there, and the room has no other side meanwhile.
                if buyer(room) != owner.as_str() {
                    // As old a member as the former one: the list keeps its order.
                    let add = MemberChange::add(owner.clone(), Role::Owner);
                    changes.push(add.with_since(summary.member.joined_at));
                }
                if buyer(room) != former.as_str() {
                    changes.push(MemberChange::remove(former.clone()));
                }
                for change in changes {
                    let outcome = service.change_member(&room.id, change).await?;
                    found |= !matches!(outcome, MemberOutcome::Unchanged(_));
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(found);
            }
        }
    }
}

/// Whether nobody but the store's owner is on its side of the room, or nobody at all where they are its buyer.
async fn is_settled(service: &Actor, room: &Room, store: &Store) -> Result<bool, Error> {
    let page = service.members(&room.id, None, PAGE).await?;
    let mut side = page.members.iter().filter(|member| member.user.as_str() != buyer(room)).peekable();
    let is_there = side.peek().is_some() || buyer(room) == store.owner.as_str();
    Ok(is_there && side.all(|member| member.user == store.owner) && page.next.is_none())
}

/// Makes the store's owner the one who is on its side of the room, and nobody else. A buyer stays.
async fn settle(service: &Actor, room: &Room, store: &Store) -> Result<(), Error> {
    let stays = |user: &UserId| *user == store.owner || user.as_str() == buyer(room);
    if buyer(room) != store.owner.as_str() {
        service.change_member(&room.id, MemberChange::add(store.owner.clone(), Role::Owner)).await?;
    }
    let mut after = None;
    loop {
        let page = service.members(&room.id, after.as_ref(), PAGE).await?;
        for member in page.members.into_iter().filter(|member| !stays(&member.user)) {
            service.change_member(&room.id, MemberChange::remove(member.user)).await?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}
