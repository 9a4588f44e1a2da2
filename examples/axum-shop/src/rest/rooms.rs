//! Rooms of the buyer, rooms of a store.

use axum::{
    Json as Answer,
    extract::{OriginalUri, State},
    http::{HeaderMap, StatusCode},
};
use chat_core::{Actor, Body, ReadQuery, Room, StoredMessage, View, rooms::ActivityCursor};
use example_support::nest::{Caller, Json, Path, Query, Refused, link};
use serde::{Deserialize, Serialize};

use super::{buyer, seller};
use crate::rooms::{self, Shop, Side};

/// Rooms of a list unless asked for another number, and at most.
const LIMIT: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Open {
    store_id: StoreId,
}

/// A number or a text: ids of either kind are in use.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum StoreId {
    Number(u64),
    Text(String),
}

#[derive(Debug, Deserialize)]
pub(super) struct Paging {
    limit: Option<usize>,
    after: Option<String>,
}

#[derive(Debug, Serialize)]
struct StoreView {
    id: String,
    /// Null for a store that is gone.
    name: Option<String>,
}

/// A room as either side sees it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RoomView {
    id: String,
    buyer_id: String,
    store: StoreView,
    last_message: Option<String>,
    last_message_at: Option<String>,
    unread_count: u64,
    created_at: String,
}

impl RoomView {
    fn new(room: &Room, store_name: Option<String>, last: Option<&StoredMessage>, unread: u64) -> Self {
        let text = last.and_then(|last| match last.content.body() {
            Some(Body::Text(text)) => Some(text.to_string()),
            _ => None,
        });
        // Rooms that were taken over say themselves when they were made.
        let made = room.metadata.get("createdAt").and_then(|made| made.as_str());
        Self {
            id: room.id.to_string(),
            buyer_id: rooms::buyer(room).to_owned(),
            store: StoreView { id: rooms::store(room).to_owned(), name: store_name },
            last_message: text,
            last_message_at: last.map(|last| last.position.created_at.to_string()),
            unread_count: unread,
            created_at: made.map_or_else(|| room.created_at.to_string(), str::to_owned),
        }
    }
}

/// My room with a store, made if it is not there.
pub(super) async fn open(
    State(shop): State<Shop>,
    Caller(principal): Caller,
    Json(Open { store_id }): Json<Open>,
) -> Result<(StatusCode, Answer<RoomView>), Refused> {
    let id = match store_id {
        StoreId::Number(number) => number.to_string(),
        StoreId::Text(text) => text,
    };
    let actor = buyer(&shop, principal);
    // Counts as one of the caller's reads, so that nobody makes rooms without end.
    actor.unread(&[]).await?;
    let store = shop.stores.get(&id).await?.ok_or_else(|| Refused::not_found("there is no such store"))?;
    if store.owner == *actor.user() {
        return Err(Refused::bad_request("this store is your own"));
    }
    let (room, is_new) = shop.open(&actor, &store).await?;
    let view = if is_new {
        RoomView::new(&room, Some(store.name), None, 0)
    } else {
        let query = ReadQuery::newest().with_view(View::Timeline).with_limit(1);
        let last = actor.history(&room.id, query).await?.entries.pop();
        let unread = actor.unread(std::slice::from_ref(&room.id)).await?.pop().unwrap_or(0);
        RoomView::new(&room, Some(store.name), last.as_ref(), unread)
    };
    // NestJS's status for every POST that says nothing else.
    Ok((StatusCode::CREATED, Answer(view)))
}

/// The rooms in which I am the buyer.
pub(super) async fn mine(
    State(shop): State<Shop>,
    Caller(principal): Caller,
    Query(paging): Query<Paging>,
    OriginalUri(uri): OriginalUri,
) -> Result<(HeaderMap, Answer<Vec<RoomView>>), Refused> {
    let actor = buyer(&shop, principal);
    list(&shop, &actor, &Side::Buyer, paging, uri.path()).await
}

/// The rooms of a store of mine.
pub(super) async fn of_store(
    State(shop): State<Shop>,
    Caller(principal): Caller,
    Path(id): Path<String>,
    Query(paging): Query<Paging>,
    OriginalUri(uri): OriginalUri,
) -> Result<(HeaderMap, Answer<Vec<RoomView>>), Refused> {
    let actor = seller(&shop, principal)?;
    let store = shop.stores.get(&id).await?.ok_or_else(|| Refused::not_found("there is no such store"))?;
    if store.owner != *actor.user() {
        return Err(Refused::forbidden("this store is somebody else's"));
    }
    list(&shop, &actor, &Side::Store(Some(id)), paging, uri.path()).await
}

/// The list is as the shop's clients know it; where there is more, a header says where.
async fn list(
    shop: &Shop,
    actor: &Actor,
    side: &Side,
    Paging { limit, after }: Paging,
    path: &str,
) -> Result<(HeaderMap, Answer<Vec<RoomView>>), Refused> {
    let after = after.map(|after| after.parse::<ActivityCursor>()).transpose();
    let after = after.map_err(|error| Refused::bad_request(format!("after: {error}")))?;
    let limit = limit.unwrap_or(LIMIT).clamp(1, LIMIT);
    let (found, next) = shop.list(actor, side, after, limit).await?;
    let mut stores: Vec<String> =
        found.iter().map(|summary| rooms::store(&summary.room).to_owned()).collect();
    stores.sort_unstable();
    stores.dedup();
    let names = shop.stores.names(&stores).await?;
    let view = |summary: &chat_core::rooms::RoomSummary| {
        let name = names.get(rooms::store(&summary.room)).cloned();
        RoomView::new(&summary.room, name, summary.preview.as_ref(), summary.unread)
    };
    Ok((link(path, limit, next), Answer(found.iter().map(view).collect())))
}
