//! Server-Sent Events, free of any web framework: the frames of the JSON protocol as a stream to read, for clients that
//! cannot open a WebSocket. See *Server-Sent Events* in `PROTOCOL.md` beside this crate.
//!
//! A route reads a [`StreamRequest`] from the query and the headers, answers 204 if [it is over](StreamRequest::is_over),
//! and else what [`open`] answers: a [`Problem`](crate::Problem), or status 200 with [`HEADERS`] and the stream as body.

mod open;
mod positions;
mod request;
mod stream;
mod write;

pub use self::{
    open::{check, open},
    request::StreamRequest,
    stream::EventStream,
};

/// The headers of the answer. It is kept by nobody, and neither compressed nor gathered on its way, which would hold up
/// what is live.
pub const HEADERS: [(&str, &str); 3] = [
    ("content-type", "text/event-stream"),
    ("cache-control", "no-store, no-transform"),
    // nginx: https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffering
    ("x-accel-buffering", "no"),
];
