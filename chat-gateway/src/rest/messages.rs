use axum::{http::StatusCode, response::Response};
use chat_core::{Body, ClientMessageId, Content, CustomKind, JsonText, ReadQuery, RoomId};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{
    extract::{Caller, JsonBody, Params, Segments},
    limit::Limit,
    respond,
};
#[cfg(feature = "openapi")]
use crate::document::{ReadsLog, Sends, values};
use crate::{
    Problem,
    json::{read_query, sent::SentView, view::PageView},
};

#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
pub(super) struct PageParams {
    /// What lies before this place; not together with `after`.
    #[cfg_attr(feature = "openapi", param(value_type = values::Place, required = false))]
    before: Option<String>,
    /// What follows this place; not together with `before`.
    #[cfg_attr(feature = "openapi", param(value_type = values::Place, required = false))]
    after: Option<String>,
    /// Which entries.
    #[cfg_attr(feature = "openapi", param(value_type = values::PageOf, inline, required = false))]
    view: Option<String>,
    /// Most entries of the page.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", param(inline))]
    limit: Limit<{ ReadQuery::MAX_LIMIT }, { ReadQuery::DEFAULT_LIMIT }>,
}

/// The history of a room
///
/// The newest page, or the one before or after a place, oldest entry first either way. To go on backwards ask `before` the
/// first entry's cursor until `reachesStart`, forwards `after` the last one's until `reachesHead`. A cursor that the log
/// cannot honour any more is refused, never answered with a wrong page.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/rooms/{room}/messages", operation_id = "chatListMessages", tag = "Chat messages",
    security(("chatToken" = [])),
    params(("room" = values::RoomId, Path, description = "Which room."), PageParams),
    responses((status = 200, description = "One page.", body = PageView<'static>), ReadsLog),
))]
pub(super) async fn page(
    Caller(actor): Caller,
    Segments(room): Segments<RoomId>,
    Params(params): Params<PageParams>,
) -> Result<Response, Problem> {
    let PageParams { before, after, view, limit } = params;
    let query = read_query(before.as_deref(), after.as_deref(), view.as_deref(), Some(limit.0))
        .map_err(Problem::invalid)?;
    let page = actor.history(&room, query).await?;
    Ok(respond::ok(&PageView::from(&page)))
}

/// What a new message or an edit says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Said {
    pub(super) client_id: ClientMessageId,
    #[serde(default, deserialize_with = "given")]
    text: Option<String>,
    #[serde(default, deserialize_with = "given")]
    json: Option<Box<RawValue>>,
    /// Of a new message alone.
    name: Option<CustomKind>,
}

impl Said {
    pub(super) fn body(&self) -> Result<Body, Problem> {
        match (&self.text, &self.json) {
            (Some(text), None) => Ok(Body::text(text)),
            (None, Some(json)) => Ok(Body::Json(JsonText::new(json.get()).map_err(chat_core::Error::from)?)),
            _ => Err(Problem::invalid("one of `text` and `json` is needed")),
        }
    }
}

/// A field that counts as there even if it is `null`.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// How [`Said`] is described: as a text or as JSON, and never both.
#[cfg(feature = "openapi")]
pub(super) mod described {
    use super::values;

    /// What a message says from now on: a text, or JSON of the application's own shape.
    #[derive(utoipa::ToSchema)]
    #[serde(untagged)]
    #[schema(as = ChatEdit)]
    #[expect(dead_code, reason = "only its schema is used")]
    pub(in crate::rest) enum NewBody {
        Text(EditedText),
        Json(EditedJson),
    }

    /// A text.
    #[derive(utoipa::ToSchema)]
    #[serde(rename_all = "camelCase")]
    #[schema(as = ChatEditedText)]
    #[expect(dead_code, reason = "only its schema is used")]
    pub(in crate::rest) struct EditedText {
        /// One's own name for the edit.
        client_id: values::ClientMessageId,
        /// What it says.
        text: values::MessageText,
    }

    /// JSON.
    #[derive(utoipa::ToSchema)]
    #[serde(rename_all = "camelCase")]
    #[schema(as = ChatEditedJson)]
    #[expect(dead_code, reason = "only its schema is used")]
    pub(in crate::rest) struct EditedJson {
        /// One's own name for the edit.
        client_id: values::ClientMessageId,
        /// What it says; its text counts against `maxBodyChars`.
        json: values::AnyJson,
    }

    /// A message to be stored: a text, or JSON of the application's own shape.
    #[derive(utoipa::ToSchema)]
    #[serde(untagged)]
    #[schema(as = ChatNewMessage)]
    #[expect(dead_code, reason = "only its schema is used")]
    pub(super) enum NewMessage {
        Text(NewText),
        Json(NewJson),
    }

    /// A text.
    #[derive(utoipa::ToSchema)]
    #[serde(rename_all = "camelCase")]
    #[schema(as = ChatNewText)]
    #[expect(dead_code, reason = "only its schema is used")]
    pub(super) struct NewText {
        /// One's own name for it.
        client_id: values::NewClientMessageId,
        /// What it says.
        text: values::MessageText,
        /// The application's name for this kind of entry; without it a chat message.
        name: Option<values::CustomKind>,
    }

    /// JSON.
    #[derive(utoipa::ToSchema)]
    #[serde(rename_all = "camelCase")]
    #[schema(as = ChatNewJson)]
    #[expect(dead_code, reason = "only its schema is used")]
    pub(super) struct NewJson {
        /// One's own name for it.
        client_id: values::NewClientMessageId,
        /// What it says; its text counts against `maxBodyChars`.
        json: values::AnyJson,
        /// The application's name for this kind of entry; without it a chat message.
        name: Option<values::CustomKind>,
    }
}

/// Send a message
///
/// The answer says where it is stored. Whoever does not know whether a send arrived (`timeout`, `unavailable`, a lost
/// connection) sends it again with the same `clientId` and the same payload: it is stored once.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/rooms/{room}/messages", operation_id = "chatSendMessage", tag = "Chat messages",
    security(("chatToken" = [])),
    params(("room" = values::RoomId, Path, description = "Which room.")),
    request_body = described::NewMessage,
    responses(
        (status = 200, description = "It was there already.", body = SentView<'static>),
        (status = 201, description = "It is stored.", body = SentView<'static>),
        (status = 202, description = "It is in a durable queue, and will be stored.", body = SentView<'static>),
        Sends,
    ),
))]
pub(super) async fn send(
    Caller(actor): Caller,
    Segments(room): Segments<RoomId>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let said: Said = body.read()?;
    let body = said.body()?;
    let Said { client_id, name, .. } = said;
    let content = match name {
        Some(name) => Content::Custom { name, body },
        None => Content::Chat { body },
    };
    let sent = actor.send(&room, client_id.clone(), content).await?;
    let status = match &sent.position {
        None => StatusCode::ACCEPTED,
        Some(_) if sent.duplicate => StatusCode::OK,
        Some(_) => StatusCode::CREATED,
    };
    Ok(respond::json(status, &SentView::new(&client_id, &sent)))
}
