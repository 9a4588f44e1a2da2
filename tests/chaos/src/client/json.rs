//! The library's own protocol, `chat-gateway/PROTOCOL.md`.

use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use chat_core::{Cursor, RoomId};
use chat_simulation::Outgoing;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::wire::{
    Broken, Heard, Joined, Link, Order, Page, Person, Wire, field, optional, position, read, write,
};
use crate::notes::Seen;

pub(super) const PATH: &str = "/chat/ws";

/// Closings after which a client is not to come back by itself, or needs another token.
const FOR_GOOD: [&str; 6] =
    ["closed", "replaced", "token_expired", "token_revoked", "unauthenticated", "malformed"];

#[derive(Debug)]
pub(super) struct Json {
    heartbeat: Duration,
}

impl Json {
    pub(super) const fn new() -> Self {
        Self { heartbeat: Duration::from_secs(25) }
    }
}

#[async_trait]
impl Wire for Json {
    async fn open(&mut self, link: &mut Link, person: &Person) -> Result<(), Broken> {
        let connect = json!({"type": "connect", "id": 1, "token": person.token});
        write(link, connect.to_string()).await?;
        loop {
            let text = read(link).await?;
            if text.is_empty() {
                continue;
            }
            let answer: Value = serde_json::from_str(&text).map_err(|_| Broken)?;
            if answer["type"] != "connected" {
                return Err(Broken);
            }
            self.heartbeat = Duration::from_secs(answer["heartbeat"].as_u64().ok_or(Broken)?);
            return Ok(());
        }
    }

    fn join(&mut self, tag: u64, room: &RoomId, after: Option<&Cursor>) -> String {
        let mut join = json!({"type": "join", "id": tag, "room": room});
        if let Some(cursor) = after {
            join["cursor"] = json!(cursor);
        }
        join.to_string()
    }

    fn send(&mut self, tag: u64, _: &Person, message: &Outgoing) -> String {
        let Outgoing { room, client_id, text, .. } = message;
        json!({"type": "send", "id": tag, "room": room, "clientId": client_id, "text": text}).to_string()
    }

    fn hear(&mut self, text: &str) -> Result<Vec<Heard>> {
        let frame: Value = serde_json::from_str(text)?;
        let tag = frame["reply"].as_u64();
        let kind = frame["type"].as_str().context("no type")?;
        Ok(vec![match kind {
            "entry" => Heard::Entry(entry(&frame["entry"])?),
            "joined" => match tag {
                Some(tag) => Heard::Joined { tag, joined: joined(&frame)? },
                None => Heard::Follows { room: field(&frame, "room")?, joined: joined(&frame)? },
            },
            "connected" => {
                self.heartbeat = Duration::from_secs(frame["heartbeat"].as_u64().context("no heartbeat")?);
                return Ok(Vec::new());
            }
            "sent" => {
                let position = if frame.get("cursor").is_some() { Some(position(&frame)?) } else { None };
                let tag = tag.context("no reply")?;
                Heard::Sent { tag, position, durability: optional(&frame, "durability")? }
            }
            "reset" | "resync" if frame.get("page").is_some() => {
                Heard::Page { room: field(&frame, "room")?, page: page(&frame, kind == "reset")? }
            }
            "error" if tag.is_some() => Heard::Refused {
                tag: tag.unwrap_or_default(),
                may_repeat: frame["retryable"] == true,
                pause: frame["retryAfterMs"].as_u64().map(Duration::from_millis),
                what: text.to_owned(),
            },
            "closing" => {
                let code = frame["code"].as_str().unwrap_or_default();
                if FOR_GOOD.contains(&code) {
                    return Ok(vec![
                        Heard::Wrong { guarantee: "service", what: format!("sent away: {text}") },
                        Heard::Over,
                    ]);
                }
                Heard::Over
            }
            "error" if frame["retryable"] == true => Heard::Over,
            "error" | "left" | "sendFailed" => Heard::Wrong { guarantee: "service", what: text.to_owned() },
            // The hole's entries follow; heads, presence and the like are not looked at.
            _ => return Ok(Vec::new()),
        }])
    }

    /// As the protocol says: twice the heartbeat.
    fn silence(&self) -> Duration {
        2 * self.heartbeat
    }

    fn order(&self) -> Order {
        Order::Next
    }
}

fn joined(frame: &Value) -> Result<Joined> {
    Ok(match frame["outcome"].as_str().context("no outcome")? {
        "new" | "recovered" => Joined::Goes,
        outcome => Joined::Page(page(frame, outcome == "reset")?),
    })
}

fn page(frame: &Value, reset: bool) -> Result<Page> {
    let page = &frame["page"];
    let entries = page["entries"].as_array().context("no entries")?;
    Ok(Page {
        entries: entries.iter().map(entry).collect::<Result<_>>()?,
        head: field(page, "cursor")?,
        reset,
    })
}

/// An `entry` object.
pub(super) fn entry(value: &Value) -> Result<Seen> {
    Ok(Seen {
        room: field(value, "room")?,
        id: Some(field(value, "id")?),
        cursor: Some(field(value, "cursor")?),
        sender: field(value, "sender")?,
        client_id: Some(field(value, "clientId")?),
        text: optional(value, "text")?,
        at: Instant::now(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_heard_as_what_they_say() {
        let mut json = Json::new();
        let mut heard = |frame: Value| json.hear(&frame.to_string()).unwrap().remove(0);
        let error = json!({"type": "error", "reply": 7, "code": "unavailable", "retryable": true, "retryAfterMs": 20});
        assert!(matches!(heard(error), Heard::Refused { tag: 7, may_repeat: true, pause: Some(_), .. }));
        let joined =
            json!({"type": "joined", "reply": 3, "room": "a", "outcome": "recovered", "cursor": "e.1"});
        assert!(matches!(heard(joined), Heard::Joined { tag: 3, joined: Joined::Goes }));
        let draining = json!({"type": "closing", "code": "draining", "message": "", "reconnectAfterMs": 5});
        assert!(matches!(heard(draining), Heard::Over));
        let replaced = json!({"type": "closing", "code": "replaced", "message": ""});
        assert!(matches!(heard(replaced), Heard::Wrong { .. }));
    }
}
