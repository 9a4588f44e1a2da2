use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use futures::StreamExt;

use super::{Gateway, origin};
#[cfg(feature = "openapi")]
use crate::document::{OpensStream, values};
use crate::{
    Problem,
    rest::bearer,
    sse::{self, HEADERS, StreamRequest},
};

/// What a browser sends when it opens a stream again.
const LAST_EVENT_ID: &str = "last-event-id";

/// How the query is described; [`StreamRequest`] reads it.
#[cfg(feature = "openapi")]
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its schema is used")]
struct EventsParams {
    /// The rooms to follow, with commas between them: together with `room` at most 100 unless the server was set up
    /// otherwise, and none twice. Without any, only what concerns oneself comes.
    #[param(style = Form, explode = false, required = false, max_items = 100)]
    rooms: Vec<values::RoomId>,
    /// One more room: for an id with a comma in it. May be repeated.
    #[param(style = Form, explode = true, required = false, max_items = 100)]
    room: Vec<values::RoomId>,
    /// For each room, in the order they are named, the cursor to go on from; nothing between the commas for a room that is
    /// new.
    #[param(value_type = values::Cursors, inline, required = false)]
    cursors: String,
    /// The id of the last event that was applied, instead of `cursors`.
    #[param(value_type = values::EventId, inline, required = false)]
    last_event_id: String,
    /// Entries of a page, where a room begins with one; held between 1 and 1,000. The rooms share 2,000 (unless set
    /// otherwise), so with 100 rooms each has up to 20.
    #[param(value_type = values::StreamPage, inline, required = false)]
    limit: usize,
}

/// The header that a browser adds.
#[cfg(feature = "openapi")]
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its schema is used")]
struct EventsHeaders {
    /// As `last_event_id`, which it outdoes: a browser sends it when it comes back by itself.
    #[param(rename = "Last-Event-ID", value_type = values::EventId, inline, required = false)]
    last_event_id: String,
}

/// Follow rooms live
///
/// Server-Sent Events for clients that only read: each event's `data` is one of the frames that go over the WebSocket, as
/// `PROTOCOL.md` describes them, and its `id` holds the positions in all rooms. A browser's `EventSource` comes back by itself
/// and goes on where it was. Since it gives up for good on any status but 200, what may pass (`busy`, `timeout` …) is told in
/// the stream, which then ends. A `HEAD` checks the token and the request and opens nothing.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/events", operation_id = "chatFollowEvents", tag = "Chat messages",
    security(("chatToken" = []), ("chatTokenInQuery" = [])),
    params(EventsParams, EventsHeaders),
    responses(
        (status = 200, description = "The stream. It ends when the client or the server does.", body = String, content_type = "text/event-stream"),
        (status = 204, description = "The stream ended for good: a browser that comes back by itself stops."),
        OpensStream,
    ),
))]
pub(crate) async fn events(
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
