use axum::response::Response;
use chat_core::UserId;
use serde::{Deserialize, Serialize};

use super::{
    extract::{Caller, Params},
    respond,
};
use crate::{
    Problem,
    json::view::{PresenceView, all},
};

#[derive(Deserialize)]
pub(super) struct PresenceParams {
    users: String,
}

pub(super) async fn presence(
    Caller(actor): Caller,
    Params(params): Params<PresenceParams>,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Body<'a> {
        users: Vec<PresenceView<'a>>,
    }
    let named = params.users.split(',').filter(|user| !user.is_empty()).map(UserId::new);
    let users: Vec<UserId> =
        named.collect::<Result<_, _>>().map_err(|error| Problem::invalid(format!("`users`: {error}")))?;
    let presence = actor.presence(&users).await?;
    Ok(respond::ok(&Body { users: all(&presence) }))
}
