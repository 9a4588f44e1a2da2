//! The service's own routes beside the chat's.

use chat_core::{Chat, MemberChange, NewRoom, Role, RoomId, UserId};
use chat_gateway::{GatewayConfig, Problem, json};
use warp::{Filter, Rejection, Reply, http::StatusCode, reply::Response};

use crate::websocket;

/// `GET /`, `GET /chat/health`, `PUT /rooms/{room}` and the WebSocket `GET /chat/ws`.
pub(crate) fn all(
    chat: &Chat,
    config: GatewayConfig,
) -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone + Send + Sync + 'static {
    let hello = warp::path::end().and(warp::get()).map(|| "hello".into_response());
    let asked = chat.clone();
    let health = warp::path!("chat" / "health").and(warp::get()).then(move || health(asked.clone()));
    let asked = chat.clone();
    let rooms = warp::path!("rooms" / String)
        .and(warp::put())
        .and(warp::header::optional("authorization"))
        .then(move |room, authorization| enter(asked.clone(), room, authorization));
    hello.or(health).unify().or(rooms).unify().or(websocket::route(chat.clone(), config)).unify()
}

async fn health(chat: Chat) -> Response {
    // While it drains, balancers send clients elsewhere.
    let works = chat.health().await.is_healthy() && !chat.is_draining();
    let (status, word) =
        if works { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "failing") };
    warp::reply::with_status(word, status).into_response()
}

/// Makes whoever asks a member of the room, which is made if it is not there. Who may enter what is a service's own business: here it is
/// everybody, everything.
async fn enter(chat: Chat, room: String, authorization: Option<String>) -> Response {
    match try_to_enter(&chat, &room, authorization.as_deref()).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(problem) => websocket::refused(&problem),
    }
}

async fn try_to_enter(chat: &Chat, room: &str, authorization: Option<&str>) -> Result<(), Problem> {
    let missing = || Problem::new("unauthenticated", "a token is needed");
    let credentials = json::bearer(authorization)?.ok_or_else(missing)?;
    let user = chat.authenticate(&credentials).await?.user;
    let invalid = |error: &dyn std::fmt::Display| Problem::invalid(error.to_string());
    let room = RoomId::new(room).map_err(|error| invalid(&error))?;
    let service = chat.system(UserId::new("service").map_err(|error| invalid(&error))?);
    service.create_room(NewRoom::new(room.clone())).await?;
    service.change_member(&room, MemberChange::add(user, Role::Member)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

    use std::time::Duration;

    use chat_core::auth::{JwtAuth, JwtConfig, JwtKey};

    use super::*;

    #[tokio::test]
    async fn a_server_that_ends_says_so_to_balancers() {
        let key = JwtKey::hs256("a secret of this test, and of no use elsewhere").unwrap();
        let auth = JwtAuth::new(JwtConfig::new([key])).unwrap();
        let chat = Chat::builder().memory().auth(auth).build().unwrap();
        assert_eq!(health(chat.clone()).await.status(), StatusCode::OK);
        chat.drain(Duration::ZERO, Duration::ZERO).await;
        assert_eq!(health(chat).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
