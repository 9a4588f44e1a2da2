//! One event of every kind, with every optional part.

use crate::{
    Authority, Body, ClientMessageId, ConnectionId, Content, Cursor, CustomKind, Edited, InvalidBody,
    JsonText, Member, MessageId, NewRoom, Position, ReactionKey, Reactions, Refusal, Role, Room, RoomKey,
    SendFailure, StoredMessage, Timestamp, TokenId,
    auth::{Revocation, RevocationScope},
    fanout::FanoutEvent,
    presence::UserPresence,
    rooms::Metadata,
    testkit::fixtures::{about, foreign_epoch, room, seq, user},
};

fn at(secs: u64) -> Timestamp {
    Timestamp::from_millis(secs * 1_000 + 123)
}

fn position(number: u64) -> Position {
    Position {
        cursor: Cursor::new(foreign_epoch(), seq(number)),
        id: MessageId::from_u128(u128::MAX / 3 - u128::from(number)),
        created_at: at(number),
    }
}

pub(super) fn message(content: Content) -> StoredMessage {
    StoredMessage::new(about("r", "did:jwk:ann", "c\"1\\", content), position((1 << 53) - 1))
}

fn messages() -> Vec<FanoutEvent> {
    let target = MessageId::from_u128(7);
    let json = JsonText::new(r#" {"b": 1.0, "a": [null, "\u00e9", 12345678901234567890]} "#).unwrap();
    let contents = [
        Content::text("two\nlines \u{0} 'quoted' \"twice\" \\ 🏳️‍🌈 茶"),
        Content::Chat { body: Body::Json(json) },
        Content::Custom { name: CustomKind::new("poll").unwrap(), body: Body::text("which?") },
        Content::Join { user: user("bob") },
        Content::Leave { user: user("bob") },
        Content::Edit { target, body: Body::text("new") },
        Content::Edit { target, body: Body::Removed },
        Content::Delete { target },
        Content::Reaction { target, key: ReactionKey::new("👍").unwrap(), op: crate::ReactionOp::Remove },
    ];
    let mut messages: Vec<_> = contents.into_iter().map(message).collect();
    let mut changed = message(Content::text("edited"));
    changed.authority = Authority::Moderator;
    changed.state.edited = Some(Edited { seq: seq(9), at: at(9) });
    let key = ReactionKey::new("❤️").unwrap();
    changed.state.reactions = vec![Reactions { key, count: 500, users: vec![user("ann"), user("bob")] }];
    let mut deleted = message(Content::Chat { body: Body::Removed });
    deleted.authority = Authority::System;
    deleted.state.deleted = Some(seq(10));
    messages.extend([changed, deleted]);
    messages.into_iter().map(FanoutEvent::Message).collect()
}

fn rooms() -> Vec<FanoutEvent> {
    let mut metadata = Metadata::new();
    metadata.insert("name".to_owned(), "Tea \u{1F375}".into());
    metadata.insert("nested".to_owned(), serde_json::json!({ "a": [1, 2.5, null, true] }));
    let key = RoomKey::new("study/7?x").unwrap();
    let new = NewRoom::new(room("r")).with_key(key).with_metadata(metadata).with_max_body_chars(9);
    let mut closed = Room::create(NewRoom::new(room("s")), at(2));
    closed.active = false;
    vec![FanoutEvent::RoomChanged(Room::create(new, at(1))), FanoutEvent::RoomChanged(closed)]
}

fn failures() -> impl Iterator<Item = SendFailure> {
    let refusals = [
        Refusal::RoomMissing,
        Refusal::RoomInactive,
        Refusal::NotAMember,
        Refusal::TargetMissing,
        Refusal::TargetNotOwn,
        Refusal::Body(InvalidBody::TooLong { max_chars: 9 }),
        Refusal::Body(InvalidBody::TooLarge),
        Refusal::Busy,
        Refusal::Unstorable,
    ];
    refusals.into_iter().map(SendFailure::Refused).chain([SendFailure::Conflict(position(2))])
}

/// One event of every kind; the match keeps the list complete.
pub(super) fn every_kind() -> Vec<FanoutEvent> {
    let (ann, r) = (user("ann"), room("r"));
    let cursor = position(3).cursor;
    let name = CustomKind::new("wave").unwrap();
    let data = JsonText::new(r#"{"to":"bob"}"#).unwrap();
    let online = UserPresence {
        user: ann.clone(),
        online: true,
        connections: 3,
        since: Some(at(4)),
        last_seen: Some(at(3)),
    };
    let token = RevocationScope::Token(TokenId::new("t1").unwrap());
    let revoked = |scope| Revocation { user: user("ann"), scope, until: at(99) };
    let member = |left| Member::from_parts(user("ann"), Role::Moderator, at(5), left, u64::MAX >> 1);
    let mut events = messages();
    events.extend(rooms());
    events.extend([
        FanoutEvent::Head { room: r.clone(), cursor: cursor.clone() },
        FanoutEvent::Typing { room: r.clone(), user: ann.clone(), active: true },
        FanoutEvent::Typing { room: r.clone(), user: ann.clone(), active: false },
        FanoutEvent::Read { room: r.clone(), user: ann.clone(), cursor },
        FanoutEvent::Presence(online),
        FanoutEvent::Presence(UserPresence::never(ann.clone())),
        FanoutEvent::MemberChanged { room: r.clone(), member: member(None) },
        FanoutEvent::MemberChanged { room: r.clone(), member: member(Some(at(6))) },
        FanoutEvent::Revoked(revoked(token)),
        FanoutEvent::Revoked(revoked(RevocationScope::IssuedBefore(at(8)))),
        FanoutEvent::Superseded { connection: ConnectionId::generate() },
        FanoutEvent::Signal { room: r.clone(), user: ann.clone(), name, data },
    ]);
    events.extend(failures().map(|reason| FanoutEvent::SendFailed {
        room: r.clone(),
        client_id: ClientMessageId::new("c").unwrap(),
        user: ann.clone(),
        reason,
    }));
    for kind in 0..11 {
        assert!(events.iter().any(|event| number_of_kind(event) == kind), "no event of kind {kind}");
    }
    events
}

/// Does not compile when a kind is added, so that it is added above, too.
const fn number_of_kind(event: &FanoutEvent) -> u8 {
    match event {
        FanoutEvent::Message(_) => 0,
        FanoutEvent::Head { .. } => 1,
        FanoutEvent::Typing { .. } => 2,
        FanoutEvent::Read { .. } => 3,
        FanoutEvent::Presence(_) => 4,
        FanoutEvent::RoomChanged(_) => 5,
        FanoutEvent::MemberChanged { .. } => 6,
        FanoutEvent::Revoked(_) => 7,
        FanoutEvent::Signal { .. } => 8,
        FanoutEvent::Superseded { .. } => 9,
        FanoutEvent::SendFailed { .. } => 10,
    }
}
