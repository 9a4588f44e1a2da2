//! Frames of every kind, with and without whatever they may have.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use chat_core::{
    Authority, Body, Broadcast, Chat, ClientMessageId, Content, Cursor, CustomKind, Draft, Durability,
    Edited, Epoch, Head, JsonText, LivePage, MAX_BODY_CHARS, Member, MemberChange, MessageId, NewRoom, Page,
    Position, ReactionKey, ReactionOp, Reactions, Refusal, Role, Room, RoomId, RoomKey, SendFailure, Sent,
    Seq, Settings, StoredMessage, Timestamp, UserId,
    auth::{Credentials, JwtAuth, JwtClaims, JwtConfig, JwtSigner},
    fanout::FanoutEvent,
    presence::UserPresence,
    rooms::{ActivityCursor, MembersPage, RoomSummary, RoomsPage},
    session::{CloseReason, Closing, Event, Hole, JoinOutcome, JoinRequest, Joined, LeftReason},
};

use super::document::DOCUMENT;
use crate::{
    CODES, Problem,
    json::{close::Goodbye, frame},
};

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_123);

fn cursor(seq: u64) -> Cursor {
    Cursor::new(Epoch::new("01KDV9Q0T4E8P1S6T3W9X2Y4Z7").unwrap(), Seq::new(seq).unwrap())
}

fn room() -> RoomId {
    RoomId::new(&"r:1@x,".repeat(21)).unwrap()
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn client_id() -> ClientMessageId {
    ClientMessageId::new("c\"\\1").unwrap()
}

fn json(text: &str) -> JsonText {
    JsonText::new(text).unwrap()
}

fn position() -> Position {
    Position { cursor: cursor(7), id: MessageId::from_u128(u128::MAX), created_at: NOW }
}

fn stored(content: Content) -> StoredMessage {
    StoredMessage::new(Draft::new(room(), user("a\"\\b"), client_id(), content), position())
}

/// Entries of every kind and in every state.
fn entries() -> Vec<StoredMessage> {
    let target = MessageId::from_u128(3);
    let (key, name) = (ReactionKey::new(&"👍".repeat(16)).unwrap(), CustomKind::new("poll").unwrap());
    let mut contents = vec![
        Content::Join { user: user("cy") },
        Content::Leave { user: user("cy") },
        Content::Delete { target },
        Content::Reaction { target, key: key.clone(), op: ReactionOp::Add },
        Content::Reaction { target, key: key.clone(), op: ReactionOp::Remove },
    ];
    for body in [Body::text("hello \u{0}\u{1F600}\""), Body::Json(json("null")), Body::Removed] {
        contents.push(Content::Chat { body: body.clone() });
        contents.push(Content::Edit { target, body: body.clone() });
        contents.push(Content::Custom { name: name.clone(), body });
    }
    let mut entries: Vec<StoredMessage> = contents.into_iter().map(stored).collect();
    let mut changed = stored(Content::text("changed"));
    changed.authority = Authority::System;
    changed.state.edited = Some(Edited { seq: Seq::MAX, at: NOW });
    changed.state.reactions = vec![
        Reactions { key: key.clone(), count: 1, users: vec![user("bob")] },
        Reactions { key, count: u32::MAX, users: (0..100).map(|n| user(&format!("u{n}"))).collect() },
    ];
    let mut deleted = stored(Content::Chat { body: Body::Removed });
    deleted.state = changed.state.clone();
    deleted.state.deleted = Seq::new(9);
    entries.extend([changed, deleted]);
    entries
}

fn page(entries: Vec<StoredMessage>) -> Page {
    let head = Head { cursor: cursor(if entries.is_empty() { 0 } else { 7 }), oldest: Seq::FIRST };
    Page { entries, head, reaches_head: true, reaches_start: false }
}

fn hole() -> Hole {
    Hole { after: cursor(0), before: cursor(Seq::MAX.get()) }
}

/// Frames with the pages that sessions share: only the engine makes these.
fn paged([empty, full]: &[Arc<LivePage>; 2]) -> Vec<Bytes> {
    let outcomes = [
        JoinOutcome::New { page: empty.clone() },
        JoinOutcome::New { page: full.clone() },
        JoinOutcome::Recovered,
        JoinOutcome::Limited { page: full.clone(), hole: hole() },
        JoinOutcome::Reset { page: full.clone() },
    ];
    let joined = |(tag, outcome)| {
        let joined = Joined { tag, room: room(), outcome, cursor: cursor(7) };
        frame::event(&Event::Joined(Box::new(joined))).unwrap()
    };
    // The tag 0 stands for a command without an id.
    let mut frames: Vec<Bytes> = [0, 1, 2, 3, u64::MAX].into_iter().zip(outcomes).map(joined).collect();
    let events = [
        Event::Resync { room: room(), hole: Box::new(hole()), page: None },
        Event::Resync { room: room(), hole: Box::new(hole()), page: Some(full.clone()) },
        Event::Reset { room: room(), page: empty.clone() },
        Event::Reset { room: room(), page: full.clone() },
    ];
    frames.extend(events.map(|event| frame::event(&event).unwrap()));
    frames
}

fn rooms() -> [Room; 2] {
    let key = RoomKey::new(&"/".repeat(255)).unwrap();
    let metadata = [("name".to_owned(), "General".into())].into_iter().collect();
    [
        Room::create(NewRoom::new(room()), NOW),
        Room::from_parts(room(), Some(key), false, MAX_BODY_CHARS, metadata, NOW),
    ]
}

/// Of every role, now and in the past.
fn all_members() -> Vec<Member> {
    let roles = [Role::Reader, Role::Member, Role::Moderator, Role::Owner];
    let members = roles.into_iter().flat_map(|role| [(role, None), (role, Some(NOW))]);
    members.map(|(role, left_at)| Member::from_parts(user("ann"), role, NOW, left_at, 1)).collect()
}

fn presences() -> Vec<UserPresence> {
    let online = UserPresence {
        user: user("ann"),
        online: true,
        connections: u32::MAX,
        since: Some(Timestamp::EPOCH),
        last_seen: None,
    };
    let offline =
        UserPresence { online: false, connections: 0, since: None, last_seen: Some(NOW), ..online.clone() };
    vec![UserPresence::never(user("never")), online, offline]
}

fn notices() -> Vec<Bytes> {
    let (user, name) = (user("ann"), CustomKind::new("wave").unwrap());
    let mut events = vec![
        FanoutEvent::Typing { room: room(), user: user.clone(), active: true },
        FanoutEvent::Read { room: room(), user: user.clone(), cursor: cursor(7) },
    ];
    events.extend(["null", r#"{"to": "bob"}"#].map(|data| FanoutEvent::Signal {
        room: room(),
        user: user.clone(),
        name: name.clone(),
        data: json(data),
    }));
    events.extend(presences().into_iter().map(FanoutEvent::Presence));
    events.extend(rooms().map(FanoutEvent::RoomChanged));
    events
        .extend(all_members().into_iter().map(|member| FanoutEvent::MemberChanged { room: room(), member }));
    let refusals = [Refusal::NotAMember, Refusal::Busy].map(SendFailure::Refused);
    events.extend(refusals.map(|reason| FanoutEvent::SendFailed {
        room: room(),
        client_id: client_id(),
        user: user.clone(),
        reason,
    }));
    let notice = |event| frame::event(&Event::Notice(Arc::new(Broadcast::new(event)))).unwrap();
    events.into_iter().map(notice).collect()
}

fn events() -> Vec<Bytes> {
    let events = [
        Event::Left { room: room(), reason: LeftReason::Removed },
        Event::Left { room: room(), reason: LeftReason::Closed },
        Event::NoticesLost,
        Event::Heads(Vec::new()),
        Event::Heads(vec![(room(), cursor(0)), (RoomId::new("r").unwrap(), cursor(7))]),
        Event::Expiring { at: Timestamp::from_millis(u64::MAX) },
    ];
    let entries = entries().into_iter().map(|entry| Event::Entry(Arc::new(Broadcast::new(entry))));
    events.into_iter().chain(entries).map(|event| frame::event(&event).unwrap()).collect()
}

fn closings() -> Vec<Bytes> {
    let reasons = [
        CloseReason::Closed,
        CloseReason::Expired,
        CloseReason::Revoked,
        CloseReason::Replaced,
        CloseReason::Superseded,
        CloseReason::Draining,
    ];
    let reconnect_after = Some(Duration::from_nanos(1));
    let told = reasons.map(|reason| Goodbye::from(Closing { reason, reconnect_after }));
    let own = [
        Goodbye::frame_too_large(crate::Limits::FRAME_BYTES),
        Goodbye::BINARY_FRAME,
        Goodbye::MALFORMED,
        Goodbye::CONNECT_TIMEOUT,
        Goodbye::IDLE,
        Goodbye::INTERNAL,
    ];
    // A refused `connect` ends with the code of its error; too slow a client is told by the WebSocket's close, if at all.
    let others = ["unauthenticated", "too_slow"].map(|code| Goodbye::new(code, "the connection was refused"));
    told.iter().chain(&own).chain(&others).map(frame::closing).collect()
}

fn errors() -> Vec<Bytes> {
    let http = DOCUMENT["components"]["schemas"]["HttpErrorCode"]["enum"].as_array().unwrap();
    let codes = CODES.iter().map(|(code, ..)| *code).filter(|code| !http.contains(&(*code).into()));
    let mut errors: Vec<Bytes> =
        codes.map(|code| frame::error(Some(1), &Problem::new(code, "why"), None, None)).collect();
    let busy = Problem::from(chat_core::Error::Busy { retry_after: Duration::ZERO });
    errors.push(frame::error(None, &busy, Some(&room()), Some(&client_id())));
    errors.push(Bytes::from_static(frame::UNWRITABLE));
    errors
}

fn summary(room: Room, member: Member, preview: Option<StoredMessage>) -> RoomSummary {
    let unread = Seq::MAX.get();
    RoomSummary { room, member, read: cursor(0), head: cursor(7), unread, preview, activity: NOW }
}

fn answers(reply: Option<u64>) -> Vec<Bytes> {
    let [first, second] = rooms();
    let mut rooms: Vec<RoomSummary> =
        all_members().into_iter().map(|member| summary(first.clone(), member, None)).collect();
    rooms.push(summary(second, all_members().remove(0), entries().pop()));
    let next = ActivityCursor { at: Timestamp::from_millis(u64::MAX), room: room() };
    let sent = [Durability::Volatile, Durability::Accepted, Durability::Persisted].map(|durability| {
        frame::sent(reply, &client_id(), &Sent { position: Some(position()), duplicate: true, durability })
    });
    let queued = Sent { position: None, duplicate: false, durability: Durability::Accepted };
    let mut frames = vec![
        frame::sent(reply, &client_id(), &queued),
        frame::history(reply, &page(Vec::new())),
        frame::history(reply, &page(entries())),
        frame::rooms(reply, &RoomsPage { rooms: Vec::new(), next: None }),
        frame::rooms(reply, &RoomsPage { rooms, next: Some(next) }),
        frame::members(reply, &MembersPage { members: Vec::new(), next: None }),
        frame::members(reply, &MembersPage { members: all_members(), next: Some(user("ann")) }),
        frame::presence(reply, &presences()),
        frame::ok(reply, None),
        frame::ok(reply, Some(NOW)),
        frame::pong(reply),
    ];
    frames.extend(sent);
    frames
}

fn chat(heartbeat: Duration) -> (Chat, JwtSigner) {
    let signer = JwtSigner::hs256([7; 32]).unwrap();
    let jwt = JwtConfig::new([signer.key().unwrap()]).with_any_audience().with_optional_expiry();
    let mut settings = Settings::default();
    settings.heartbeat_interval = heartbeat;
    let chat = Chat::builder().memory().auth(JwtAuth::new(jwt).unwrap()).settings(settings).build();
    (chat.unwrap(), signer)
}

/// A session with and one without an end, with a heartbeat of whole seconds and with another.
async fn connected() -> Vec<Bytes> {
    let mut frames = Vec::new();
    for heartbeat in [Duration::from_secs(25), Duration::from_millis(1_500)] {
        let (chat, signer) = chat(heartbeat);
        let claims = JwtClaims::new(user("ann"));
        for claims in [claims.clone().without_expiry(), claims.with_lifetime(Duration::from_secs(60))] {
            let token = signer.sign(&claims).unwrap();
            let (session, _events) = chat.connect(&Credentials::token(token)).await.unwrap();
            frames.extend([None, Some(1)].map(|reply| frame::connected(reply, &chat, &session, 65_536)));
        }
    }
    frames
}

/// What a session is sent of a room before anything was said in it, and after a message was edited and reacted to.
async fn live_pages() -> [Arc<LivePage>; 2] {
    let (chat, signer) = chat(Duration::from_secs(25));
    let token = signer.sign(&JwtClaims::new(user("ann"))).unwrap();
    let (session, mut events) = chat.connect(&Credentials::token(token)).await.unwrap();
    let system = chat.system(user("system"));
    system.create_room(NewRoom::new(room())).await.unwrap();
    system.change_member(&room(), MemberChange::add(user("ann"), Role::Member)).await.unwrap();
    let mut pages = Vec::new();
    for says_something in [false, true] {
        if says_something {
            let sent = system.send_text(&room(), ClientMessageId::generate(), "hello").await.unwrap();
            let (target, key) = (sent.position.unwrap().id, ReactionKey::new("👍").unwrap());
            let reaction = Content::Reaction { target, key, op: ReactionOp::Add };
            for content in [Content::Edit { target, body: Body::text("hello all") }, reaction] {
                system.send(&room(), ClientMessageId::generate(), content).await.unwrap();
            }
        }
        session.join(JoinRequest::new(room())).await.unwrap();
        pages.push(loop {
            if let Event::Joined(joined) = events.next().await.unwrap() {
                match joined.outcome {
                    JoinOutcome::New { page } => break page,
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    pages.try_into().unwrap()
}

/// What an event stream is made of: what a session is told, whether it is let in and how it ends.
pub(super) async fn streamed() -> Vec<Bytes> {
    let problem = frame::error(None, &Problem::new("forbidden", "why"), Some(&room()), None);
    let own = [&connected().await[..1], &closings(), &[problem]].concat();
    [own, paged(&live_pages().await), notices(), events()].concat()
}

/// Every frame.
pub(super) async fn all() -> Vec<Bytes> {
    let answers = [answers(None), answers(Some(u64::MAX)), connected().await];
    [paged(&live_pages().await), notices(), events(), closings(), errors(), answers.concat()].concat()
}
