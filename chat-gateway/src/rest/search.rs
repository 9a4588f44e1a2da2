use axum::response::Response;
use chat_core::{MessageId, RoomId, search::SearchQuery};
use serde::{Deserialize, Serialize};

use super::{
    extract::{Caller, Params},
    respond,
};
use crate::{
    Problem,
    json::view::{EntryView, all},
};

/// Most messages of one page.
const MAX_LIMIT: usize = 100;

#[derive(Deserialize)]
pub(super) struct SearchParams {
    q: String,
    room: Option<RoomId>,
    before: Option<MessageId>,
    limit: Option<usize>,
}

pub(super) async fn search(
    Caller(actor): Caller,
    Params(params): Params<SearchParams>,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Body<'a> {
        messages: Vec<EntryView<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<MessageId>,
    }
    let mut query = SearchQuery::new(actor.user().clone(), params.q);
    (query.room, query.before) = (params.room, params.before);
    query.limit = params.limit.unwrap_or(query.limit).clamp(1, MAX_LIMIT);
    let page = actor.search(query).await?;
    Ok(respond::ok(&Body { messages: all(&page.messages), next: page.next }))
}
