use axum::{http::StatusCode, response::Response};
use chat_core::{NewRoom, RoomChange, RoomId, RoomKey, rooms::Metadata};
use serde::{Deserialize, Serialize};

use super::{
    extract::{Caller, JsonBody, Params, Segments},
    respond,
};
use crate::{
    Problem,
    json::view::{RoomView, SummaryView, all},
    limits,
};

#[derive(Deserialize)]
pub(super) struct ListParams {
    after: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn list(
    Caller(actor): Caller,
    Params(params): Params<ListParams>,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Body<'a> {
        rooms: Vec<SummaryView<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<String>,
    }
    let after = params
        .after
        .map(|after| after.parse())
        .transpose()
        .map_err(|error| Problem::invalid(format!("`after`: {error}")))?;
    let page = actor.rooms(after.as_ref(), limits::rooms(params.limit)).await?;
    let next = page.next.as_ref().map(ToString::to_string);
    Ok(respond::ok(&Body { rooms: all(&page.rooms), next }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Create {
    id: Option<RoomId>,
    key: Option<RoomKey>,
    metadata: Option<Metadata>,
    max_body_chars: Option<u32>,
}

pub(super) async fn create(Caller(actor): Caller, body: JsonBody) -> Result<Response, Problem> {
    let Create { id, key, metadata, max_body_chars } = body.read()?;
    let mut room = NewRoom::new(id.unwrap_or_else(RoomId::generate));
    room.key = key;
    room.metadata = metadata.unwrap_or_default();
    room.max_body_chars = max_body_chars.unwrap_or(room.max_body_chars);
    let (room, new) = actor.create_room(room).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(respond::json(status, &RoomView::from(&room)))
}

pub(super) async fn show(
    Caller(actor): Caller,
    Segments(room): Segments<RoomId>,
) -> Result<Response, Problem> {
    let room = actor.room(&room).await?;
    Ok(respond::ok(&RoomView::from(&room)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Update {
    metadata: Option<Metadata>,
    active: Option<bool>,
    max_body_chars: Option<u32>,
}

pub(super) async fn update(
    Caller(actor): Caller,
    Segments(room): Segments<RoomId>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let Update { metadata, active, max_body_chars } = body.read()?;
    let room = actor.update_room(&room, RoomChange { metadata, active, max_body_chars }).await?;
    Ok(respond::ok(&RoomView::from(&room)))
}
