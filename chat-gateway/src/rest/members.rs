use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chat_core::{Actor, MemberChange, MemberOutcome, Role, RoomId, UserId};
use serde::{Deserialize, Serialize};

use super::{
    extract::{Caller, JsonBody, Params, Segments},
    respond,
};
use crate::{
    Problem,
    json::view::{MemberView, all},
    limits,
};

#[derive(Deserialize)]
pub(super) struct ListParams {
    after: Option<UserId>,
    limit: Option<usize>,
}

pub(super) async fn list(
    Caller(actor): Caller,
    Segments(room): Segments<RoomId>,
    Params(params): Params<ListParams>,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Body<'a> {
        members: Vec<MemberView<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<&'a UserId>,
    }
    let page = actor.members(&room, params.after.as_ref(), limits::members(params.limit)).await?;
    Ok(respond::ok(&Body { members: all(&page.members), next: page.next.as_ref() }))
}

/// `me` is whoever asks.
fn user(actor: &Actor, named: &str) -> Result<UserId, Problem> {
    if named == "me" {
        return Ok(actor.user().clone());
    }
    UserId::new(named).map_err(|error| Problem::invalid(format!("user: {error}")))
}

#[derive(Deserialize)]
struct Put {
    #[serde(default)]
    role: Role,
}

pub(super) async fn put(
    Caller(actor): Caller,
    Segments((room, named)): Segments<(RoomId, String)>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let Put { role } = body.read()?;
    let change = MemberChange::add(user(&actor, &named)?, role);
    Ok(match actor.change_member(&room, change).await? {
        MemberOutcome::Added(member) => respond::json(StatusCode::CREATED, &MemberView::from(&member)),
        MemberOutcome::RoleChanged(member)
        | MemberOutcome::Removed(member)
        | MemberOutcome::Unchanged(Some(member)) => respond::ok(&MemberView::from(&member)),
        MemberOutcome::Unchanged(None) => StatusCode::NO_CONTENT.into_response(),
    })
}

pub(super) async fn remove(
    Caller(actor): Caller,
    Segments((room, named)): Segments<(RoomId, String)>,
) -> Result<Response, Problem> {
    actor.change_member(&room, MemberChange::remove(user(&actor, &named)?)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
