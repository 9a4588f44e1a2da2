use axum::{http::StatusCode, response::Response};
use chat_core::{NewRoom, RoomChange, RoomId, RoomKey, rooms::Metadata};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Number;

use super::{
    extract::{Caller, JsonBody, Params, Segments},
    limit::Limit,
    respond,
};
#[cfg(feature = "openapi")]
use crate::document::{ChangesRoom, CreatesRoom, ReadsOwn, ReadsRoom, values};
use crate::{
    Problem,
    json::view::{RoomView, SummaryView, all},
    limits,
};

#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
pub(super) struct ListParams {
    /// The `next` of the page before; without it the first page.
    #[cfg_attr(feature = "openapi", param(value_type = values::RoomPlace, required = false))]
    after: Option<String>,
    /// Most rooms of the page.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", param(inline))]
    limit: Limit<{ limits::MAX_ROOMS }, { limits::ROOMS }>,
}

/// One page of rooms.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ChatRoomList))]
struct RoomsBody<'a> {
    /// Latest activity first.
    rooms: Vec<SummaryView<'a>>,
    /// Where the next page begins: hand it back as `after`. Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = values::RoomPlace))]
    next: Option<String>,
}

/// My rooms
///
/// The rooms that one is a member of, latest activity first, with what is unread and the newest entry of each.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/rooms", operation_id = "chatListRooms", tag = "Chat rooms",
    security(("chatToken" = [])),
    params(ListParams),
    responses((status = 200, description = "One page.", body = RoomsBody<'static>), ReadsOwn),
))]
pub(super) async fn list(
    Caller(actor): Caller,
    Params(params): Params<ListParams>,
) -> Result<Response, Problem> {
    let after = params
        .after
        .map(|after| after.parse())
        .transpose()
        .map_err(|error| Problem::invalid(format!("`after`: {error}")))?;
    let page = actor.rooms(after.as_ref(), params.limit.0).await?;
    let next = page.next.as_ref().map(ToString::to_string);
    Ok(respond::ok(&RoomsBody { rooms: all(&page.rooms), next }))
}

/// A whole number, also where it is written like `50.0`: to JSON that is the same.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within the bounds, which were checked"
)]
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let Some(number) = Option::<Number>::deserialize(deserializer)? else { return Ok(None) };
    let exact = number.as_u64().and_then(|number| u32::try_from(number).ok());
    let written_with_a_dot = || {
        let number = number.as_f64()?;
        (number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number)).then_some(number as u32)
    };
    let whole = exact.or_else(written_with_a_dot);
    whole
        .map(Some)
        .ok_or_else(|| D::Error::custom(format!("{number} is not a whole number from 0 to {}", u32::MAX)))
}

/// A room to be created.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ChatRoomCreation))]
struct Create {
    /// Its id; without one it gets a new one.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<values::RoomId>))]
    id: Option<RoomId>,
    /// The application's unique key: if a room has it already, that room is the answer.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<values::RoomKey>))]
    key: Option<RoomKey>,
    /// The application's data; none unless given.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<values::Metadata>))]
    metadata: Option<Metadata>,
    /// The longest body it takes, in characters; 1,000 unless given.
    #[serde(default, deserialize_with = "whole")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 65536))]
    max_body_chars: Option<u32>,
}

/// Create a room, or get it
///
/// Whoever creates it becomes its owner. If there is a room with this key, or without a key with this id, it is the
/// answer as it is, for its members.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/rooms", operation_id = "chatCreateRoom", tag = "Chat rooms",
    security(("chatToken" = [])),
    request_body = Option<Create>,
    responses(
        (status = 200, description = "It was there.", body = RoomView<'static>),
        (status = 201, description = "It is new.", body = RoomView<'static>),
        CreatesRoom,
    ),
))]
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

/// A room
///
/// For its members.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/rooms/{room}", operation_id = "chatShowRoom", tag = "Chat rooms",
    security(("chatToken" = [])),
    params(("room" = values::RoomId, Path, description = "Which room.")),
    responses((status = 200, description = "The room.", body = RoomView<'static>), ReadsRoom),
))]
pub(super) async fn show(
    Caller(actor): Caller,
    Segments(room): Segments<RoomId>,
) -> Result<Response, Problem> {
    let room = actor.room(&room).await?;
    Ok(respond::ok(&RoomView::from(&room)))
}

/// What is to change in a room; what is not named stays as it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ChatRoomChange))]
struct Update {
    /// Replaces the application's data.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<values::Metadata>))]
    metadata: Option<Metadata>,
    /// Opens or closes the room for new entries.
    active: Option<bool>,
    /// The longest body it takes from now on, in characters.
    #[serde(default, deserialize_with = "whole")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 65536))]
    max_body_chars: Option<u32>,
}

/// Change a room
///
/// For its owners. The members are told.
#[cfg_attr(feature = "openapi", utoipa::path(
    patch, path = "/rooms/{room}", operation_id = "chatChangeRoom", tag = "Chat rooms",
    security(("chatToken" = [])),
    params(("room" = values::RoomId, Path, description = "Which room.")),
    request_body = Option<Update>,
    responses((status = 200, description = "The room as it is now.", body = RoomView<'static>), ChangesRoom),
))]
pub(super) async fn update(
    Caller(actor): Caller,
    Segments(room): Segments<RoomId>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let Update { metadata, active, max_body_chars } = body.read()?;
    let room = actor.update_room(&room, RoomChange { metadata, active, max_body_chars }).await?;
    Ok(respond::ok(&RoomView::from(&room)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_may_be_written_with_a_dot_and_nothing_else_is_one() {
        let limit =
            |json: &str| serde_json::from_str::<Update>(json).map(|update| update.max_body_chars).ok();
        assert_eq!(limit(r#"{"maxBodyChars":50}"#), Some(Some(50)));
        assert_eq!(limit(r#"{"maxBodyChars":5.0e1}"#), Some(Some(50)));
        assert_eq!(limit(r#"{"maxBodyChars":null}"#), Some(None));
        assert_eq!(limit("{}"), Some(None));
        for bad in ["50.5", "-1", "-1.0", "4294967296", "1e300", "\"50\"", "true", "[50]"] {
            assert_eq!(limit(&format!(r#"{{"maxBodyChars":{bad}}}"#)), None, "{bad}");
        }
    }
}
