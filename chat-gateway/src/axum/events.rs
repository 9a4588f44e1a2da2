use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use futures::StreamExt;

use super::{Gateway, origin};
use crate::{
    Problem,
    rest::bearer,
    sse::{self, HEADERS, StreamRequest},
};

/// What a browser sends when it opens a stream again.
const LAST_EVENT_ID: &str = "last-event-id";

pub(super) async fn events(
    State(gateway): State<Gateway>,
    method: Method,
    headers: HeaderMap,
    uri: Uri,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let config = &gateway.config;
    if !origin::allowed(&config.origins, &headers, &uri) {
        return Err(Problem::new("forbidden", "pages of this origin may not connect"));
    }
    let credentials = bearer(&headers)?;
    // A header that is no text is no id either: it is refused as such.
    let last_event_id = headers.get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or("\u{fffd}"));
    let request = StreamRequest::parse(query.as_deref().unwrap_or_default(), last_event_id)?;
    if request.is_over() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    // Asked for the headers only, it answers whether the stream would be opened, and opens none.
    if method == Method::HEAD {
        sse::check(&gateway.chat, credentials, &request).await?;
        return Ok((HEADERS, Body::empty()).into_response());
    }
    let stream = sse::open(&gateway.chat, credentials, request, &config.limits).await?;
    Ok((HEADERS, Body::from_stream(stream.map(Ok::<_, std::convert::Infallible>))).into_response())
}
