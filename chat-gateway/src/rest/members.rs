use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chat_core::{Actor, MemberChange, MemberOutcome, Role, RoomId, UserId};
use serde::{Deserialize, Serialize};

use super::{
    extract::{Caller, JsonBody, Params, Segments},
    limit::Limit,
    respond,
};
#[cfg(feature = "openapi")]
use crate::document::{ChangesMember, EndsMembership, ReadsRoom, values};
use crate::{
    Problem,
    json::view::{MemberView, all},
    limits,
};

/// A page of a list by user id.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
pub(super) struct ByUser {
    /// The `next` of the page before; without it the first page.
    #[cfg_attr(feature = "openapi", param(value_type = values::UserId, required = false))]
    pub(super) after: Option<UserId>,
    /// Most of the page.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", param(inline))]
    pub(super) limit: Limit<{ limits::MAX_MEMBERS }, { limits::MEMBERS }>,
}

/// One page of members.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ChatMemberList))]
struct MembersBody<'a> {
    /// By user id.
    members: Vec<MemberView<'a>>,
    /// Where the next page begins: hand it back as `after`. Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = values::UserId))]
    next: Option<&'a UserId>,
}

/// The members of a room
///
/// Those who are members now, by user id.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/rooms/{room}/members", operation_id = "chatListMembers", tag = "Chat members",
    security(("chatToken" = [])),
    params(("room" = values::RoomId, Path, description = "Which room."), ByUser),
    responses((status = 200, description = "One page.", body = MembersBody<'static>), ReadsRoom),
))]
pub(super) async fn list(
    Caller(actor): Caller,
    Segments(room): Segments<RoomId>,
    Params(params): Params<ByUser>,
) -> Result<Response, Problem> {
    let page = actor.members(&room, params.after.as_ref(), params.limit.0).await?;
    Ok(respond::ok(&MembersBody { members: all(&page.members), next: page.next.as_ref() }))
}

/// `me` is whoever asks.
fn user(actor: &Actor, named: &str) -> Result<UserId, Problem> {
    if named == "me" {
        return Ok(actor.user().clone());
    }
    UserId::new(named).map_err(|error| Problem::invalid(format!("user: {error}")))
}

/// What a member may do from now on.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ChatMemberChange))]
struct Put {
    /// `member` unless given.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = values::MemberRole))]
    role: Role,
}

/// Add a member, or change a role
///
/// For moderators and owners, and only to roles up to their own; for oneself where the application lets anybody join.
/// The room is told. The only owner keeps the role while there are members.
#[cfg_attr(feature = "openapi", utoipa::path(
    put, path = "/rooms/{room}/members/{user}", operation_id = "chatPutMember", tag = "Chat members",
    security(("chatToken" = [])),
    params(
        ("room" = values::RoomId, Path, description = "Which room."),
        ("user" = values::UserId, Path, description = "Who; `me` is oneself."),
    ),
    request_body = Option<Put>,
    responses(
        (status = 200, description = "Was a member.", body = MemberView<'static>),
        (status = 201, description = "Is a member from now on.", body = MemberView<'static>),
        ChangesMember,
    ),
))]
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
        // Only a change with a version can be too old to count, and this one has none.
        MemberOutcome::Unchanged(None) => return Err(Problem::new("internal", "the change had no effect")),
    })
}

/// End a membership
///
/// One's own, or for moderators and owners that of somebody below them. It ends the user's live connections to the room.
/// To end what has ended already is no error. The only owner cannot go while there are other members.
#[cfg_attr(feature = "openapi", utoipa::path(
    delete, path = "/rooms/{room}/members/{user}", operation_id = "chatRemoveMember", tag = "Chat members",
    security(("chatToken" = [])),
    params(
        ("room" = values::RoomId, Path, description = "Which room."),
        ("user" = values::UserId, Path, description = "Who; `me` is oneself."),
    ),
    responses((status = 204, description = "Is no member."), EndsMembership),
))]
pub(super) async fn remove(
    Caller(actor): Caller,
    Segments((room, named)): Segments<(RoomId, String)>,
) -> Result<Response, Problem> {
    actor.change_member(&room, MemberChange::remove(user(&actor, &named)?)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
