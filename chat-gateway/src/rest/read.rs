use axum::response::Response;
use chat_core::{Cursor, RoomId, UserId};
use serde::{Deserialize, Serialize};

use super::{
    extract::{Caller, JsonBody, Params, Segments},
    respond,
};
use crate::{
    Problem,
    json::view::{MarkerView, all},
    limits,
};

#[derive(Deserialize)]
pub(super) struct ListParams {
    after: Option<UserId>,
    limit: Option<usize>,
}

pub(super) async fn markers(
    Caller(actor): Caller,
    Segments(room): Segments<RoomId>,
    Params(params): Params<ListParams>,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Body<'a> {
        markers: Vec<MarkerView<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<&'a UserId>,
    }
    let limit = limits::members(params.limit);
    let markers = actor.read_markers(&room, params.after.as_ref(), limit).await?;
    let next = markers.last().filter(|_| markers.len() >= limit).map(|marker| &marker.user);
    Ok(respond::ok(&Body { markers: all(&markers), next }))
}

#[derive(Deserialize)]
struct Mark {
    cursor: Cursor,
}

pub(super) async fn mark(
    Caller(actor): Caller,
    Segments(room): Segments<RoomId>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let Mark { cursor } = body.read()?;
    let marker = actor.mark_read(&room, &cursor).await?;
    Ok(respond::ok(&MarkerView::from(&marker)))
}

pub(super) async fn unread(
    Caller(actor): Caller,
    Segments(room): Segments<RoomId>,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Body {
        unread: u64,
    }
    let unread = actor.unread(&[room]).await?.first().copied().unwrap_or_default();
    Ok(respond::ok(&Body { unread }))
}
