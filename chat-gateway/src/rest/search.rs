use axum::response::Response;
use chat_core::{MessageId, RoomId, search::SearchQuery};
use serde::{Deserialize, Serialize};

use super::{
    extract::{Caller, Params},
    limit::Limit,
    respond,
};
#[cfg(feature = "openapi")]
use crate::document::{Searches, values};
use crate::{
    Problem,
    json::view::{EntryView, all},
};

/// Most messages of one page.
const MAX_LIMIT: usize = 100;

/// Messages of one page unless asked for another number.
const DEFAULT_LIMIT: usize = 20;

#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
pub(super) struct SearchParams {
    /// Words that must all occur, in any case.
    #[cfg_attr(feature = "openapi", param(value_type = values::SearchText, inline))]
    q: String,
    /// Only this room; without it all of one's rooms.
    #[cfg_attr(feature = "openapi", param(value_type = values::RoomId, required = false))]
    room: Option<RoomId>,
    /// The `next` of the page before: only messages older than this one. Without it the first page.
    #[cfg_attr(feature = "openapi", param(value_type = values::MessageId, required = false))]
    before: Option<MessageId>,
    /// Most messages of the page.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", param(inline))]
    limit: Limit<{ MAX_LIMIT }, { DEFAULT_LIMIT }>,
}

/// One page of what was found.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ChatSearchPage))]
struct FoundBody<'a> {
    /// Newest first, as they are now.
    messages: Vec<EntryView<'a>>,
    /// Where the next page begins: hand it back as `before`. Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = values::MessageId))]
    next: Option<MessageId>,
}

/// Find messages
///
/// In the rooms that one is a member of, newest first. Deleted messages are never found.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/search", operation_id = "chatSearch", tag = "Chat messages",
    security(("chatToken" = [])),
    params(SearchParams),
    responses((status = 200, description = "One page.", body = FoundBody<'static>), Searches),
))]
pub(super) async fn search(
    Caller(actor): Caller,
    Params(params): Params<SearchParams>,
) -> Result<Response, Problem> {
    if params.q.trim().is_empty() {
        return Err(Problem::invalid("`q`: is empty; at least one word is needed"));
    }
    if params.q.contains('\0') {
        // As in a body: several stores cannot take it.
        return Err(Problem::invalid("`q`: has a zero character"));
    }
    let mut query = SearchQuery::new(actor.user().clone(), params.q);
    (query.room, query.before, query.limit) = (params.room, params.before, params.limit.0);
    let page = actor.search(query).await?;
    Ok(respond::ok(&FoundBody { messages: all(&page.messages), next: page.next }))
}
