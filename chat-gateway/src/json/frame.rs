//! Frames of the server: values in, text out.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use chat_core::{
    Broadcast, Chat, ClientMessageId, Cursor, EncodingSlot, LivePage, Page, RoomId, Sent, Session,
    StoredMessage, Timestamp, UserId,
    fanout::FanoutEvent,
    presence::UserPresence,
    rooms::{MembersPage, RoomsPage},
    session::{Event, Hole, JoinOutcome, Joined, LeftReason},
};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    Problem,
    json::{
        close::Goodbye,
        sent::SentView,
        view::{self, EntryView, MemberView, PageView, PresenceView, RoomView, SummaryView, Time, all},
    },
    problem::millis,
};

#[derive(Serialize)]
struct HoleView<'a> {
    after: &'a Cursor,
    before: &'a Cursor,
}

impl<'a> From<&'a Hole> for HoleView<'a> {
    fn from(hole: &'a Hole) -> Self {
        Self { after: &hole.after, before: &hole.before }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LimitsView {
    frame_bytes: usize,
    rooms: usize,
    replay: u64,
}

/// A heartbeat in seconds: a whole number unless it is not one.
fn seconds(time: Duration) -> serde_json::Number {
    if time.subsec_nanos() == 0 {
        return time.as_secs().into();
    }
    serde_json::Number::from_f64(time.as_secs_f64()).unwrap_or_else(|| time.as_secs().into())
}

/// Every frame but `entry`. A page is appended to those that have one.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Frame<'a> {
    Connected {
        #[serde(skip_serializing_if = "Option::is_none")]
        reply: Option<u64>,
        user: &'a UserId,
        connection: &'a str,
        heartbeat: serde_json::Number,
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_at: Option<Time>,
        limits: LimitsView,
    },
    Joined {
        #[serde(skip_serializing_if = "Option::is_none")]
        reply: Option<u64>,
        room: &'a RoomId,
        outcome: &'static str,
        cursor: &'a Cursor,
        #[serde(skip_serializing_if = "Option::is_none")]
        hole: Option<HoleView<'a>>,
    },
    Resync {
        room: &'a RoomId,
        hole: HoleView<'a>,
        cursor: &'a Cursor,
    },
    Reset {
        room: &'a RoomId,
        cursor: &'a Cursor,
    },
    Left {
        room: &'a RoomId,
        reason: &'static str,
    },
    Typing {
        room: &'a RoomId,
        user: &'a UserId,
        active: bool,
    },
    Signal {
        room: &'a RoomId,
        user: &'a UserId,
        name: &'a str,
        data: Option<&'a RawValue>,
    },
    Read {
        room: &'a RoomId,
        user: &'a UserId,
        cursor: &'a Cursor,
    },
    Presence {
        #[serde(skip_serializing_if = "Option::is_none")]
        reply: Option<u64>,
        users: Vec<PresenceView<'a>>,
    },
    Room {
        room: RoomView<'a>,
    },
    Member {
        room: &'a RoomId,
        member: MemberView<'a>,
    },
    NoticesLost,
    Heads {
        heads: BTreeMap<&'a str, &'a Cursor>,
    },
    Expiring {
        expires_at: Time,
    },
    Closing {
        code: &'static str,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        reconnect_after_ms: Option<u64>,
    },
    Sent {
        #[serde(skip_serializing_if = "Option::is_none")]
        reply: Option<u64>,
        #[serde(flatten)]
        sent: SentView<'a>,
    },
    History {
        #[serde(skip_serializing_if = "Option::is_none")]
        reply: Option<u64>,
        page: PageView<'a>,
    },
    Rooms {
        #[serde(skip_serializing_if = "Option::is_none")]
        reply: Option<u64>,
        rooms: Vec<SummaryView<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<String>,
    },
    Members {
        #[serde(skip_serializing_if = "Option::is_none")]
        reply: Option<u64>,
        members: Vec<MemberView<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<&'a UserId>,
    },
    Ok {
        #[serde(skip_serializing_if = "Option::is_none")]
        reply: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_at: Option<Time>,
    },
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        reply: Option<u64>,
    },
    SendFailed {
        room: &'a RoomId,
        client_id: &'a ClientMessageId,
        code: &'a str,
        message: &'a str,
        retryable: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        reply: Option<u64>,
        code: &'a str,
        message: &'a str,
        retryable: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        client_id: Option<&'a ClientMessageId>,
        #[serde(skip_serializing_if = "Option::is_none")]
        room: Option<&'a RoomId>,
    },
}

/// None of the frames can fail to be written; a client that got this one would say so.
const UNWRITABLE: &[u8] =
    br#"{"type":"error","code":"internal","message":"an answer could not be written","retryable":false}"#;

impl Frame<'_> {
    fn into_vec(self) -> Vec<u8> {
        serde_json::to_vec(&self).unwrap_or_else(|_| UNWRITABLE.to_vec())
    }

    fn into_bytes(self) -> Bytes {
        self.into_vec().into()
    }

    /// With `,"page":{…}` at its end. Entries that other sessions were sent too are copied, not written again.
    fn with_page(self, page: Option<&LivePage>) -> Bytes {
        let mut frame = self.into_vec();
        let Some(page) = page else { return frame.into() };
        frame.pop();
        frame.extend_from_slice(br#","page":{"entries":["#);
        for (number, live) in page.entries.iter().enumerate() {
            if number > 0 {
                frame.push(b',');
            }
            frame.extend_from_slice(inner_entry(&entry(live)));
        }
        let (start, head, cursor) = (page.reaches_start, page.reaches_head, &page.head.cursor);
        let seq = cursor.seq;
        // A cursor is made of letters, digits, '-', '_' and a dot: nothing to escape.
        let end =
            format!(r#"],"reachesStart":{start},"reachesHead":{head},"cursor":"{cursor}","seq":{seq}}}}}"#);
        frame.extend_from_slice(end.as_bytes());
        frame.into()
    }
}

const ENTRY_PREFIX: &[u8] = br#"{"type":"entry","entry":"#;

/// The `entry` frame, written once for all sessions.
pub(crate) fn entry(live: &Broadcast<StoredMessage>) -> Bytes {
    live.encoded(EncodingSlot::JSON, |message| {
        let mut frame = ENTRY_PREFIX.to_vec();
        if serde_json::to_writer(&mut frame, &EntryView::from(message)).is_err() {
            return Bytes::from_static(UNWRITABLE);
        }
        frame.push(b'}');
        frame.into()
    })
}

fn inner_entry(frame: &Bytes) -> &[u8] {
    frame
        .get(ENTRY_PREFIX.len()..frame.len() - 1)
        .filter(|_| frame.starts_with(ENTRY_PREFIX))
        .unwrap_or(b"null")
}

/// The frame of a notice, written once for all sessions; `None` for what clients are not told.
pub(crate) fn notice(live: &Broadcast<FanoutEvent>) -> Option<Bytes> {
    let bytes = live.encoded(EncodingSlot::JSON, |event| {
        match event {
            FanoutEvent::Typing { room, user, active } => Frame::Typing { room, user, active: *active },
            FanoutEvent::Signal { room, user, name, data } => {
                Frame::Signal { room, user, name: name.as_str(), data: view::raw(data) }
            }
            FanoutEvent::Read { room, user, cursor } => Frame::Read { room, user, cursor },
            FanoutEvent::Presence(presence) => Frame::Presence { reply: None, users: vec![presence.into()] },
            FanoutEvent::RoomChanged(room) => Frame::Room { room: room.into() },
            FanoutEvent::MemberChanged { room, member } => Frame::Member { room, member: member.into() },
            FanoutEvent::SendFailed { room, client_id, user, reason } => {
                return send_failed(room, client_id, &reason.to_error(room, user).into());
            }
            _ => return Bytes::new(),
        }
        .into_bytes()
    });
    Some(bytes).filter(|bytes| !bytes.is_empty())
}

/// The frame of an event; `None` for what clients are not told. The end of a session is [`closing`].
pub(crate) fn event(event: &Event) -> Option<Bytes> {
    Some(match event {
        Event::Joined(answer) => joined(answer),
        Event::Entry(live) => entry(live),
        Event::Resync { room, hole, page } => {
            // Without a page, everything in the hole follows: the head is what comes before its end.
            let reached = match page {
                Some(page) => page.head.cursor.clone(),
                None => Cursor::new(hole.before.epoch.clone(), hole.before.seq.previous()),
            };
            Frame::Resync { room, hole: HoleView::from(&**hole), cursor: &reached }.with_page(page.as_deref())
        }
        Event::Reset { room, page } => Frame::Reset { room, cursor: &page.head.cursor }.with_page(Some(page)),
        Event::Left { room, reason } => {
            let reason = if *reason == LeftReason::Removed { "removed" } else { "closed" };
            Frame::Left { room, reason }.into_bytes()
        }
        Event::Notice(live) => return notice(live),
        Event::NoticesLost => Frame::NoticesLost.into_bytes(),
        Event::Heads(heads) => {
            let heads = heads.iter().map(|(room, head)| (room.as_str(), head)).collect();
            Frame::Heads { heads }.into_bytes()
        }
        Event::Expiring { at } => Frame::Expiring { expires_at: Time(*at) }.into_bytes(),
        _ => return None,
    })
}

fn joined(answer: &Joined) -> Bytes {
    let (outcome, page, hole) = match &answer.outcome {
        JoinOutcome::New { page } => ("new", Some(page), None),
        JoinOutcome::Recovered => ("recovered", None, None),
        JoinOutcome::Limited { page, hole } => ("limited", Some(page), Some(hole.into())),
        JoinOutcome::Reset { page } => ("reset", Some(page), None),
    };
    // The tag is the command's id, which is never 0.
    let reply = Some(answer.tag).filter(|tag| *tag > 0);
    let frame = Frame::Joined { reply, room: &answer.room, outcome, cursor: &answer.cursor, hole };
    frame.with_page(page.map(|page| &**page))
}

pub(crate) fn connected(reply: Option<u64>, chat: &Chat, session: &Session, frame_bytes: usize) -> Bytes {
    let settings = chat.settings();
    Frame::Connected {
        reply,
        user: session.user(),
        connection: session.connection().as_str(),
        heartbeat: seconds(settings.heartbeat_interval),
        expires_at: session.principal().expires_at.map(Time),
        limits: LimitsView { frame_bytes, rooms: settings.rooms_per_session, replay: settings.replay_limit },
    }
    .into_bytes()
}

pub(crate) fn closing(goodbye: &Goodbye) -> Bytes {
    Frame::Closing {
        code: goodbye.code,
        message: &goodbye.message,
        reconnect_after_ms: goodbye.reconnect_after.map(millis),
    }
    .into_bytes()
}

pub(crate) fn sent(reply: Option<u64>, client_id: &ClientMessageId, sent: &Sent) -> Bytes {
    Frame::Sent { reply, sent: SentView::new(client_id, sent) }.into_bytes()
}

fn send_failed(room: &RoomId, client_id: &ClientMessageId, problem: &Problem) -> Bytes {
    let Problem { code, message, retryable, .. } = problem;
    let retry_after_ms = problem.retry_after_ms();
    Frame::SendFailed { room, client_id, code, message, retryable: *retryable, retry_after_ms }.into_bytes()
}

pub(crate) fn history(reply: Option<u64>, page: &Page) -> Bytes {
    Frame::History { reply, page: page.into() }.into_bytes()
}

pub(crate) fn rooms(reply: Option<u64>, page: &RoomsPage) -> Bytes {
    let next = page.next.as_ref().map(ToString::to_string);
    Frame::Rooms { reply, rooms: all(&page.rooms), next }.into_bytes()
}

pub(crate) fn members(reply: Option<u64>, page: &MembersPage) -> Bytes {
    Frame::Members { reply, members: all(&page.members), next: page.next.as_ref() }.into_bytes()
}

pub(crate) fn presence(reply: Option<u64>, users: &[UserPresence]) -> Bytes {
    Frame::Presence { reply, users: all(users) }.into_bytes()
}

pub(crate) fn ok(reply: Option<u64>, expires_at: Option<Timestamp>) -> Bytes {
    Frame::Ok { reply, expires_at: expires_at.map(Time) }.into_bytes()
}

pub(crate) fn pong(reply: Option<u64>) -> Bytes {
    Frame::Pong { reply }.into_bytes()
}

pub(crate) fn error(
    reply: Option<u64>,
    problem: &Problem,
    room: Option<&RoomId>,
    client_id: Option<&ClientMessageId>,
) -> Bytes {
    Frame::Error {
        reply,
        code: problem.code,
        message: &problem.message,
        retryable: problem.retryable,
        retry_after_ms: problem.retry_after_ms(),
        client_id,
        room,
    }
    .into_bytes()
}

#[cfg(test)]
mod documented;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chat_core::{
        Body, Content, CustomKind, Draft, Epoch, JsonText, MessageId, Position, ReactionKey, ReactionOp, Seq,
    };
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn cursor(seq: u64) -> Cursor {
        Cursor::new(Epoch::new("e").unwrap(), Seq::new(seq).unwrap())
    }

    fn room() -> RoomId {
        RoomId::new("r:1@x").unwrap()
    }

    fn stored(content: Content) -> StoredMessage {
        let (sender, client_id) = (UserId::new("a\"\\b").unwrap(), ClientMessageId::new("c\"").unwrap());
        let created_at = Timestamp::from_millis(1_736_433_000_123);
        let position = Position { cursor: cursor(7), id: MessageId::from_u128(7), created_at };
        StoredMessage::new(Draft::new(room(), sender, client_id, content), position)
    }

    fn parsed(frame: &Bytes, kind: &str) -> Value {
        let value: Value = serde_json::from_slice(frame).unwrap();
        assert_eq!(value["type"], kind);
        value
    }

    fn any_content() -> impl Strategy<Value = Content> {
        let body = prop_oneof![
            ".*".prop_map(|text| Body::text(&text)),
            ".*".prop_map(|text| Body::Json(JsonText::new(&serde_json::json!([text]).to_string()).unwrap())),
            Just(Body::Removed),
        ];
        let target = MessageId::from_u128(3);
        prop_oneof![
            body.clone().prop_map(|body| Content::Chat { body }),
            body.clone().prop_map(move |body| Content::Edit { target, body }),
            body.prop_map(|body| Content::Custom { name: CustomKind::new("poll").unwrap(), body }),
            Just(Content::Delete { target }),
            Just(Content::Join { user: UserId::new("\"'").unwrap() }),
            "[^\\s\\p{Cc}]{1,8}".prop_filter_map("too long", move |key| {
                let key = ReactionKey::new(&key).ok()?;
                Some(Content::Reaction { target, key, op: ReactionOp::Remove })
            }),
        ]
    }

    proptest! {
        #[test]
        fn every_entry_is_json_alone_and_in_a_page(contents in prop::collection::vec(any_content(), 0..4)) {
            let entries: Vec<_> =
                contents.into_iter().map(|content| Arc::new(Broadcast::new(stored(content)))).collect();
            let alone: Vec<Value> =
                entries.iter().map(|live| parsed(&entry(live), "entry")["entry"].take()).collect();
            for (live, json) in entries.iter().zip(&alone) {
                prop_assert_eq!(&json["kind"], live.value().content.kind().as_str());
                if let Some(Body::Text(text)) = live.value().content.body() {
                    prop_assert_eq!(&json["text"], &**text);
                }
            }
            let values: Vec<StoredMessage> = entries.iter().map(|live| live.value().clone()).collect();
            let head = chat_core::Head { cursor: cursor(7), oldest: Seq::FIRST };
            let page = Page { entries: values, head, reaches_head: true, reaches_start: false };
            let listed = parsed(&history(Some(1), &page), "history");
            prop_assert_eq!(&listed["page"]["entries"], &Value::from(alone));
            prop_assert_eq!(&listed["page"]["cursor"], "e.7");
        }

        #[test]
        fn every_notice_and_error_is_json(text in ".*", name in "[a-z]{1,9}") {
            let (room, user) = (room(), UserId::new("ann").unwrap());
            let data = JsonText::new(&Value::from(text.as_str()).to_string()).unwrap();
            let name = CustomKind::new(&name).unwrap();
            let event = FanoutEvent::Signal { room: room.clone(), user, name, data };
            let frame = notice(&Broadcast::new(event)).unwrap();
            prop_assert_eq!(&parsed(&frame, "signal")["data"], &text);
            let frame = error(None, &Problem::invalid(text.as_str()), Some(&room), None);
            prop_assert_eq!(&parsed(&frame, "error")["message"], &text);
        }
    }

    #[test]
    fn what_clients_are_not_told_has_no_frame() {
        let head = FanoutEvent::Head { room: room(), cursor: cursor(1) };
        assert_eq!(notice(&Broadcast::new(head)), None);
    }

    #[test]
    fn a_resync_without_a_page_leads_to_the_end_of_its_hole() {
        let hole = Hole { after: cursor(1), before: cursor(9) };
        let frame = event(&Event::Resync { room: room(), hole: Box::new(hole), page: None }).unwrap();
        let frame = parsed(&frame, "resync");
        assert_eq!((&frame["hole"]["before"], &frame["cursor"]), (&"e.9".into(), &"e.8".into()));
        assert_eq!(frame.get("page"), None);
    }
}
