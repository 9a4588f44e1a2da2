//! REST under `/api/chat`. What is refused is a problem as in RFC 9457, which Spring answers too.

mod extract;
mod internal;
mod messages;
mod rooms;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, patch, post},
};
use chat_core::{Error, Member, Room};
use chat_gateway::Problem;
use serde::Serialize;

pub(crate) use self::extract::ServiceKey;
use crate::{
    studies::{self, Studies},
    wire::{local, number},
};

/// Bytes of a request's body.
const BODY_BYTES: usize = 64 * 1024;

/// What every handler has.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) studies: Studies,
    pub(crate) service: ServiceKey,
}

pub(crate) fn routes(app: App) -> Router {
    let api = Router::new()
        .route("/rooms", post(rooms::create))
        .route("/rooms/member", post(rooms::add_member))
        .route("/rooms/study/{study}", get(rooms::of_study))
        .route("/rooms/{room}/join", post(rooms::join))
        .route("/rooms/{room}/leave", post(rooms::leave))
        .route("/rooms/{room}/messages", get(messages::history))
        .route("/rooms/{room}/read", post(messages::read))
        .route("/rooms/{room}/unread", get(messages::unread))
        .route("/internal/rooms/member", post(internal::add_member))
        .route("/internal/rooms/{room}", patch(internal::change))
        .fallback(async || Problem::new("not_found", "there is no such resource"))
        .method_not_allowed_fallback(async || {
            Problem::new("method_not_allowed", "there is no such method here")
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(app);
    Router::new().nest("/api/chat", api)
}

/// An error as a client is told it; what lies behind it is logged.
fn refused(error: Error) -> Problem {
    if let Error::Backend { .. } = error {
        tracing::warn!(error = %error.with_causes(), "a request failed");
    }
    error.into()
}

/// A room as clients know it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RoomTold {
    chat_room_id: Option<u64>,
    study_id: Option<u64>,
    name: String,
    active: bool,
    created_at: String,
}

impl From<Room> for RoomTold {
    fn from(room: Room) -> Self {
        let (study_id, name) = studies::study(&room);
        Self {
            chat_room_id: number(room.id.as_str()),
            study_id,
            name: name.to_owned(),
            active: room.active,
            created_at: local(room.created_at),
        }
    }
}

/// A membership as clients know it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MemberTold {
    chat_room_id: u64,
    user_id: Option<u64>,
    joined_at: String,
    left_at: Option<String>,
}

impl MemberTold {
    fn new(chat_room_id: u64, member: &Member) -> Self {
        Self {
            chat_room_id,
            user_id: number(member.user.as_str()),
            joined_at: local(member.joined_at),
            left_at: member.left_at.map(local),
        }
    }
}
