use axum::response::Response;
use chat_core::{Cursor, RoomId, UserId};
use serde::{Deserialize, Serialize};

use super::{
    extract::{Caller, JsonBody, Params, Segments},
    members::ByUser,
    respond,
};
#[cfg(feature = "openapi")]
use crate::document::{MarksRead, ReadsOwn, ReadsRoom, values};
use crate::{
    Problem,
    json::view::{MarkerView, all},
};

/// One page of read markers.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ChatMarkerList))]
struct MarkersBody<'a> {
    /// By user id.
    markers: Vec<MarkerView<'a>>,
    /// Where the next page begins: hand it back as `after`. Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = values::UserId))]
    next: Option<&'a UserId>,
}

/// Who has read up to where
///
/// Of those who are members now, by user id.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/rooms/{room}/read", operation_id = "chatListMarkers", tag = "Chat reading",
    security(("chatToken" = [])),
    params(("room" = values::RoomId, Path, description = "Which room."), ByUser),
    responses((status = 200, description = "One page.", body = MarkersBody<'static>), ReadsRoom),
))]
pub(super) async fn markers(
    Caller(actor): Caller,
    Segments(room): Segments<RoomId>,
    Params(params): Params<ByUser>,
) -> Result<Response, Problem> {
    let limit = params.limit.0;
    let markers = actor.read_markers(&room, params.after.as_ref(), limit).await?;
    let next = markers.last().filter(|_| markers.len() >= limit).map(|marker| &marker.user);
    Ok(respond::ok(&MarkersBody { markers: all(&markers), next }))
}

/// How far one has read.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ChatReading))]
struct Mark {
    /// Up to and with this entry.
    #[cfg_attr(feature = "openapi", schema(value_type = values::Cursor))]
    cursor: Cursor,
}

/// Mark as read
///
/// The marker only moves forward; the answer is where it is then. The room and one's own other devices are told.
#[cfg_attr(feature = "openapi", utoipa::path(
    put, path = "/rooms/{room}/read", operation_id = "chatMarkRead", tag = "Chat reading",
    security(("chatToken" = [])),
    params(("room" = values::RoomId, Path, description = "Which room.")),
    request_body = Mark,
    responses((status = 200, description = "The marker.", body = MarkerView<'static>), MarksRead),
))]
pub(super) async fn mark(
    Caller(actor): Caller,
    Segments(room): Segments<RoomId>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let Mark { cursor } = body.read()?;
    let marker = actor.mark_read(&room, &cursor).await?;
    Ok(respond::ok(&MarkerView::from(&marker)))
}

/// What is unread.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ChatUnread))]
struct UnreadBody {
    /// Entries after the read marker that are messages, not deleted and not one's own.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    unread: u64,
}

/// How much is unread
///
/// Zero for whoever is no member, and where there is no such room.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/rooms/{room}/unread", operation_id = "chatCountUnread", tag = "Chat reading",
    security(("chatToken" = [])),
    params(("room" = values::RoomId, Path, description = "Which room.")),
    responses((status = 200, description = "The number.", body = UnreadBody), ReadsOwn),
))]
pub(super) async fn unread(
    Caller(actor): Caller,
    Segments(room): Segments<RoomId>,
) -> Result<Response, Problem> {
    let unread = actor.unread(&[room]).await?.first().copied().unwrap_or_default();
    Ok(respond::ok(&UnreadBody { unread }))
}
