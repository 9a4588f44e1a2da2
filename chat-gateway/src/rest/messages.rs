use axum::{http::StatusCode, response::Response};
use chat_core::{Body, ClientMessageId, Content, CustomKind, JsonText, RoomId};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    extract::{Caller, JsonBody, Params, Segments},
    respond,
};
use crate::{
    Problem,
    json::{
        read_query,
        view::{PageView, SentView},
    },
};

#[derive(Deserialize)]
pub(super) struct PageParams {
    before: Option<String>,
    after: Option<String>,
    view: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn page(
    Caller(actor): Caller,
    Segments(room): Segments<RoomId>,
    Params(params): Params<PageParams>,
) -> Result<Response, Problem> {
    let PageParams { before, after, view, limit } = params;
    let query =
        read_query(before.as_deref(), after.as_deref(), view.as_deref(), limit).map_err(Problem::invalid)?;
    let page = actor.history(&room, query).await?;
    Ok(respond::ok(&PageView::from(&page)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Send {
    client_id: ClientMessageId,
    text: Option<String>,
    json: Option<Box<RawValue>>,
    name: Option<CustomKind>,
}

pub(super) async fn send(
    Caller(actor): Caller,
    Segments(room): Segments<RoomId>,
    body: JsonBody,
) -> Result<Response, Problem> {
    let Send { client_id, text, json, name } = body.read()?;
    let body = match (text, json) {
        (Some(text), None) => Body::text(&text),
        (None, Some(json)) => Body::Json(JsonText::new(json.get()).map_err(chat_core::Error::from)?),
        _ => return Err(Problem::invalid("one of `text` and `json` is needed")),
    };
    let content = match name {
        Some(name) => Content::Custom { name, body },
        None => Content::Chat { body },
    };
    let sent = actor.send(&room, client_id.clone(), content).await?;
    let status = if sent.duplicate { StatusCode::OK } else { StatusCode::CREATED };
    Ok(respond::json(status, &SentView::new(&client_id, &sent)))
}
