//! Who is in a room.

use axum::{
    Json as Answer,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use chat_core::{Error, MemberChange, Role, RoomId, UserId};
use example_support::nest::{Caller, Path, Query, Refused, link};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Group, limit};

/// Members of a list unless asked for another number, and at most: as many as presence answers at once.
const LIMIT: usize = 200;

#[derive(Deserialize)]
pub(super) struct Paging {
    limit: Option<u64>,
    after: Option<UserId>,
}

/// Makes the caller a member. Whoever is one already stays as they are.
pub(super) async fn join(
    State(group): State<Group>,
    Caller(principal): Caller,
    Path(room): Path<RoomId>,
) -> Result<(StatusCode, Answer<Value>), Refused> {
    let actor = group.chat.actor(principal);
    match actor.room(&room).await {
        Err(Error::NotAMember { .. }) => {
            let change = MemberChange::add(actor.user().clone(), Role::Member);
            match actor.change_member(&room, change).await {
                // A call at the same time was quicker: then it is a change of who is a member.
                Err(Error::Forbidden { .. } | Error::NotAMember { .. }) => drop(actor.room(&room).await?),
                changed => drop(changed?),
            }
        }
        known => drop(known?),
    }
    Ok((StatusCode::CREATED, Answer(json!({ "success": true, "roomId": room }))))
}

/// The members by their ids, and who of them is online.
pub(super) async fn list(
    State(group): State<Group>,
    Caller(principal): Caller,
    Path(room): Path<RoomId>,
    Query(Paging { limit: asked, after }): Query<Paging>,
) -> Result<(HeaderMap, Answer<Vec<Value>>), Refused> {
    let limit = limit(asked, LIMIT, LIMIT)?;
    let actor = group.chat.actor(principal);
    let page = actor.members(&room, after.as_ref(), limit).await?;
    let users: Vec<UserId> = page.members.iter().map(|member| member.user.clone()).collect();
    // While Redis is away it is not known who is online; who the members are is.
    let presence = actor.presence(&users).await.ok();
    let is_online = |index: usize| presence.as_ref().and_then(|all| all.get(index)).map(|one| one.online);
    let members = page.members.iter().enumerate().map(|(index, member)| {
        json!({
            "userId": member.user, "role": member.role, "joinedAt": member.joined_at.to_string(),
            "online": is_online(index),
        })
    });
    let members = members.collect();
    Ok((link(&format!("/rooms/{room}/members"), limit, page.next), Answer(members)))
}
