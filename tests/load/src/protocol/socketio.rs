//! Socket.IO over WebSocket, Engine.IO 4: a packet is a digit for each of the two layers, perhaps a namespace and the number of an
//! acknowledgement, and JSON.

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Opened, Seat, Seen, connect, hear, quoted, say};

/// What an application's events are called and how they look. `{room}`, `{name}` and `{text}` stand for the room, the client's name
/// for the message and its text, each with the quotation marks of JSON; `{after}` for the position to go on from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dialect {
    /// Where Socket.IO is on the server.
    #[serde(default = "path")]
    pub path: String,
    /// `/`, or another one.
    #[serde(default = "root")]
    pub namespace: String,
    /// The event that joins a room, and its argument.
    pub join: (String, String),
    /// The argument in place of the other, where a client comes back; without, it is given nothing of what it missed.
    #[serde(default)]
    pub rejoin: Option<String>,
    /// Where the answer to it has the position, as a JSON pointer.
    #[serde(default)]
    pub position: Option<String>,
    /// The event that sends, and its argument.
    pub send: (String, String),
    /// The event that a message comes with.
    pub message: String,
    /// An acknowledgement with one of these in it is a refusal.
    pub refusals: Vec<String>,
}

fn path() -> String {
    "/socket.io/".into()
}

fn root() -> String {
    "/".into()
}

impl Dialect {
    /// One of those that the example servers speak: `group`, `shop`, `plain` (that of the plain Socket.IO server among the peers).
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let text = match name {
            "group" => include_str!("group.json"),
            "shop" => include_str!("shop.json"),
            "plain" => include_str!("plain.json"),
            _ => return None,
        };
        Self::parse(text).ok()
    }

    /// Reads one: a JSON object with these fields.
    ///
    /// # Errors
    /// It is something else; the message says where.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(serde_json::from_str(text)?)
    }

    /// `` or `/chat,`: what stands in front of a packet's content.
    fn prefix(&self) -> String {
        if self.namespace == "/" { String::new() } else { format!("{},", self.namespace) }
    }

    pub(super) async fn open(&self, seat: &Seat, position: Option<&str>) -> Result<Opened> {
        let address = format!("{}{}?EIO=4&transport=websocket", seat.server.trim_end_matches('/'), self.path);
        let mut socket = connect(&address, Some(&seat.token)).await?;
        let opening = hear(&mut socket).await?;
        if !opening.starts_with('0') {
            bail!("an Engine.IO server begins with an open packet, and this came: {opening}");
        }
        let prefix = self.prefix();
        say(&mut socket, format!("40{prefix}{}", json!({ "token": seat.token }))).await?;
        let connected = self.hear_past_pings(&mut socket).await?;
        if !connected.starts_with(&format!("40{prefix}")) {
            bail!("not let in: {connected}");
        }
        let (event, argument) = &self.join;
        let argument = match (position, &self.rejoin) {
            (Some(position), Some(rejoin)) => rejoin.replace("{after}", &quoted(position)),
            _ => argument.clone(),
        };
        let argument = argument.replace("{room}", &quoted(&seat.room));
        say(&mut socket, format!("42{prefix}0[{},{argument}]", quoted(event))).await?;
        let mut backlog = Vec::new();
        let answer = format!("43{prefix}0");
        let joined = loop {
            let frame = self.hear_past_pings(&mut socket).await?;
            if frame.starts_with(&answer) {
                break frame;
            }
            backlog.push(frame);
        };
        if self.refuses(&joined) {
            bail!("may not join: {joined}");
        }
        let said: Value = serde_json::from_str(&joined[answer.len()..]).with_context(|| joined.clone())?;
        let place =
            self.position.as_ref().and_then(|place| said[0].pointer(place)?.as_str().map(str::to_owned));
        Ok(Opened { socket, position: place, backlog })
    }

    fn refuses(&self, answer: &str) -> bool {
        self.refusals.iter().any(|refusal| answer.contains(refusal))
    }

    async fn hear_past_pings(&self, socket: &mut super::Socket) -> Result<String> {
        loop {
            let frame = hear(socket).await?;
            if frame != "2" {
                return Ok(frame);
            }
            say(socket, "3".into()).await?;
        }
    }

    pub(super) fn send(&self, id: u64, room: &str, name: &str, text: &str) -> String {
        let (event, argument) = &self.send;
        let argument = argument.replace("{room}", &quoted(room)).replace("{name}", &quoted(name));
        let argument = argument.replace("{text}", &quoted(text));
        format!("42{}{id}[{},{argument}]", self.prefix(), quoted(event))
    }

    pub(super) fn read<'a>(&self, frame: &'a str, seen: &mut dyn FnMut(Seen<'a>)) {
        if frame == "2" {
            return seen(Seen::Reply("3"));
        }
        let Some((kind, rest)) = frame.split_at_checked(2) else { return };
        let own = if self.namespace == "/" {
            Some(rest).filter(|rest| !rest.starts_with('/'))
        } else {
            rest.strip_prefix(self.namespace.as_str()).and_then(|rest| rest.strip_prefix(','))
        };
        let Some(rest) = own else { return };
        match kind {
            "42" => {
                // A message may want an acknowledgement, which nobody gives here.
                let event = rest.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("[\"");
                if event
                    .and_then(|event| event.strip_prefix(&self.message))
                    .is_some_and(|rest| rest.starts_with('"'))
                {
                    seen(Seen::Delivery(rest));
                }
            }
            "43" => {
                let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                let Ok(id) = rest[..digits].parse() else { return };
                seen(Seen::Answer { id, refused: Some(rest).filter(|rest| self.refuses(rest)) });
            }
            "41" | "44" => seen(Seen::Ended(frame)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts<'a>(dialect: &Dialect, frame: &'a str) -> Vec<Seen<'a>> {
        let mut parts = Vec::new();
        dialect.read(frame, &mut |part| parts.push(part));
        parts
    }

    #[test]
    fn packets_are_told_apart() {
        let shop = Dialect::named("shop").unwrap();
        let message = r#"["new-message",{"text":"~1.2.3~"}]"#;
        assert_eq!(parts(&shop, &format!("42/chat,{message}")), [Seen::Delivery(message)]);
        assert_eq!(parts(&shop, &format!("42{message}")), []);
        assert_eq!(parts(&shop, r#"42/chat,["new-message-of-another",1]"#), []);
        assert_eq!(parts(&shop, r#"43/chat,17[{"success":true}]"#), [Seen::Answer { id: 17, refused: None }]);
        let refused = r#"17[{"success":false,"message":"no"}]"#;
        assert_eq!(
            parts(&shop, &format!("43/chat,{refused}")),
            [Seen::Answer { id: 17, refused: Some(refused) }]
        );
        assert_eq!(parts(&shop, "2"), [Seen::Reply("3")]);
        assert_eq!(
            parts(&Dialect::named("group").unwrap(), "430[1]"),
            [Seen::Answer { id: 0, refused: None }]
        );
    }

    #[test]
    fn what_is_sent_is_what_the_dialect_says() {
        let frame = Dialect::named("shop").unwrap().send(9, "r\"1", "c-1", "hello");
        assert_eq!(
            frame,
            r#"42/chat,9["send-message",{"roomId":"r\"1","text":"hello","clientMsgId":"c-1"}]"#
        );
        assert!(Dialect::named("nobody's").is_none());
        for name in ["group", "plain"] {
            assert!(Dialect::named(name).is_some(), "{name}");
        }
    }
}
