//! History, read marks, unread counts.

use axum::{Json as Answer, extract::State};
use chat_core::{Actor, Cursor, Page, ReadQuery, RoomId, Seq};
use chat_gateway::Problem;
use serde::{Deserialize, Serialize};

use super::{
    App,
    extract::{Caller, Id, Json, Query},
    refused,
};
use crate::{
    studies::Studies,
    wire::{Told, room},
};

/// Messages on a page, unless asked for, and at most.
const SIZE: usize = 50;
const MAX_SIZE: usize = 100;

/// Pages by number shift while people write; those by a message's id do not.
#[derive(Deserialize)]
pub(super) struct Which {
    /// From 0, which is the newest.
    page: Option<u64>,
    #[serde(alias = "limit")]
    size: Option<usize>,
    /// Older than this message.
    before: Option<u64>,
    /// Newer than this message.
    after: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct History {
    /// Oldest first, however the page was asked for.
    messages: Vec<Told>,
    /// There is more in the direction in which is read: older ones, or newer ones with `after`.
    has_more: bool,
}

pub(super) async fn history(
    State(app): State<App>,
    Caller(caller): Caller,
    Id(id): Id,
    Query(which): Query<Which>,
) -> Result<Answer<History>, Problem> {
    let size = which.size.unwrap_or(SIZE);
    if !(1..=MAX_SIZE).contains(&size) {
        return Err(Problem::new("limit_exceeded", format!("size must be 1 to {MAX_SIZE}")));
    }
    let room = room(id).map_err(refused)?;
    let forward = which.after.is_some();
    let Some(query) = query(&app.studies, &caller, &room, &which, size).await? else {
        return Ok(Answer(History { messages: Vec::new(), has_more: false }));
    };
    let page = caller.history(&room, query.with_limit(size)).await.map_err(refused)?;
    Ok(Answer(told(&page, forward)))
}

fn told(page: &Page, forward: bool) -> History {
    let ends = if forward { page.reaches_head } else { page.reaches_start };
    History { messages: page.entries.iter().filter_map(Told::of).collect(), has_more: !ends }
}

/// `None` for a page beyond the end.
async fn query(
    studies: &Studies,
    caller: &Actor,
    room: &RoomId,
    which: &Which,
    size: usize,
) -> Result<Option<ReadQuery>, Problem> {
    let position = async |id| studies.position(room, caller, id).await.map_err(refused);
    let upto = |last: Cursor, head: &Cursor| {
        let newest = last == *head;
        if newest { ReadQuery::newest() } else { ReadQuery::before(Cursor::new(last.epoch, last.seq.next())) }
    };
    Ok(match (which.page, which.before, which.after) {
        (None | Some(0), None, None) => Some(ReadQuery::newest()),
        (Some(page), None, None) => {
            let head = studies.head(room, caller).await.map_err(refused)?;
            // Positions have no gaps, so that a page's place is known.
            let newer = page.saturating_mul(size as u64);
            let last = head.seq.get().checked_sub(newer).filter(|last| *last > 0).and_then(Seq::new);
            last.map(|last| upto(Cursor::new(head.epoch.clone(), last), &head))
        }
        (None, Some(before), None) => {
            let [last, head] = position(before.saturating_sub(1)).await?;
            Some(upto(last, &head))
        }
        (None, None, Some(after)) => {
            let [last, _] = position(after).await?;
            Some(ReadQuery::after(last))
        }
        _ => return Err(Problem::invalid("only one of page, before and after can be asked for")),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mark {
    /// Up to and with this message; without it, up to the last one.
    message_id: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Marked {
    chat_room_id: u64,
    /// Zero where nothing was read.
    last_read_message_id: u64,
    unread_count: u64,
}

/// The mark never goes back: one that is further already is the answer.
pub(super) async fn read(
    State(app): State<App>,
    Caller(caller): Caller,
    Id(id): Id,
    Json(mark): Json<Mark>,
) -> Result<Answer<Marked>, Problem> {
    let (room, studies) = (room(id).map_err(refused)?, &app.studies);
    let cursor = match mark.message_id {
        None => studies.head(&room, &caller).await.map_err(refused)?,
        Some(message) => {
            let [cursor, _] = studies.position(&room, &caller, message).await.map_err(refused)?;
            let found = studies.number_at(&room, &caller, &cursor).await.map_err(refused)?;
            if found != message {
                return Err(Problem::new("message_not_found", "there is no such message in this room"));
            }
            cursor
        }
    };
    let marker = caller.mark_read(&room, &cursor).await.map_err(refused)?;
    let last = studies.number_at(&room, &caller, &marker.cursor).await.map_err(refused)?;
    let unread_count = count(&caller, &room).await?;
    Ok(Answer(Marked { chat_room_id: id, last_read_message_id: last, unread_count }))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Unread {
    chat_room_id: u64,
    unread_count: u64,
}

pub(super) async fn unread(
    State(app): State<App>,
    Caller(caller): Caller,
    Id(id): Id,
) -> Result<Answer<Unread>, Problem> {
    let room = room(id).map_err(refused)?;
    app.studies.member(&room, caller.user()).await.map_err(refused)?;
    Ok(Answer(Unread { chat_room_id: id, unread_count: count(&caller, &room).await? }))
}

async fn count(caller: &Actor, room: &RoomId) -> Result<u64, Problem> {
    let counts = caller.unread(std::slice::from_ref(room)).await.map_err(refused)?;
    Ok(counts.first().copied().unwrap_or(0))
}
