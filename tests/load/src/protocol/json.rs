//! This library's own protocol: `chat-gateway/PROTOCOL.md`.

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use super::{Opened, Seat, Seen, connect, hear, quoted, say};

pub(super) async fn open(seat: &Seat, position: Option<&str>) -> Result<Opened> {
    let mut socket = connect(&seat.server, None).await?;
    say(&mut socket, format!(r#"{{"type":"connect","id":1,"token":{}}}"#, quoted(&seat.token))).await?;
    answer(&hear(&mut socket).await?, "connected")?;
    let cursor = position.map(|cursor| format!(r#","cursor":{}"#, quoted(cursor))).unwrap_or_default();
    say(&mut socket, format!(r#"{{"type":"join","id":2,"room":{}{cursor}}}"#, quoted(&seat.room))).await?;
    loop {
        let frame = hear(&mut socket).await?;
        // Presence, members that came before the answer.
        if !frame.starts_with(r#"{"type":"joined""#) && !frame.starts_with(r#"{"type":"error""#) {
            continue;
        }
        let joined = answer(&frame, "joined")?;
        let cursor = joined["cursor"].as_str().context("no cursor in the answer to join")?.to_owned();
        // Without a position the page is what was there before, and nobody waits for that.
        let backlog = if position.is_some() { vec![frame] } else { Vec::new() };
        return Ok(Opened { socket, position: Some(cursor), backlog });
    }
}

fn answer(frame: &str, wanted: &str) -> Result<Value> {
    let value: Value = serde_json::from_str(frame).with_context(|| frame.to_owned())?;
    if value["type"] != wanted {
        bail!("{wanted} was waited for, and this came: {frame}");
    }
    Ok(value)
}

pub(super) fn send(id: u64, room: &str, name: &str, text: &str) -> String {
    let (room, name, text) = (quoted(room), quoted(name), quoted(text));
    format!(r#"{{"type":"send","id":{id},"room":{room},"clientId":{name},"text":{text}}}"#)
}

#[derive(Deserialize)]
struct Answer<'a> {
    reply: Option<u64>,
    code: Option<&'a str>,
}

pub(super) fn read<'a>(frame: &'a str, seen: &mut dyn FnMut(Seen<'a>)) {
    let of = |name: &str| frame.strip_prefix(r#"{"type":""#).is_some_and(|rest| rest.starts_with(name));
    if of("entry\"") {
        seen(Seen::Delivery(frame));
    } else if of("sent\"") || of("error\"") {
        let Ok(Answer { reply: Some(id), code }) = serde_json::from_str(frame) else { return };
        seen(Seen::Answer { id, refused: code });
    } else if of("resync\"") || of("reset\"") {
        seen(Seen::Resync(frame));
    } else if of("closing\"") {
        seen(Seen::Ended(frame));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(frame: &str) -> Vec<Seen<'_>> {
        let mut parts = Vec::new();
        read(frame, &mut |part| parts.push(part));
        parts
    }

    #[test]
    fn frames_are_told_apart() {
        let entry = r#"{"type":"entry","entry":{"text":"~1.2.3~"}}"#;
        assert_eq!(parts(entry), [Seen::Delivery(entry)]);
        let sent = r#"{"type":"sent","reply":12,"clientId":"a","duplicate":false,"durability":"persisted"}"#;
        assert_eq!(parts(sent), [Seen::Answer { id: 12, refused: None }]);
        let error =
            r#"{"type":"error","reply":12,"code":"rate_limited","message":"slower","retryable":true}"#;
        assert_eq!(parts(error), [Seen::Answer { id: 12, refused: Some("rate_limited") }]);
        assert_eq!(parts(r#"{"type":"heads","heads":{}}"#), []);
    }
}
