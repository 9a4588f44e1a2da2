//! Rooms: made, and listed.

use axum::{
    Json as Answer,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use chat_core::{
    NewRoom, Room, RoomId,
    rooms::{ActivityCursor, Metadata, RoomSummary},
};
use example_support::nest::{Caller, Json, Query, Refused, link};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Group, limit};
use crate::message;

/// Rooms of a list unless asked for another number, and at most.
const LIMIT: usize = 200;
/// Characters of a room's name.
const NAME_CHARS: usize = 200;

#[derive(Deserialize)]
pub(super) struct New {
    name: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Paging {
    limit: Option<u64>,
    after: Option<String>,
}

fn view(room: &Room) -> Value {
    // Rooms that were taken over say themselves when they were made.
    let made = room.metadata.get("createdAt").cloned();
    let made = made.unwrap_or_else(|| json!(room.created_at.to_string()));
    json!({ "id": room.id, "name": room.metadata.get("name"), "createdAt": made })
}

fn summary(summary: &RoomSummary) -> Value {
    let mut said = view(&summary.room);
    said["joinedAt"] = json!(summary.member.joined_at.to_string());
    said["unreadCount"] = json!(summary.unread);
    said["lastMessage"] = json!(summary.preview.as_ref().and_then(message::view));
    said
}

/// Makes a room; whoever does is a member.
pub(super) async fn create(
    State(group): State<Group>,
    Caller(principal): Caller,
    Json(New { name }): Json<New>,
) -> Result<(StatusCode, Answer<Value>), Refused> {
    let mut metadata = Metadata::new();
    if let Some(name) = name {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > NAME_CHARS {
            return Err(Refused::bad_request(format!("name must have 1 to {NAME_CHARS} characters")));
        }
        metadata.insert("name".to_owned(), json!(name));
    }
    let new = NewRoom::new(RoomId::generate()).with_metadata(metadata);
    let (room, _) = group.chat.actor(principal).create_room(new).await?;
    Ok((StatusCode::CREATED, Answer(view(&room))))
}

/// My rooms, latest activity first.
pub(super) async fn mine(
    State(group): State<Group>,
    Caller(principal): Caller,
    Query(Paging { limit: asked, after }): Query<Paging>,
) -> Result<(HeaderMap, Answer<Vec<Value>>), Refused> {
    let after = after.map(|after| after.parse::<ActivityCursor>()).transpose();
    let after = after.map_err(|error| Refused::bad_request(format!("after: {error}")))?;
    let limit = limit(asked, LIMIT, LIMIT)?;
    let page = group.chat.actor(principal).rooms(after.as_ref(), limit).await?;
    let headers = link("/rooms", limit, page.next);
    Ok((headers, Answer(page.rooms.iter().map(summary).collect())))
}
