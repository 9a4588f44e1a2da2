//! How the engine's values look in JSON.

#[cfg(feature = "axum")]
use chat_core::ReadMarker;
use chat_core::{
    Authority, Body, ClientMessageId, Content, Cursor, CustomKind, EntryKind, JsonText, Member, MessageId,
    Page, ReactionKey, ReactionOp, Reactions, Role, Room, RoomId, RoomKey, Seq, StoredMessage, Timestamp,
    UserId,
    presence::UserPresence,
    rooms::{Metadata, RoomSummary},
};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

#[cfg(feature = "openapi")]
use crate::document::values;

/// A time in RFC 3339.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time(pub(crate) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// JSON within JSON, as its sender wrote it.
pub(crate) fn raw(json: &JsonText) -> Option<&RawValue> {
    serde_json::from_str(json.as_str()).ok()
}

/// The last edit of a message.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ChatEdited))]
struct EditedView {
    /// The position of the edit: of two the greater one holds.
    #[cfg_attr(feature = "openapi", schema(value_type = values::SequenceNumber))]
    seq: Seq,
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = values::Time))]
    at: Time,
}

/// An entry of a room: a message, or what changes one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ChatEntry))]
pub(crate) struct EntryView<'a> {
    /// The room.
    #[cfg_attr(feature = "openapi", schema(value_type = values::RoomId))]
    room: &'a RoomId,
    /// Its place in the room.
    #[cfg_attr(feature = "openapi", schema(value_type = values::Cursor))]
    cursor: &'a Cursor,
    /// The number behind the cursor.
    #[cfg_attr(feature = "openapi", schema(value_type = values::SequenceNumber))]
    seq: Seq,
    /// Its identity.
    #[cfg_attr(feature = "openapi", schema(value_type = values::MessageId))]
    id: MessageId,
    /// Who sent it.
    #[cfg_attr(feature = "openapi", schema(value_type = values::UserId))]
    sender: &'a UserId,
    /// The sender's name for it.
    #[cfg_attr(feature = "openapi", schema(value_type = values::ClientMessageId))]
    client_id: &'a ClientMessageId,
    /// When it was stored.
    #[cfg_attr(feature = "openapi", schema(value_type = values::Time))]
    created_at: Time,
    /// What kind of entry it is.
    #[cfg_attr(feature = "openapi", schema(value_type = values::Kind))]
    kind: EntryKind,
    /// `join`, `leave`: who.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = values::UserId))]
    user: Option<&'a UserId>,
    /// `edit`, `delete`, `reaction`: the message that it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = values::MessageId))]
    target: Option<MessageId>,
    /// `reaction`: with what.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = values::ReactionKey))]
    key: Option<&'a ReactionKey>,
    /// `reaction`: put on or taken off.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = values::Operation))]
    op: Option<ReactionOp>,
    /// `custom`: the application's name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = values::CustomKind))]
    name: Option<&'a CustomKind>,
    /// What it says, where that is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    text: Option<&'a str>,
    /// What it says, where that is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = values::AnyJson))]
    json: Option<&'a RawValue>,
    /// The last edit; what it says is the edited text then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = EditedView))]
    edited: Option<EditedView>,
    /// Reactions that are on, in the order their keys first came; absent where there are none.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<values::ReactionsOfOne>))]
    reactions: &'a [Reactions],
    /// Withdrawn, so without a body; absent where it is not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    /// Written in the service's own right; absent where it is not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    system: bool,
}

impl<'a> From<&'a StoredMessage> for EntryView<'a> {
    fn from(message: &'a StoredMessage) -> Self {
        let (mut user, mut key, mut op, mut name) = (None, None, None, None);
        match &message.content {
            Content::Join { user: who } | Content::Leave { user: who } => user = Some(who),
            Content::Reaction { key: with, op: on_or_off, .. } => (key, op) = (Some(with), Some(*on_or_off)),
            Content::Custom { name: called, .. } => name = Some(called),
            Content::Chat { .. } | Content::Edit { .. } | Content::Delete { .. } => {}
        }
        let (text, json, removed) = match message.content.body() {
            Some(Body::Text(text)) => (Some(&**text), None, false),
            Some(Body::Json(json)) => (None, raw(json), false),
            Some(Body::Removed) => (None, None, true),
            None => (None, None, false),
        };
        let state = &message.state;
        Self {
            room: &message.room,
            cursor: &message.position.cursor,
            seq: message.seq(),
            id: message.position.id,
            sender: &message.sender,
            client_id: &message.client_id,
            created_at: Time(message.position.created_at),
            kind: message.content.kind(),
            user,
            target: message.content.target(),
            key,
            op,
            name,
            text,
            json,
            edited: state.edited.map(|edited| EditedView { seq: edited.seq, at: Time(edited.at) }),
            reactions: &state.reactions,
            deleted: removed || state.deleted.is_some(),
            system: message.authority == Authority::System,
        }
    }
}

/// A part of a room.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ChatPage))]
pub(crate) struct PageView<'a> {
    /// Oldest first, whichever way it was read.
    entries: Vec<EntryView<'a>>,
    /// Nothing that is kept lies before it.
    reaches_start: bool,
    /// Nothing lay after it when it was read.
    reaches_head: bool,
    /// The room's head when it was read.
    #[cfg_attr(feature = "openapi", schema(value_type = values::Cursor))]
    cursor: &'a Cursor,
    /// The number behind the cursor.
    #[cfg_attr(feature = "openapi", schema(value_type = values::SequenceNumber))]
    seq: Seq,
}

impl<'a> From<&'a Page> for PageView<'a> {
    fn from(page: &'a Page) -> Self {
        Self {
            entries: page.entries.iter().map(EntryView::from).collect(),
            reaches_start: page.reaches_start,
            reaches_head: page.reaches_head,
            cursor: &page.head.cursor,
            seq: page.head.cursor.seq,
        }
    }
}

/// A room.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ChatRoom))]
pub(crate) struct RoomView<'a> {
    /// Its id.
    #[cfg_attr(feature = "openapi", schema(value_type = values::RoomId))]
    id: &'a RoomId,
    /// The application's key, where it was created with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = values::RoomKey))]
    key: Option<&'a RoomKey>,
    /// An inactive room can be read and takes no new entries.
    active: bool,
    /// The longest body it takes, in characters.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 65536))]
    max_body_chars: u32,
    /// The application's data.
    #[cfg_attr(feature = "openapi", schema(value_type = values::Metadata))]
    metadata: &'a Metadata,
    /// When it was created.
    #[cfg_attr(feature = "openapi", schema(value_type = values::Time))]
    created_at: Time,
}

impl<'a> From<&'a Room> for RoomView<'a> {
    fn from(room: &'a Room) -> Self {
        Self {
            id: &room.id,
            key: room.key.as_ref(),
            active: room.active,
            max_body_chars: room.max_body_chars,
            metadata: &room.metadata,
            created_at: Time(room.created_at),
        }
    }
}

/// A membership.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ChatMember))]
pub(crate) struct MemberView<'a> {
    /// Who.
    #[cfg_attr(feature = "openapi", schema(value_type = values::UserId))]
    user: &'a UserId,
    /// What they may do.
    #[cfg_attr(feature = "openapi", schema(value_type = values::MemberRole))]
    role: Role,
    /// When they last became a member.
    #[cfg_attr(feature = "openapi", schema(value_type = values::Time))]
    joined_at: Time,
    /// When they left; absent while they are a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = values::Time))]
    left_at: Option<Time>,
}

impl<'a> From<&'a Member> for MemberView<'a> {
    fn from(member: &'a Member) -> Self {
        Self {
            user: &member.user,
            role: member.role,
            joined_at: Time(member.joined_at),
            left_at: member.left_at.map(Time),
        }
    }
}

/// Who is online.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ChatPresence))]
pub(crate) struct PresenceView<'a> {
    /// Who.
    #[cfg_attr(feature = "openapi", schema(value_type = values::UserId))]
    user: &'a UserId,
    /// Has at least one live connection.
    online: bool,
    /// Live connections, on all servers.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    connections: u32,
    /// Since when there has been one without a break; absent while offline.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = values::Time))]
    since: Option<Time>,
    /// When the last one went; absent while online, and for whoever was never seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = values::Time))]
    last_seen: Option<Time>,
}

impl<'a> From<&'a UserPresence> for PresenceView<'a> {
    fn from(presence: &'a UserPresence) -> Self {
        Self {
            user: &presence.user,
            online: presence.online,
            connections: presence.connections,
            since: presence.since.map(Time),
            last_seen: presence.last_seen.map(Time),
        }
    }
}

/// A room as it stands in one's own list.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ChatRoomSummary))]
pub(crate) struct SummaryView<'a> {
    /// The room.
    room: RoomView<'a>,
    /// What one may do there.
    #[cfg_attr(feature = "openapi", schema(value_type = values::MemberRole))]
    role: Role,
    /// Entries after the read marker that are messages, not deleted and not one's own.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    unread: u64,
    /// How far one has read.
    #[cfg_attr(feature = "openapi", schema(value_type = values::Cursor))]
    read: &'a Cursor,
    /// The last entry.
    #[cfg_attr(feature = "openapi", schema(value_type = values::Cursor))]
    head: &'a Cursor,
    /// The newest entry of the timeline; absent in an empty room.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = EntryView<'a>))]
    preview: Option<EntryView<'a>>,
    /// When something last happened; the list is in this order.
    #[cfg_attr(feature = "openapi", schema(value_type = values::Time))]
    activity: Time,
}

impl<'a> From<&'a RoomSummary> for SummaryView<'a> {
    fn from(summary: &'a RoomSummary) -> Self {
        Self {
            room: (&summary.room).into(),
            role: summary.member.role,
            unread: summary.unread,
            read: &summary.read,
            head: &summary.head,
            preview: summary.preview.as_ref().map(EntryView::from),
            activity: Time(summary.activity),
        }
    }
}

/// How far somebody has read.
#[cfg(feature = "axum")]
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ChatMarker))]
pub(crate) struct MarkerView<'a> {
    /// Who.
    #[cfg_attr(feature = "openapi", schema(value_type = values::UserId))]
    user: &'a UserId,
    /// Has read up to and with this entry.
    #[cfg_attr(feature = "openapi", schema(value_type = values::Cursor))]
    cursor: &'a Cursor,
    /// When it last moved; absent where it stands where the user joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = values::Time))]
    at: Option<Time>,
}

#[cfg(feature = "axum")]
impl<'a> From<&'a ReadMarker> for MarkerView<'a> {
    fn from(marker: &'a ReadMarker) -> Self {
        Self { user: &marker.user, cursor: &marker.cursor, at: marker.at.map(Time) }
    }
}

/// Views of all of them.
pub(crate) fn all<'a, T, V: From<&'a T>>(values: &'a [T]) -> Vec<V> {
    values.iter().map(V::from).collect()
}
