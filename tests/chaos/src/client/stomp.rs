//! STOMP in the words of the study groups, over a plain WebSocket and over SockJS's.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use chat_core::{Cursor, RoomId, UserId};
use chat_simulation::Outgoing;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::wire::{Broken, Heard, Joined, Link, Order, Person, Wire, field, optional, read, write};
use crate::notes::Seen;

pub(super) const PATH: &str = "/ws-chat";

/// Both sides say something at least as often.
const HEARTBEAT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Stomp {
    /// Frames are wrapped.
    sockjs: bool,
    /// Receipts of subscriptions.
    joins: BTreeMap<u64, RoomId>,
}

/// One frame of the server's.
struct Frame<'a> {
    command: &'a str,
    headers: BTreeMap<String, String>,
    body: &'a str,
}

impl Stomp {
    pub(super) const fn new(sockjs: bool) -> Self {
        Self { sockjs, joins: BTreeMap::new() }
    }

    fn wrap(&self, frame: String) -> String {
        if self.sockjs { json!([frame]).to_string() } else { frame }
    }

    /// The frames in what came.
    fn unwrap(&self, text: &str) -> Result<Vec<String>> {
        if !self.sockjs {
            return Ok(vec![text.to_owned()]);
        }
        match text.split_at_checked(1) {
            Some(("a", frames)) => Ok(serde_json::from_str(frames)?),
            Some(("o" | "h", "")) => Ok(Vec::new()),
            Some(("c", _)) => Ok(vec!["ERROR\n\n\0".to_owned()]),
            _ => bail!("no frame of SockJS"),
        }
    }

    fn frame(&mut self, frame: &Frame<'_>) -> Result<Vec<Heard>> {
        let header = |name: &str| frame.headers.get(name).map(String::as_str);
        Ok(match frame.command {
            "RECEIPT" => {
                let tag = header("receipt-id").context("no receipt")?.parse()?;
                vec![match self.joins.remove(&tag) {
                    Some(_) => Heard::Joined { tag, joined: Joined::Goes },
                    None => Heard::Sent { tag, position: None, durability: None },
                }]
            }
            // The end follows. What is refused for good shows as a room that is never joined.
            "ERROR" => vec![Heard::Over],
            "MESSAGE" if header("subscription") == Some("errors") => {
                let told: Value = serde_json::from_str(frame.body)?;
                match header("receipt-id") {
                    Some(tag) => vec![Heard::Refused {
                        tag: tag.parse()?,
                        may_repeat: told["retryable"] == true,
                        pause: None,
                        what: told.to_string(),
                    }],
                    None => vec![Heard::Wrong { guarantee: "service", what: told.to_string() }],
                }
            }
            "MESSAGE" => {
                let told: Value = serde_json::from_str(frame.body)?;
                let room: u64 = field(&told, "chatRoomId")?;
                let sender: u64 = field(&told, "senderId")?;
                let seen = Seen {
                    room: RoomId::new(&room.to_string())?,
                    id: Some(serde_json::from_value(json!(header("message-id")))?),
                    cursor: Some(header("cursor").context("no cursor")?.parse()?),
                    sender: UserId::new(&sender.to_string())?,
                    client_id: None,
                    text: optional(&told, "content")?,
                    at: Instant::now(),
                };
                let mut heard = Vec::new();
                if let Some(resync) = header("resync") {
                    let what = format!("{}: the server passed over entries: {resync}", seen.room);
                    heard.push(Heard::Wrong { guarantee: "G5", what });
                }
                heard.push(Heard::Entry(seen));
                heard
            }
            _ => Vec::new(),
        })
    }
}

fn parse(text: &str) -> Result<Frame<'_>> {
    let (head, body) = text.split_once("\n\n").context("no frame of STOMP")?;
    let mut lines = head.lines();
    let command = lines.next().context("no command")?;
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.replace("\\c", ":"))).collect();
    Ok(Frame { command, headers, body: body.trim_end_matches(['\0', '\n']) })
}

#[async_trait]
impl Wire for Stomp {
    async fn open(&mut self, link: &mut Link, person: &Person) -> Result<(), Broken> {
        let beat = HEARTBEAT.as_millis();
        let token = &person.token;
        let connect = format!(
            "CONNECT\naccept-version:1.2\nhost:chaos\nheart-beat:{beat},{beat}\nAuthorization:Bearer {token}\n\n\0"
        );
        write(link, self.wrap(connect)).await?;
        loop {
            let text = read(link).await?;
            if text.trim().is_empty() {
                continue;
            }
            match self.unwrap(&text).map_err(|_| Broken)?.first() {
                None => {}
                Some(frame) if frame.starts_with("CONNECTED") => break,
                Some(_) => return Err(Broken),
            }
        }
        let user = &person.user;
        let errors = format!("SUBSCRIBE\nid:errors\ndestination:/user/{user}/queue/errors\n\n\0");
        write(link, self.wrap(errors)).await
    }

    fn join(&mut self, tag: u64, room: &RoomId, after: Option<&Cursor>) -> String {
        self.joins.insert(tag, room.clone());
        let cursor = after.map(|cursor| format!("cursor:{cursor}\n")).unwrap_or_default();
        self.wrap(format!(
            "SUBSCRIBE\nid:room-{room}-{tag}\ndestination:/topic/chatroom/{room}\nreceipt:{tag}\n{cursor}\n\0"
        ))
    }

    fn send(&mut self, tag: u64, person: &Person, message: &Outgoing) -> String {
        let number = |id: &str| id.parse::<u64>().unwrap_or_default();
        let Outgoing { room, client_id, text, .. } = message;
        let body = json!({
            "chatRoomId": number(room.as_str()), "senderId": number(person.user.as_str()), "senderNickname": "somebody",
            "content": text, "messageType": "CHAT", "clientMsgId": client_id,
        });
        self.wrap(format!("SEND\ndestination:/app/chat.sendMessage\nreceipt:{tag}\n\n{body}\0"))
    }

    fn hear(&mut self, text: &str) -> Result<Vec<Heard>> {
        let mut heard = Vec::new();
        for frame in self.unwrap(text)? {
            if !frame.trim_matches(['\n', '\r']).is_empty() {
                heard.extend(self.frame(&parse(&frame)?)?);
            }
        }
        Ok(heard)
    }

    fn beat(&self) -> Option<(Duration, String)> {
        Some((HEARTBEAT / 2, self.wrap("\n".to_owned())))
    }

    fn silence(&self) -> Duration {
        3 * HEARTBEAT
    }

    fn order(&self) -> Order {
        Order::Grows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = "MESSAGE\nsubscription:room-7-1\nmessage-id:01KDVA3M5N8QJ4R7N2M6K9H5B0\ncursor:e.4\n\n\
        {\"chatRoomId\":7,\"messageId\":4,\"senderId\":3,\"content\":\"hello\"}\0";

    #[test]
    fn frames_are_heard_plain_and_wrapped() {
        let mut plain = Stomp::new(false);
        let room = RoomId::new("7").unwrap();
        let _ = plain.join(2, &room, None);
        let receipt = |tag: u64| format!("RECEIPT\nreceipt-id:{tag}\n\n\0");
        assert!(matches!(plain.hear(&receipt(2)).unwrap()[..], [Heard::Joined { tag: 2, .. }]));
        assert!(matches!(plain.hear(&receipt(3)).unwrap()[..], [Heard::Sent { tag: 3, .. }]));
        assert!(plain.hear("\n").unwrap().is_empty());
        let mut sockjs = Stomp::new(true);
        for heard in [plain.hear(MESSAGE), sockjs.hear(&format!("a{}", json!([MESSAGE])))] {
            let [Heard::Entry(seen)] = &heard.unwrap()[..] else { panic!("no entry") };
            assert_eq!((seen.room.as_str(), seen.text.as_deref()), ("7", Some("hello")));
        }
        assert!(matches!(sockjs.hear("c[3000,\"Go away!\"]").unwrap()[..], [Heard::Over]));
        assert!(sockjs.hear("h").unwrap().is_empty());
    }
}
