//! Socket.IO over a WebSocket, in the words of the shop and of the group chat.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use chat_core::{Cursor, RoomId};
use chat_simulation::Outgoing;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::wire::{Broken, Heard, Joined, Link, Order, Person, Wire, field, optional, position, read, write};
use crate::notes::Seen;

pub(super) const PATH: &str = "/socket.io/?EIO=4&transport=websocket";

/// Engine.IO's packets, and Socket.IO's within its messages.
const CLOSE: &str = "1";
const PING: &str = "2";
const PONG: &str = "3";
const CONNECT: &str = "40";
const DISCONNECT: &str = "41";
const EVENT: &str = "42";
const ACK: &str = "43";

/// Whose words are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    Shop,
    Group,
}

#[derive(Debug)]
pub(super) struct SocketIo {
    words: Words,
    silence: Duration,
    joins: BTreeSet<u64>,
}

impl SocketIo {
    pub(super) const fn new(words: Words) -> Self {
        Self { words, silence: Duration::from_secs(45), joins: BTreeSet::new() }
    }

    /// The namespace as packets begin with it.
    const fn namespace(&self) -> &'static str {
        match self.words {
            Words::Shop => "/chat,",
            Words::Group => "",
        }
    }

    fn emit(&self, tag: u64, event: &str, data: &Value) -> String {
        format!("{EVENT}{}{tag}{}", self.namespace(), json!([event, data]))
    }

    fn event(&self, name: &str, data: &Value) -> Result<Vec<Heard>> {
        Ok(match (self.words, name) {
            (Words::Shop, "new-message") => vec![Heard::Entry(Seen {
                room: field(data, "roomId")?,
                id: Some(field(data, "id")?),
                cursor: Some(field(data, "cursor")?),
                sender: field(data, "senderId")?,
                client_id: Some(field(data, "clientMsgId")?),
                text: Some(field(data, "text")?),
                at: Instant::now(),
            })],
            (Words::Group, "newMessage") => vec![Heard::Entry(group_message(data)?)],
            (Words::Group, "messagesMissed") => vec![Heard::Missed(field(data, "roomId")?)],
            (Words::Group, "messageFailed") => {
                let what = format!("accepted and not stored after all: {data}");
                vec![Heard::Wrong { guarantee: "G1", what }]
            }
            _ => Vec::new(),
        })
    }

    fn answer(&mut self, tag: u64, said: &Value) -> Result<Heard> {
        let is_join = self.joins.remove(&tag);
        let (done, retry) = match self.words {
            Words::Shop => (said["success"] == true, &said["data"]),
            Words::Group => (said["success"] == true || said["status"] == "ACCEPTED", said),
        };
        if !done {
            let pause = retry["retryAfterMs"].as_u64().map(Duration::from_millis);
            // The group's join does not say whether it may be asked again.
            let may_repeat = retry["retryable"] == true || (is_join && self.words == Words::Group);
            return Ok(Heard::Refused { tag, may_repeat, pause, what: said.to_string() });
        }
        if is_join {
            return Ok(Heard::Joined { tag, joined: Joined::Goes });
        }
        let position = match self.words {
            Words::Shop => Some(position(&said["data"])?),
            Words::Group => None,
        };
        Ok(Heard::Sent { tag, position, durability: None })
    }
}

/// A message of the group chat, live or of its history.
pub(super) fn group_message(data: &Value) -> Result<Seen> {
    Ok(Seen {
        room: field(data, "roomId")?,
        id: Some(field(data, "id")?),
        cursor: None,
        sender: field(data, "senderId")?,
        client_id: Some(field(data, "clientMsgId")?),
        text: optional(data, "content")?,
        at: Instant::now(),
    })
}

#[async_trait]
impl Wire for SocketIo {
    async fn open(&mut self, link: &mut Link, person: &Person) -> Result<(), Broken> {
        let opened = read(link).await?;
        let opened = opened.strip_prefix('0').ok_or(Broken)?;
        let opened: Value = serde_json::from_str(opened).map_err(|_| Broken)?;
        let millis = |name: &str| opened[name].as_u64().ok_or(Broken);
        self.silence = Duration::from_millis(millis("pingInterval")? + millis("pingTimeout")?);
        let auth = json!({ "token": person.token });
        write(link, format!("{CONNECT}{}{auth}", self.namespace())).await?;
        loop {
            let text = read(link).await?;
            if text == PING {
                write(link, PONG.to_owned()).await?;
            } else if text.starts_with(CONNECT) {
                return Ok(());
            } else if !text.is_empty() {
                return Err(Broken);
            }
        }
    }

    fn join(&mut self, tag: u64, room: &RoomId, after: Option<&Cursor>) -> String {
        self.joins.insert(tag);
        match self.words {
            Words::Shop => self.emit(tag, "join-room", &json!({ "roomId": room, "after": after })),
            Words::Group => self.emit(tag, "joinRoom", &json!({ "roomId": room })),
        }
    }

    fn send(&mut self, tag: u64, _: &Person, message: &Outgoing) -> String {
        let Outgoing { room, client_id, text, .. } = message;
        match self.words {
            Words::Shop => {
                let data = json!({ "roomId": room, "text": text, "clientMsgId": client_id });
                self.emit(tag, "send-message", &data)
            }
            Words::Group => {
                let data =
                    json!({ "roomId": room, "clientMsgId": client_id, "type": "TEXT", "content": text });
                self.emit(tag, "sendMessage", &data)
            }
        }
    }

    fn hear(&mut self, text: &str) -> Result<Vec<Heard>> {
        if text == PING {
            return Ok(vec![Heard::Answer(PONG.to_owned())]);
        }
        if text == CLOSE {
            return Ok(vec![Heard::Over]);
        }
        // After this the real client does not come back by itself.
        if text.starts_with(DISCONNECT) {
            let what = "disconnected by the server".to_owned();
            return Ok(vec![Heard::Wrong { guarantee: "service", what }, Heard::Over]);
        }
        let (kind, rest) = text.split_at_checked(2).context("no packet")?;
        let rest = rest.strip_prefix(self.namespace()).context("another namespace")?;
        let (tag, data) = rest.split_at(rest.find('[').context("no data")?);
        let data: Value = serde_json::from_str(data)?;
        match kind {
            EVENT => self.event(data[0].as_str().context("no event")?, &data[1]),
            ACK => Ok(vec![self.answer(tag.parse()?, &data[0])?]),
            _ => bail!("an unknown packet"),
        }
    }

    fn silence(&self) -> Duration {
        self.silence
    }

    fn order(&self) -> Order {
        match self.words {
            Words::Shop => Order::Grows,
            Words::Group => Order::ById,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_a_namespace_are_read() {
        let mut shop = SocketIo::new(Words::Shop);
        let room = RoomId::new("r").unwrap();
        assert_eq!(shop.join(4, &room, None), r#"42/chat,4["join-room",{"after":null,"roomId":"r"}]"#);
        let heard = shop.hear(r#"43/chat,4[{"success":true,"data":{}}]"#).unwrap();
        assert!(matches!(heard[..], [Heard::Joined { tag: 4, .. }]));
        let refused = r#"43/chat,5[{"success":false,"data":{"code":"timeout","retryable":true}}]"#;
        assert!(matches!(shop.hear(refused).unwrap()[..], [Heard::Refused { tag: 5, may_repeat: true, .. }]));
        assert!(matches!(shop.hear("2").unwrap()[..], [Heard::Answer(_)]));
        assert!(matches!(shop.hear("1").unwrap()[..], [Heard::Over]));
        assert!(matches!(shop.hear("41/chat,").unwrap()[..], [Heard::Wrong { .. }, Heard::Over]));
        let mut group = SocketIo::new(Words::Group);
        let accepted = group.hear(r#"439[{"clientMsgId":"c","status":"ACCEPTED"}]"#).unwrap();
        assert!(matches!(accepted[..], [Heard::Sent { tag: 9, position: None, .. }]));
    }
}
