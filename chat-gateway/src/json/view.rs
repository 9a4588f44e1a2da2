//! How the engine's values look in JSON.

#[cfg(feature = "axum")]
use chat_core::ReadMarker;
use chat_core::{
    Authority, Body, ClientMessageId, Content, Cursor, CustomKind, Durability, EntryKind, JsonText, Member,
    MessageId, Page, ReactionKey, ReactionOp, Reactions, Role, Room, RoomId, RoomKey, Sent, Seq,
    StoredMessage, Timestamp, UserId,
    presence::UserPresence,
    rooms::{Metadata, RoomSummary},
};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

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

#[derive(Debug, Serialize)]
struct EditedView {
    seq: Seq,
    at: Time,
}

/// *entry*
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EntryView<'a> {
    room: &'a RoomId,
    cursor: &'a Cursor,
    seq: Seq,
    id: MessageId,
    sender: &'a UserId,
    client_id: &'a ClientMessageId,
    created_at: Time,
    kind: EntryKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a ReactionKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    op: Option<ReactionOp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a CustomKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    json: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edited: Option<EditedView>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    reactions: &'a [Reactions],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
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

/// *page*
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PageView<'a> {
    entries: Vec<EntryView<'a>>,
    reaches_start: bool,
    reaches_head: bool,
    cursor: &'a Cursor,
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

/// *room*
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoomView<'a> {
    id: &'a RoomId,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a RoomKey>,
    active: bool,
    max_body_chars: u32,
    metadata: &'a Metadata,
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

/// *member*
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MemberView<'a> {
    user: &'a UserId,
    role: Role,
    joined_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
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

/// *presence*
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PresenceView<'a> {
    user: &'a UserId,
    online: bool,
    connections: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
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

/// *summary*
#[derive(Debug, Serialize)]
pub(crate) struct SummaryView<'a> {
    room: RoomView<'a>,
    role: Role,
    unread: u64,
    read: &'a Cursor,
    head: &'a Cursor,
    #[serde(skip_serializing_if = "Option::is_none")]
    preview: Option<EntryView<'a>>,
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

/// *marker*
#[cfg(feature = "axum")]
#[derive(Debug, Serialize)]
pub(crate) struct MarkerView<'a> {
    user: &'a UserId,
    cursor: &'a Cursor,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Time>,
}

#[cfg(feature = "axum")]
impl<'a> From<&'a ReadMarker> for MarkerView<'a> {
    fn from(marker: &'a ReadMarker) -> Self {
        Self { user: &marker.user, cursor: &marker.cursor, at: marker.at.map(Time) }
    }
}

/// What `sent` says of a stored message.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SentView<'a> {
    client_id: &'a ClientMessageId,
    id: MessageId,
    cursor: &'a Cursor,
    seq: Seq,
    created_at: Time,
    duplicate: bool,
    durability: &'static str,
}

impl<'a> SentView<'a> {
    pub(crate) fn new(client_id: &'a ClientMessageId, sent: &'a Sent) -> Self {
        Self {
            client_id,
            id: sent.position.id,
            cursor: &sent.position.cursor,
            seq: sent.position.cursor.seq,
            created_at: Time(sent.position.created_at),
            duplicate: sent.duplicate,
            durability: match sent.durability {
                Durability::Volatile => "volatile",
                Durability::Accepted => "accepted",
                Durability::Persisted => "persisted",
            },
        }
    }
}

/// Views of all of them.
pub(crate) fn all<'a, T, V: From<&'a T>>(values: &'a [T]) -> Vec<V> {
    values.iter().map(V::from).collect()
}
