//! What the sockets need around them: rooms, members, history, logout. All but the last take the presentation beside the token.

use axum::{
    Json as Answer, Router,
    extract::{FromRef, FromRequestParts, State},
    http::{HeaderMap, StatusCode, request::Parts},
    routing::{delete, get, post},
};
use chat_core::{
    Actor, Auth as _, Chat, Clock as _, Cursor, Error, MemberChange, NewRoom, Place, ReadFrom, ReadQuery,
    Role, SystemClock, UserId, View,
    auth::{Credentials, JwtAuth, Revocation, RevocationScope},
    rooms::ActivityCursor,
};
use chat_credentials::Challenges;
use chat_gateway::{Problem, socketio::Handshake};
use example_support::nest::{Json, Path, Query, Refused, link, not_found};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::dialect::{ChatMessage, PRESENTATION_HEADER, number_of, room};

/// Tokens without an expiry are remembered this long: longer than any session lasts.
const FOR_GOOD: std::time::Duration = std::time::Duration::from_secs(10 * 366 * 86_400);
const MAX_ROOMS: usize = 100;
const MAX_MEMBERS: usize = 500;

#[derive(Clone)]
struct Api {
    chat: Chat,
    /// Who somebody is by the token alone.
    tokens: JwtAuth,
    challenges: Option<Challenges>,
}

impl FromRef<Api> for Chat {
    fn from_ref(api: &Api) -> Self {
        api.chat.clone()
    }
}

/// All routes.
pub(crate) fn routes(chat: Chat, tokens: JwtAuth, challenges: Option<Challenges>) -> Router {
    Router::new()
        .route("/auth/logout", post(logout))
        .route("/auth/nonce", post(nonce))
        .route("/rooms", post(create_room).get(my_rooms))
        .route("/rooms/{room}/members", post(add_member).get(members))
        .route("/rooms/{room}/members/{user}", delete(remove_member))
        .route("/rooms/{room}/messages", get(messages))
        .fallback(not_found)
        .with_state(Api { chat, tokens, challenges })
}

/// Who asks, by token and presentation.
struct Caller(Actor);

impl FromRequestParts<Api> for Caller {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Refused> {
        let credentials = bearer(parts).map_or_else(Credentials::none, Credentials::token);
        let presentation = parts.headers.get(PRESENTATION_HEADER).and_then(|value| value.to_str().ok());
        let credentials = match presentation {
            Some(presentation) => credentials.with_presentation(presentation),
            None => credentials,
        };
        Ok(Self(api.chat.actor(api.chat.authenticate(&credentials).await?)))
    }
}

fn bearer(parts: &Parts) -> Option<String> {
    Handshake { auth: &Value::Null, request: parts }.bearer()
}

/// Withdraws the token: it opens nothing any more, and its sockets end, on every instance.
async fn logout(State(api): State<Api>, parts: Parts) -> Result<StatusCode, Refused> {
    let credentials = bearer(&parts).map_or_else(Credentials::none, Credentials::token);
    let principal = api.tokens.authenticate(&credentials).await?;
    let until = principal.expires_at.unwrap_or_else(|| SystemClock.now().after(FOR_GOOD));
    let token = principal.token.ok_or_else(|| Refused::bad_request("the token has no name"))?;
    let revocation = Revocation { user: principal.user, scope: RevocationScope::Token(token), until };
    api.chat.revoke(revocation).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A nonce for the next presentation: for anybody, since it opens nothing by itself.
async fn nonce(State(api): State<Api>) -> Result<Answer<Value>, Refused> {
    let challenges = api.challenges.ok_or_else(|| Refused::not_found("whoever presents makes the nonces"))?;
    let now = SystemClock.now();
    let nonce = challenges.issue(now)?;
    Ok(Answer(json!({ "nonce": nonce, "expiresAt": now.after(challenges.lifetime()).to_string() })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateRoom {
    room_id: u64,
    name: Option<String>,
}

async fn create_room(
    Caller(actor): Caller,
    Json(asked): Json<CreateRoom>,
) -> Result<(StatusCode, Answer<Value>), Refused> {
    let mut new = NewRoom::new(room(asked.room_id)?).with_owner(actor.user().clone());
    if let Some(name) = asked.name {
        new.metadata.insert("name".to_owned(), name.into());
    }
    let (room, made) = actor.create_room(new).await?;
    if !made {
        return Err(Problem::new("room_exists", "there is a room of this number").into());
    }
    Ok((StatusCode::CREATED, Answer(shown(&room))))
}

fn shown(room: &chat_core::Room) -> Value {
    let name = room.metadata.get("name");
    json!({ "roomId": number_of(&room.id), "name": name, "createdAt": room.created_at.to_string() })
}

/// Of a list, what comes after this place, and how much of it.
#[derive(Deserialize)]
struct Paging {
    limit: Option<usize>,
    after: Option<String>,
}

impl Paging {
    /// `most` at most, whatever is asked.
    fn limit(&self, most: usize) -> Result<usize, Refused> {
        match self.limit {
            Some(0) => Err(Refused::bad_request("limit begins with 1")),
            asked => Ok(asked.unwrap_or(most).min(most)),
        }
    }
}

/// Latest activity first.
async fn my_rooms(
    Caller(actor): Caller,
    Query(paging): Query<Paging>,
) -> Result<(HeaderMap, Answer<Vec<Value>>), Refused> {
    let limit = paging.limit(MAX_ROOMS)?;
    let after = paging.after.map(|after| after.parse::<ActivityCursor>()).transpose();
    let after = after.map_err(|error| Refused::bad_request(format!("after: {error}")))?;
    let page = actor.rooms(after.as_ref(), limit).await?;
    let headers = link("/rooms", limit, page.next);
    let show = |summary: chat_core::rooms::RoomSummary| {
        let mut room = shown(&summary.room);
        room["unread"] = summary.unread.into();
        room
    };
    Ok((headers, Answer(page.rooms.into_iter().map(show).collect())))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AddMember {
    user_id: UserId,
}

async fn add_member(
    Caller(actor): Caller,
    Path(number): Path<u64>,
    Json(asked): Json<AddMember>,
) -> Result<StatusCode, Refused> {
    actor.change_member(&room(number)?, MemberChange::add(asked.user_id, Role::Member)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove_member(
    Caller(actor): Caller,
    Path((number, user)): Path<(u64, UserId)>,
) -> Result<StatusCode, Refused> {
    actor.change_member(&room(number)?, MemberChange::remove(user)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// By their ids.
async fn members(
    Caller(actor): Caller,
    Path(number): Path<u64>,
    Query(paging): Query<Paging>,
) -> Result<(HeaderMap, Answer<Vec<Value>>), Refused> {
    let limit = paging.limit(MAX_MEMBERS)?;
    let after = paging.after.map(|after| UserId::new(&after)).transpose();
    let after = after.map_err(|error| Refused::bad_request(format!("after: {error}")))?;
    let page = actor.members(&room(number)?, after.as_ref(), limit).await?;
    let next = page.next.as_ref().map(UserId::as_str);
    let headers = link(&format!("/rooms/{number}/members"), limit, next);
    Ok((headers, Answer(page.members.iter().map(|member| json!({ "userId": member.user })).collect())))
}

#[derive(Deserialize)]
struct Range {
    /// A message's id or a cursor.
    before: Option<String>,
    after: Option<String>,
    #[serde(default = "page")]
    limit: usize,
}

const fn page() -> usize {
    ReadQuery::DEFAULT_LIMIT
}

/// Oldest first. `before` and `after` of the answer give the pages next to this one.
async fn messages(
    Caller(actor): Caller,
    Path(number): Path<u64>,
    Query(range): Query<Range>,
) -> Result<Answer<Value>, Refused> {
    if !(1..=100).contains(&range.limit) {
        return Err(Refused::bad_request("limit must be a number from 1 to 100"));
    }
    let from = match (range.before.as_deref(), range.after.as_deref()) {
        (None, None) => ReadFrom::Newest,
        (Some(before), None) => ReadFrom::Before(place(before)?),
        (None, Some(after)) => ReadFrom::After(place(after)?),
        (Some(_), Some(_)) => return Err(Refused::bad_request("before and after exclude each other")),
    };
    // Before the first message there is nothing, which says nothing of what follows.
    let goes_back = matches!(from, ReadFrom::Before(_));
    let query = ReadQuery::new(from).with_view(View::Timeline).with_limit(range.limit);
    let page = actor.history(&room(number)?, query).await?;
    let messages: Vec<_> = page.entries.iter().filter_map(ChatMessage::of).collect();
    let before = page.entries.first().map(|entry| &entry.position.cursor).filter(|_| !page.reaches_start);
    let last = page.entries.last().map(|entry| &entry.position.cursor);
    let after = last.or(Some(&page.head.cursor).filter(|_| !goes_back)).filter(|_| !page.reaches_head);
    Ok(Answer(json!({ "messages": messages, "before": before, "after": after })))
}

fn place(text: &str) -> Result<Place, Refused> {
    let id = text.parse().ok().map(Place::Id);
    let cursor = || text.parse::<Cursor>().ok().map(Place::Cursor);
    id.or_else(cursor)
        .ok_or_else(|| Error::invalid("place", "it is neither a message's id nor a cursor").into())
}
