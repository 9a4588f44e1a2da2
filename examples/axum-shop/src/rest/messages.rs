//! History and read marks, the same for both sides.

use axum::{Json as Answer, extract::State, http::StatusCode};
use chat_core::{Actor, Cursor, Error, MessageId, Page, Place, ReadFrom, ReadQuery, RoomId, Seq};
use example_support::nest::{Caller, Path, Query, Refused};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{buyer, seller};
use crate::{
    dialect::message,
    rooms::{Shop, Side},
};

/// Messages of a page unless asked for another number.
const LIMIT: usize = 50;
/// And at most; a greater number is taken as this one.
const MAX_LIMIT: usize = 100;

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    page: Option<u64>,
    limit: Option<usize>,
    before: Option<String>,
}

type Said = Result<Answer<Value>, Refused>;

pub(super) async fn of_buyer(
    State(shop): State<Shop>,
    Caller(principal): Caller,
    Path(room): Path<RoomId>,
    Query(asked): Query<Asked>,
) -> Said {
    let actor = buyer(&shop, principal);
    history(&shop, &actor, &room, &Side::Buyer, asked).await
}

pub(super) async fn of_seller(
    State(shop): State<Shop>,
    Caller(principal): Caller,
    Path(room): Path<RoomId>,
    Query(asked): Query<Asked>,
) -> Said {
    let actor = seller(&shop, principal)?;
    history(&shop, &actor, &room, &Side::Store(None), asked).await
}

pub(super) async fn read_by_buyer(
    State(shop): State<Shop>,
    Caller(principal): Caller,
    Path(room): Path<RoomId>,
) -> Result<(StatusCode, Answer<Value>), Refused> {
    let actor = buyer(&shop, principal);
    read(&shop, &actor, &room, &Side::Buyer).await
}

pub(super) async fn read_by_seller(
    State(shop): State<Shop>,
    Caller(principal): Caller,
    Path(room): Path<RoomId>,
) -> Result<(StatusCode, Answer<Value>), Refused> {
    let actor = seller(&shop, principal)?;
    read(&shop, &actor, &room, &Side::Store(None)).await
}

async fn history(shop: &Shop, actor: &Actor, room: &RoomId, side: &Side, asked: Asked) -> Said {
    let limit = asked.limit.unwrap_or(LIMIT);
    if limit == 0 || asked.page == Some(0) {
        return Err(Refused::bad_request("page and limit begin with 1"));
    }
    let limit = limit.min(MAX_LIMIT);
    shop.room(actor, room, side).await?;
    let (page, number) = match (asked.before, asked.page) {
        (Some(_), Some(_)) => return Err(Refused::bad_request("either page or before")),
        (Some(before), None) => (before_id(shop, actor, room, &before, limit).await?, None),
        (None, number) => {
            let number = number.unwrap_or(1);
            (numbered(actor, room, number, limit).await?, Some(number))
        }
    };
    let total = page.head.cursor.seq.next().since(page.head.oldest);
    let meta = json!({
        "page": number, "limit": limit, "total": total, "totalPages": total.div_ceil(limit as u64),
        "hasMore": !page.reaches_start,
    });
    let messages: Vec<Value> = page.entries.iter().rev().filter_map(message).collect();
    Ok(Answer(json!({ "messages": messages, "meta": meta })))
}

/// Every entry is a message, and positions have no gaps: so a page by number costs no more than any other.
async fn numbered(actor: &Actor, room: &RoomId, number: u64, limit: usize) -> Result<Page, Error> {
    if number == 1 {
        return actor.history(room, ReadQuery::newest().with_limit(limit)).await;
    }
    let mut newest = actor.history(room, ReadQuery::newest().with_limit(1)).await?;
    let head = newest.head.cursor.clone();
    let skipped = (number - 1).saturating_mul(limit as u64);
    match head.seq.get().checked_sub(skipped) {
        Some(last) if last >= newest.head.oldest.get() && last > 0 => {
            let before = Cursor::new(head.epoch, Seq::new(last).unwrap_or(Seq::MAX).next());
            actor.history(room, ReadQuery::before(before).with_limit(limit)).await
        }
        // Beyond the end.
        _ => {
            newest.entries.clear();
            newest.reaches_start = true;
            Ok(newest)
        }
    }
}

async fn before_id(
    shop: &Shop,
    actor: &Actor,
    room: &RoomId,
    before: &str,
    limit: usize,
) -> Result<Page, Refused> {
    let unknown = || Refused::not_found("there is no such message in this room");
    // An old one may look like one of ours.
    let known = shop.stores.imported(room.as_str(), before).await?;
    let id: MessageId = known.as_deref().unwrap_or(before).parse().map_err(|_| unknown())?;
    let query = ReadQuery::new(ReadFrom::Before(Place::Id(id))).with_limit(limit);
    Ok(actor.history(room, query).await?)
}

/// Everything that is there when it is asked for is read. What comes meanwhile is not: the marker is a position.
async fn read(
    shop: &Shop,
    actor: &Actor,
    room: &RoomId,
    side: &Side,
) -> Result<(StatusCode, Answer<Value>), Refused> {
    shop.room(actor, room, side).await?;
    let head = actor.history(room, ReadQuery::newest().with_limit(1)).await?.head.cursor;
    actor.mark_read(room, &head).await?;
    let unread = actor.unread(std::slice::from_ref(room)).await?.pop().unwrap_or(0);
    Ok((StatusCode::CREATED, Answer(json!({ "success": true, "roomId": room, "unreadCount": unread }))))
}
