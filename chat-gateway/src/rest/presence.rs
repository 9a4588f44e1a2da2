use axum::response::Response;
use chat_core::UserId;
use serde::{Deserialize, Serialize};

use super::{
    extract::{Caller, Params},
    respond,
};
#[cfg(feature = "openapi")]
use crate::document::{ReadsPresence, values};
use crate::{
    Problem,
    json::view::{PresenceView, all},
};

#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
pub(super) struct PresenceParams {
    /// Of whom: at most 200 user ids, with commas between them.
    #[cfg_attr(
        feature = "openapi",
        param(value_type = Vec<values::UserId>, style = Form, explode = false, max_items = 200)
    )]
    users: String,
}

/// Who of those asked for is online.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ChatPresenceList))]
struct PresenceBody<'a> {
    /// In the order they were asked for.
    users: Vec<PresenceView<'a>>,
}

/// Who is online
///
/// Of the users named, in their order; whoever was never seen is offline.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/presence", operation_id = "chatListPresence", tag = "Chat presence",
    security(("chatToken" = [])),
    params(PresenceParams),
    responses((status = 200, description = "One for each.", body = PresenceBody<'static>), ReadsPresence),
))]
pub(super) async fn presence(
    Caller(actor): Caller,
    Params(params): Params<PresenceParams>,
) -> Result<Response, Problem> {
    let named = params.users.split(',').filter(|_| !params.users.is_empty()).map(UserId::new);
    let users: Vec<UserId> =
        named.collect::<Result<_, _>>().map_err(|error| Problem::invalid(format!("`users`: {error}")))?;
    let presence = actor.presence(&users).await?;
    Ok(respond::ok(&PresenceBody { users: all(&presence) }))
}
