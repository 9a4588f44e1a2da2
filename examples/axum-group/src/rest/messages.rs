//! History, and how far somebody has read.

use axum::{Json as Answer, extract::State, http::StatusCode};
use chat_core::{
    Actor, Cursor, Error, MessageId, Page, Place, ReadFrom, ReadQuery, RoomId, Seq, rooms::ReadMarker,
};
use example_support::nest::{Caller, Json, Path, Query, Refused};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Group, limit};
use crate::message;

/// Messages of a page unless asked for another number.
const LIMIT: usize = 50;
/// And at most; a greater number is taken as this one.
const MAX_LIMIT: usize = 200;

#[derive(Deserialize)]
pub(super) struct Asked {
    before: Option<String>,
    after: Option<String>,
    limit: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mark {
    message_id: Option<String>,
}

/// One page, oldest first. The store looks up which position a message's id has and goes on from there: ids are given out in the order
/// in which messages can be seen, so nothing appears behind a reader's back.
pub(super) async fn list(
    State(group): State<Group>,
    Caller(principal): Caller,
    Path(room): Path<RoomId>,
    Query(asked): Query<Asked>,
) -> Result<Answer<Value>, Refused> {
    let limit = limit(asked.limit, LIMIT, MAX_LIMIT)?;
    let (from, goes_on) = match (asked.before, asked.after) {
        (Some(_), Some(_)) => return Err(Refused::bad_request("either before or after")),
        (Some(before), None) => (ReadFrom::Before(Place::Id(id(&before)?)), false),
        (None, Some(after)) => (ReadFrom::After(Place::Id(id(&after)?)), true),
        (None, None) => (ReadFrom::Newest, false),
    };
    let actor = group.chat.actor(principal);
    let page = actor.history(&room, ReadQuery::new(from).with_limit(limit)).await?;
    let has_more = if goes_on { !page.reaches_head } else { !page.reaches_start };
    let messages: Vec<Value> = page.entries.iter().filter_map(message::view).collect();
    Ok(Answer(json!({ "messages": messages, "limit": limit, "hasMore": has_more })))
}

/// Moves my read cursor to a message, or to the newest one. It never goes back: the answer says where it is then.
pub(super) async fn read(
    State(group): State<Group>,
    Caller(principal): Caller,
    Path(room): Path<RoomId>,
    Json(Mark { message_id }): Json<Mark>,
) -> Result<(StatusCode, Answer<Value>), Refused> {
    let actor = group.chat.actor(principal);
    let cursor = match message_id {
        Some(text) => cursor_of(&actor, &room, id(&text)?).await?,
        None => actor.history(&room, ReadQuery::newest().with_limit(1)).await?.head.cursor,
    };
    let marker = actor.mark_read(&room, &cursor).await?;
    let unread = actor.unread(std::slice::from_ref(&room)).await?.pop().unwrap_or(0);
    let said = json!({
        "roomId": room, "messageId": id_of(&actor, &room, &marker).await?, "unreadCount": unread,
        "readAt": marker.at.map(|at| at.to_string()),
    });
    Ok((StatusCode::CREATED, Answer(said)))
}

fn id(text: &str) -> Result<MessageId, Refused> {
    text.parse().map_err(|error| Refused::bad_request(format!("{error}")))
}

/// Where a message is: right before what follows it, since positions have no gaps.
async fn cursor_of(actor: &Actor, room: &RoomId, id: MessageId) -> Result<Cursor, Error> {
    let query = ReadQuery::new(ReadFrom::After(Place::Id(id))).with_limit(1);
    let Page { entries, head, .. } = actor.history(room, query).await?;
    Ok(match entries.first() {
        Some(next) => {
            let cursor = &next.position.cursor;
            Cursor::new(cursor.epoch.clone(), cursor.seq.previous())
        }
        None => head.cursor,
    })
}

/// Which message a marker stands at; none before the first one, and where it is no longer kept.
async fn id_of(actor: &Actor, room: &RoomId, marker: &ReadMarker) -> Result<Option<MessageId>, Error> {
    let Cursor { epoch, seq } = &marker.cursor;
    if *seq == Seq::ZERO {
        return Ok(None);
    }
    let query = ReadQuery::after(Cursor::new(epoch.clone(), seq.previous())).with_limit(1);
    match actor.history(room, query).await {
        Ok(page) => Ok(page.entries.first().map(|entry| entry.position.id)),
        Err(Error::CursorExpired { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
