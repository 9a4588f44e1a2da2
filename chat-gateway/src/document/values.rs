//! The schemas of single values: ids, cursors, times. Their bounds come from the types that check them.

use chat_core::{EntryKind, MAX_BODY_CHARS, ReactionOp, Role, Seq, search::SearchQuery};
use serde_json::{Value, json};
use utoipa::{
    ToSchema,
    openapi::{
        KnownFormat, ObjectBuilder, OneOfBuilder, Ref, RefOr, Schema, SchemaFormat,
        schema::{AdditionalProperties, SchemaType, Type},
    },
};

type Described = RefOr<Schema>;

/// Names of the engine's values, each standing for the schema of one.
macro_rules! values {
    ($($(#[$doc:meta])* $name:ident as $title:literal = $schema:expr;)+) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub(crate) struct $name;

            impl utoipa::PartialSchema for $name {
                fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                    $schema
                }
            }

            impl utoipa::ToSchema for $name {
                fn name() -> std::borrow::Cow<'static, str> {
                    std::borrow::Cow::Borrowed($title)
                }
            }
        )+
    };
}
pub(crate) use values;

fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(description))
}

/// A text of 1 to `max` characters, all of them in `alphabet`.
fn name(max: usize, alphabet: &str, description: &str, example: &str) -> Described {
    let pattern = format!("^{alphabet}+$");
    let name = text(description).min_length(Some(1)).max_length(Some(max)).pattern(Some(pattern));
    name.examples([json!(example)]).into()
}

fn shaped(pattern: &str, max: usize, description: &str, example: &str) -> Described {
    let shaped = text(description).max_length(Some(max)).pattern(Some(pattern));
    shaped.examples([json!(example)]).into()
}

pub(crate) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>, description: &str) -> Described {
    text(description).enum_values(Some(words)).into()
}

/// How a value without data looks on the wire.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

fn words(values: &[impl serde::Serialize], description: &str) -> Described {
    let words: Vec<String> = values.iter().map(word).collect();
    one_of(words.iter().map(String::as_str), description)
}

/// ASCII letters, digits and a few signs.
const KEY: &str = "[-A-Za-z0-9_.~:@+=,!]";
/// Printable ASCII without the space.
const GRAPHIC: &str = "[!-~]";
/// As [`GRAPHIC`], but not with a `!` in front.
const NEW_CLIENT_ID: &str = r#"^["-~][!-~]*$"#;
/// An epoch, a dot and a number of up to 2^53 - 1 without leading zeros.
const CURSOR: &str = r"^[-A-Za-z0-9_]{1,64}\.(0|[1-9][0-9]{0,14}|[1-8][0-9]{15})$";
/// A ULID in the alphabet of Crockford; read in both cases, written in capitals.
const MESSAGE_ID: &str = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$";
/// Milliseconds, a dot and a room id.
const ROOM_PLACE: &str = r"^(0|[1-9][0-9]{0,18})\.[-A-Za-z0-9_.~:@+=,!]{1,128}$";
/// No zero character, and at least one that is not white space by Unicode's `White_Space`.
const MESSAGE_TEXT: &str = concat!(
    r"^[^\u0000]*[^\u0000\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]",
    r"[^\u0000]*$"
);

/// No control characters and no white space.
const REACTION: &str = r"^[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+$";

/// Most rooms of a stream, unless the application sets another number.
const FOLLOWED: usize = chat_core::Settings::ROOMS_PER_SESSION;

const ULID: &str = "01JZX3C5Q8W7B2M4N6P8R0T2V4";

values! {
    /// `chat_core::RoomId`
    RoomId as "ChatRoomId" =
        name(chat_core::RoomId::MAX_BYTES, KEY, "Names a room.", "general");
    /// `chat_core::RoomKey`
    RoomKey as "ChatRoomKey" = name(
        chat_core::RoomKey::MAX_BYTES, GRAPHIC,
        "The application's own key of a room, unique among rooms.", "study:1",
    );
    /// `chat_core::UserId`
    UserId as "ChatUserId" =
        name(chat_core::UserId::MAX_BYTES, GRAPHIC, "Names a user.", "ann");
    /// `chat_core::ClientMessageId`
    ClientMessageId as "ChatClientMessageId" = name(
        chat_core::ClientMessageId::MAX_BYTES, GRAPHIC,
        "The sender's name for a message. The same one sent again is the same message, for ever.",
        "c-7",
    );
    /// `chat_core::ClientMessageId`, as senders may choose it
    NewClientMessageId as "ChatNewClientMessageId" = shaped(
        NEW_CLIENT_ID, chat_core::ClientMessageId::MAX_BYTES,
        "One's own name for a message. The same one sent again is the same message, for ever. Those that begin with `!` are \
         the server's own.",
        "c-7",
    );
    /// `chat_core::CustomKind`
    CustomKind as "ChatCustomKind" = name(
        chat_core::CustomKind::MAX_BYTES, KEY,
        "The application's name for a kind of entry of its own.", "poll",
    );
    /// `chat_core::ReactionKey`
    ReactionKey as "ChatReactionKey" = text("An emoji or a short name, of at most 64 bytes.")
        .min_length(Some(1))
        .max_length(Some(chat_core::ReactionKey::MAX_BYTES))
        .pattern(Some(REACTION))
        .examples([json!("👍")])
        .into();
    /// `chat_core::MessageId`
    MessageId as "ChatMessageId" =
        shaped(MESSAGE_ID, 26, "The identity of a stored message: a ULID, given by the server.", ULID);
    /// `chat_core::Cursor`
    Cursor as "ChatCursor" = shaped(
        CURSOR, chat_core::Cursor::MAX_BYTES,
        "A position in a room, to be handed back as it came. What follows the dot is `seq`, at most 2^53 - 1.",
        "01JZX3C5Q8W7B2M4N6P8R0T2V4.42",
    );
    /// `chat_core::Place`
    Place as "ChatPlace" = OneOfBuilder::new()
        .item(Ref::from_schema_name(Cursor::name()))
        .item(Ref::from_schema_name(MessageId::name()))
        .description(Some("A position in a room: a cursor, or the id of a message."))
        .into();
    /// `chat_core::rooms::ActivityCursor`
    RoomPlace as "ChatRoomPlace" = shaped(
        ROOM_PLACE, 148,
        "A place in a list of rooms, to be handed back as it came.", "1767225600000.general",
    );
    /// `chat_core::Timestamp`
    Time as "ChatTime" = text("RFC 3339 in UTC, with milliseconds.")
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .examples([json!("2026-01-01T00:00:00.000Z")])
        .into();
    /// `chat_core::Seq`
    SequenceNumber as "ChatSeq" = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .description(Some("The position behind a cursor: 1, 2, 3 … in each room without a gap; 0 before the first entry."))
        .minimum(Some(0))
        .maximum(Some(Seq::MAX.get()))
        .examples([json!(42)])
        .into();
    /// `chat_core::Body::Text`
    MessageText as "ChatText" = text(
        "What is said. Not blank, without U+0000, and at most as long as the room allows (`maxBodyChars`).",
    )
        .min_length(Some(1))
        .max_length(Some(MAX_BODY_CHARS as usize))
        .pattern(Some(MESSAGE_TEXT))
        .examples([json!("hello")])
        .into();
    /// `chat_core::Body::Json`
    AnyJson as "ChatJson" = ObjectBuilder::new()
        .schema_type(SchemaType::AnyValue)
        .description(Some("Any JSON value, `null` too. It is given out as it was sent."))
        .examples([json!({"question": "Tea?", "options": ["yes", "no"]})])
        .into();
    /// `chat_core::rooms::Metadata`
    Metadata as "ChatMetadata" = ObjectBuilder::new()
        .additional_properties(Some(AdditionalProperties::FreeForm(true)))
        .description(Some("The application's data of a room: at most 8 KiB of JSON."))
        .examples([json!({"name": "General"})])
        .into();
    /// `chat_core::Role`
    MemberRole as "ChatRole" = words(
        &[Role::Reader, Role::Member, Role::Moderator, Role::Owner],
        "What a member may do. `reader`: read. `member`: also write. `moderator`: also delete what others wrote and manage \
         members. `owner`: also change the room.",
    );
    /// `chat_core::EntryKind`
    Kind as "ChatEntryKind" = one_of(
        EntryKind::ALL.iter().map(|kind| kind.as_str()),
        "What kind of entry it is: which further fields it has.",
    );
    /// `chat_core::ReactionOp`
    Operation as "ChatReactionOp" =
        words(&[ReactionOp::Add, ReactionOp::Remove], "Whether a reaction is put on or taken off.");
    /// `chat_core::Durability`
    HowDurable as "ChatDurability" = one_of(
        ["persisted", "accepted", "volatile"],
        "How safe it is: on stable storage, in a durable queue, or in memory only.",
    );
    /// `chat_core::View`
    PageOf as "ChatView" = text(
        "`timeline`: what stands in the conversation, as it is now. `log`: every entry, edits, deletes and reactions too.",
    )
        .enum_values(Some(["timeline", "log"]))
        .default(Some(json!("timeline")))
        .into();
    /// `chat_core::search::SearchQuery::text`
    SearchText as "ChatSearchText" = text("Not blank, without U+0000.")
        .min_length(Some(1))
        .max_length(Some(SearchQuery::MAX_TEXT_CHARS))
        .pattern(Some(MESSAGE_TEXT))
        .into();
    /// The cursors of [`crate::sse::StreamRequest`].
    Cursors as "ChatCursors" = shaped(
        r"^([-A-Za-z0-9_]{1,64}\.(0|[1-9][0-9]{0,15}))?(,([-A-Za-z0-9_]{1,64}\.(0|[1-9][0-9]{0,15}))?)*$",
        FOLLOWED * (chat_core::Cursor::MAX_BYTES + 1),
        "Cursors with commas between them.", "01JZX3C5Q8W7B2M4N6P8R0T2V4.42,",
    );
    /// The id of an event: a digest of the rooms and a position in each.
    EventId as "ChatEventId" = shaped(
        r"^([0-9a-f]{12}(~([-A-Za-z0-9_]{1,64}\.)?[0-9]{0,16})*!?)?$",
        13 + FOLLOWED * (chat_core::Cursor::MAX_BYTES + 1),
        "Opaque: to be handed back as it came, for the same rooms.", "8f434346648f~01JZX3C5Q8W7B2M4N6P8R0T2V4.42",
    );
    /// Entries of a page at the beginning of a stream.
    StreamPage as "ChatStreamPage" = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(0))
        .maximum(Some(u32::MAX))
        .default(Some(json!(chat_core::Settings::default().join_page)))
        .into();
    /// Whether a part works.
    Health as "ChatHealthStatus" = one_of(["ok", "failing"], "Whether it works.");
}

/// Who put one reaction on a message.
#[derive(Debug, ToSchema)]
#[schema(as = ChatReactions)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct ReactionsOfOne {
    /// The reaction.
    #[schema(value_type = ReactionKey)]
    key: ReactionKey,
    /// How many users have it on.
    #[schema(minimum = 1)]
    count: u32,
    /// The first 100 of them, in the order they reacted.
    #[schema(value_type = Vec<UserId>, max_items = 100)]
    users: Vec<UserId>,
}
