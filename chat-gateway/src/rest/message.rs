//! One message that is there: changed, taken back, reacted to. Each is an entry of its own in the log.

use axum::{http::StatusCode, response::Response};
use chat_core::{Actor, ClientMessageId, Content, MessageId, ReactionKey, ReactionOp, RoomId};
use serde::Deserialize;

use super::{
    extract::{Caller, JsonBody, Params, Segments},
    messages::Said,
    respond,
};
#[cfg(feature = "openapi")]
use crate::document::{Changes, Edits, values};
use crate::{Problem, json::sent::SentView};

/// The sender's name for a change that made twice is as good as once.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
pub(super) struct Named {
    /// One's own name for it, as for a message. It may be left out, since a repeat changes nothing.
    #[cfg_attr(feature = "openapi", param(value_type = values::ClientMessageId, required = false))]
    client_id: Option<ClientMessageId>,
}

async fn append(
    actor: &Actor,
    room: &RoomId,
    client_id: Option<ClientMessageId>,
    content: Content,
) -> Result<Response, Problem> {
    let client_id = client_id.unwrap_or_else(ClientMessageId::generate);
    let sent = actor.send(room, client_id.clone(), content).await?;
    let status = if sent.position.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(respond::json(status, &SentView::new(&client_id, &sent)))
}

/// Edit a message
///
/// One's own; moderators and owners also those of others. The answer says where the edit is stored; sent again with the same
/// `clientId` and payload it is the same edit.
#[cfg_attr(feature = "openapi", utoipa::path(
    patch, path = "/rooms/{room}/messages/{message}", operation_id = "chatEditMessage", tag = "Chat messages",
    security(("chatToken" = [])),
    params(
        ("room" = values::RoomId, Path, description = "Which room."),
        ("message" = values::MessageId, Path, description = "Which message."),
    ),
    request_body = super::messages::described::NewBody,
    responses(
        (status = 200, description = "It is stored.", body = SentView<'static>),
        (status = 202, description = "It is in a durable queue.", body = SentView<'static>),
        Edits,
    ),
))]
pub(super) async fn edit(
    Caller(actor): Caller,
    Segments((room, target)): Segments<(RoomId, MessageId)>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let said: Said = body.read()?;
    let body = said.body()?;
    append(&actor, &room, Some(said.client_id), Content::Edit { target, body }).await
}

/// Delete a message
///
/// One's own; moderators and owners also those of others. Its place stays, its content is gone. To delete again what one
/// has deleted is no error; what somebody else has deleted is there no more.
#[cfg_attr(feature = "openapi", utoipa::path(
    delete, path = "/rooms/{room}/messages/{message}", operation_id = "chatDeleteMessage", tag = "Chat messages",
    security(("chatToken" = [])),
    params(
        ("room" = values::RoomId, Path, description = "Which room."),
        ("message" = values::MessageId, Path, description = "Which message."),
        Named,
    ),
    responses(
        (status = 200, description = "It is stored.", body = SentView<'static>),
        (status = 202, description = "It is in a durable queue.", body = SentView<'static>),
        Changes,
    ),
))]
pub(super) async fn delete(
    Caller(actor): Caller,
    Segments((room, target)): Segments<(RoomId, MessageId)>,
    Params(Named { client_id }): Params<Named>,
) -> Result<Response, Problem> {
    // Once is enough for ever, so that the same request is the same deletion.
    let client_id = match client_id {
        Some(client_id) => client_id,
        None => ClientMessageId::new(&format!("delete-{target}"))
            .map_err(|error| Problem::invalid(error.to_string()))?,
    };
    append(&actor, &room, Some(client_id), Content::Delete { target }).await
}

/// React to a message
///
/// Puts one's reaction on. To put it on twice is no error.
#[cfg_attr(feature = "openapi", utoipa::path(
    put, path = "/rooms/{room}/messages/{message}/reactions/{key}", operation_id = "chatAddReaction",
    tag = "Chat messages",
    security(("chatToken" = [])),
    params(
        ("room" = values::RoomId, Path, description = "Which room."),
        ("message" = values::MessageId, Path, description = "Which message."),
        ("key" = values::ReactionKey, Path, description = "Which reaction."),
        Named,
    ),
    responses(
        (status = 200, description = "It is stored.", body = SentView<'static>),
        (status = 202, description = "It is in a durable queue.", body = SentView<'static>),
        Changes,
    ),
))]
pub(super) async fn add_reaction(
    Caller(actor): Caller,
    Segments((room, target, key)): Segments<(RoomId, MessageId, ReactionKey)>,
    Params(Named { client_id }): Params<Named>,
) -> Result<Response, Problem> {
    append(&actor, &room, client_id, Content::Reaction { target, key, op: ReactionOp::Add }).await
}

/// Take a reaction back
///
/// One's own. To take off what is not there is no error.
#[cfg_attr(feature = "openapi", utoipa::path(
    delete, path = "/rooms/{room}/messages/{message}/reactions/{key}", operation_id = "chatRemoveReaction",
    tag = "Chat messages",
    security(("chatToken" = [])),
    params(
        ("room" = values::RoomId, Path, description = "Which room."),
        ("message" = values::MessageId, Path, description = "Which message."),
        ("key" = values::ReactionKey, Path, description = "Which reaction."),
        Named,
    ),
    responses(
        (status = 200, description = "It is stored.", body = SentView<'static>),
        (status = 202, description = "It is in a durable queue.", body = SentView<'static>),
        Changes,
    ),
))]
pub(super) async fn remove_reaction(
    Caller(actor): Caller,
    Segments((room, target, key)): Segments<(RoomId, MessageId, ReactionKey)>,
    Params(Named { client_id }): Params<Named>,
) -> Result<Response, Problem> {
    append(&actor, &room, client_id, Content::Reaction { target, key, op: ReactionOp::Remove }).await
}
