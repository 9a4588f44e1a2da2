//! Centrifugo's bidirectional JSON protocol: commands with a number, replies with the same one, pushes without; several in one
//! frame stand on lines of their own.

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Opened, Seat, Seen, connect, hear, quoted, say};

/// An empty object from the server is a ping, and one from the client the answer.
const PING: &str = "{}";

pub(super) async fn open(seat: &Seat, namespace: &str, position: Option<&str>) -> Result<Opened> {
    let mut socket = connect(&seat.server, None).await?;
    say(&mut socket, json!({ "id": 1, "connect": { "token": seat.token } }).to_string()).await?;
    let connected = hear(&mut socket).await?;
    reply(&connected, "connect")?;
    let mut subscribe = json!({ "channel": format!("{namespace}{}", seat.room) });
    if let Some((epoch, offset)) = position.and_then(|position| position.split_once(' ')) {
        let offset: u64 = offset.parse().context("offset")?;
        subscribe["recover"] = true.into();
        subscribe["epoch"] = epoch.into();
        subscribe["offset"] = offset.into();
    }
    say(&mut socket, json!({ "id": 2, "subscribe": subscribe }).to_string()).await?;
    let frame = hear(&mut socket).await?;
    let subscribed = reply(&frame, "subscribe")?;
    let (epoch, offset) = (subscribed["epoch"].as_str(), subscribed["offset"].as_u64().unwrap_or(0));
    let position = epoch.map(|epoch| format!("{epoch} {offset}"));
    Ok(Opened { socket, position, backlog: vec![frame] })
}

fn reply(frame: &str, of: &str) -> Result<Value> {
    let first = frame.lines().next().unwrap_or_default();
    let mut value: Value = serde_json::from_str(first).with_context(|| frame.to_owned())?;
    match value.get_mut(of) {
        Some(result) => Ok(result.take()),
        None => bail!("the answer to {of} was waited for, and this came: {frame}"),
    }
}

pub(super) fn send(id: u64, namespace: &str, room: &str, name: &str, text: &str) -> String {
    let channel = quoted(&format!("{namespace}{room}"));
    let (name, text) = (quoted(name), quoted(text));
    format!(r#"{{"id":{id},"publish":{{"channel":{channel},"data":{{"clientId":{name},"text":{text}}}}}}}"#)
}

#[derive(Deserialize)]
struct Reply<'a> {
    id: u64,
    #[serde(borrow)]
    error: Option<Refused<'a>>,
}

#[derive(Deserialize)]
struct Refused<'a> {
    message: &'a str,
}

pub(super) fn read<'a>(frame: &'a str, seen: &mut dyn FnMut(Seen<'a>)) {
    for line in frame.lines() {
        if line == PING {
            seen(Seen::Reply(PING));
        } else if line.starts_with(r#"{"push":"#) {
            if line.contains(r#""pub":"#) {
                seen(Seen::Delivery(line));
            } else if line.contains(r#""disconnect":"#) {
                seen(Seen::Ended(line));
            }
        } else if let Ok(Reply { id, error }) = serde_json::from_str(line) {
            // What a subscription recovers comes with its answer.
            if line.contains(r#""publications":["#) {
                seen(Seen::Delivery(line));
            }
            seen(Seen::Answer { id, refused: error.map(|refused| refused.message) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recovered_is_delivered() {
        let answer = r#"{"id":2,"subscribe":{"epoch":"x","recovered":true,"publications":[{"data":{"text":"~1.2.3~"},"offset":1}]}}"#;
        let mut parts = Vec::new();
        read(answer, &mut |part| parts.push(part));
        assert_eq!(parts, [Seen::Delivery(answer), Seen::Answer { id: 2, refused: None }]);
    }

    #[test]
    fn lines_of_a_frame_are_told_apart() {
        let push = r#"{"push":{"channel":"room:1","pub":{"data":{"text":"~1.2.3~"},"offset":1}}}"#;
        let frame = format!(
            "{push}\n{{}}\n{{\"id\":11,\"publish\":{{}}}}\n{{\"id\":12,\"error\":{{\"code\":103,\"message\":\"permission denied\"}}}}"
        );
        let mut parts = Vec::new();
        read(&frame, &mut |part| parts.push(part));
        let answers =
            [(11, None), (12, Some("permission denied"))].map(|(id, refused)| Seen::Answer { id, refused });
        let [yes, no] = answers;
        assert_eq!(parts, [Seen::Delivery(push), Seen::Reply("{}"), yes, no]);
    }
}
