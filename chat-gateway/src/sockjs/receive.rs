//! Requests that wait for messages: at most one of a session at a time.

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header::X_CONTENT_TYPE_OPTIONS, request::Parts},
    response::Response,
};
use bytes::Bytes;
use futures::stream;

use super::{
    Close,
    core::{Next, Receiver},
    frame,
    headers::{EVENT_STREAM, HTML, JAVASCRIPT, PLAIN, answer},
    service::Service,
    session::{Opening, TransportKind},
};

/// How such a request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Xhr,
    XhrStreaming,
    EventSource,
    HtmlFile,
    Jsonp,
}

impl Kind {
    fn content_type(self) -> HeaderValue {
        match self {
            Self::Xhr | Self::XhrStreaming | Self::Jsonp => JAVASCRIPT,
            Self::EventSource => EVENT_STREAM,
            Self::HtmlFile => HTML,
        }
    }

    /// What comes before the first frame: enough for browsers that gather some before they show any.
    fn prelude(self, callback: &str) -> Bytes {
        match self {
            Self::Xhr | Self::Jsonp => Bytes::new(),
            Self::XhrStreaming => ("h".repeat(2_048) + "\n").into(),
            // Opera's.
            Self::EventSource => Bytes::from_static(b"\r\n"),
            Self::HtmlFile => {
                let head = HTML_FILE.replace("{callback}", callback);
                format!("{head:<1024}\r\n\r\n").into()
            }
        }
    }

    fn encode(self, frame: &str, callback: &str) -> Bytes {
        match self {
            Self::Xhr | Self::XhrStreaming => format!("{frame}\n"),
            // Clients decode it as a URI.
            Self::EventSource => format!("data: {}\r\n\r\n", frame.replace('%', "%25")),
            Self::HtmlFile => format!("<script>\np({});\n</script>\r\n", frame::in_script(frame)),
            // The comment keeps the answer from being taken for another kind of file, whatever the callback is called.
            Self::Jsonp => format!("/**/{callback}({});\r\n", frame::in_script(frame)),
        }
        .into()
    }
}

const HTML_FILE: &str = r#"<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.{callback};
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>"#;

pub(super) async fn receive(service: &Arc<Service>, session: &str, kind: Kind, request: &Parts) -> Response {
    let callback = match kind {
        Kind::HtmlFile | Kind::Jsonp => match callback(request.uri.query().unwrap_or_default()) {
            Ok(callback) => callback,
            Err(text) => return answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, text),
        },
        Kind::Xhr | Kind::XhrStreaming | Kind::EventSource => String::new(),
    };
    let opening = || Opening {
        transport: TransportKind::Http,
        headers: request.headers.clone(),
        query: request.uri.query().map(str::to_owned),
        subprotocol: None,
    };
    let Ok(core) = service.session_or_new(session, request, opening) else {
        return answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "Too many sessions");
    };
    let receiver = core.attach().await;
    let mut response = match kind {
        Kind::Xhr | Kind::Jsonp => {
            answer(StatusCode::OK, kind.content_type(), poll(receiver, kind, &callback).await)
        }
        Kind::XhrStreaming | Kind::EventSource | Kind::HtmlFile => {
            let streamed = Streamed {
                prelude: Some(kind.prelude(&callback)),
                source: receiver.map_or(Source::Refused, Source::Session),
                kind,
                callback,
                left: service.config.response_limit_bytes,
            };
            answer(StatusCode::OK, kind.content_type(), streamed.body())
        }
    };
    if matches!(kind, Kind::HtmlFile | Kind::Jsonp) {
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    response
}

/// The name of the function that is given each frame.
fn callback(query: &str) -> Result<String, &'static str> {
    let found = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "c" || name == "callback");
    let Some((_, callback)) = found.filter(|(_, callback)| !callback.is_empty()) else {
        return Err("\"callback\" parameter required");
    };
    let fits = callback.len() <= 128
        && callback.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if fits { Ok(callback.into_owned()) } else { Err("invalid \"callback\" parameter") }
}

/// One frame.
async fn poll(receiver: Option<Receiver>, kind: Kind, callback: &str) -> Bytes {
    let Some(mut receiver) = receiver else {
        return kind.encode(&frame::close(&Close::STILL_OPEN), callback);
    };
    let next = receiver.next().await;
    receiver.finish();
    kind.encode(&text(&next), callback)
}

fn text(next: &Next) -> String {
    match next {
        Next::Open => frame::OPEN.to_owned(),
        Next::Heartbeat => frame::HEARTBEAT.to_owned(),
        Next::Messages(messages) => frame::messages(messages.iter().map(String::as_str)),
        Next::Close(close) => frame::close(close),
    }
}

/// An answer that goes on until its limit.
struct Streamed {
    prelude: Option<Bytes>,
    source: Source,
    kind: Kind,
    callback: String,
    /// Bytes of frames until the limit.
    left: usize,
}

enum Source {
    Session(Receiver),
    /// Another request waits already.
    Refused,
    Over,
}

impl Streamed {
    fn body(self) -> Body {
        Body::from_stream(stream::unfold(self, |mut streamed| async move {
            let chunk = streamed.next().await?;
            Some((Ok::<_, Infallible>(chunk), streamed))
        }))
    }

    /// The next chunk. Each frame is one of its own.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(prelude) = self.prelude.take() {
            return Some(prelude);
        }
        let frame = match std::mem::replace(&mut self.source, Source::Over) {
            Source::Over => return None,
            Source::Refused => frame::close(&Close::STILL_OPEN),
            Source::Session(receiver) if self.left == 0 => {
                receiver.finish();
                return None;
            }
            Source::Session(receiver) => {
                // Kept in its place, so that a dropped answer drops it too.
                self.source = Source::Session(receiver);
                let Source::Session(receiver) = &mut self.source else { return None };
                let next = receiver.next().await;
                if matches!(next, Next::Close(_))
                    && let Source::Session(receiver) = std::mem::replace(&mut self.source, Source::Over)
                {
                    // The next request is told the same, also while this answer is still on its way.
                    receiver.finish();
                }
                text(&next)
            }
        };
        let chunk = self.kind.encode(&frame, &self.callback);
        self.left = self.left.saturating_sub(chunk.len());
        Some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callbacks_are_names() {
        assert_eq!(callback("c=%63allback"), Ok("callback".to_owned()));
        assert_eq!(callback("t=1&c=_jp.a0-b"), Ok("_jp.a0-b".to_owned()));
        for query in ["", "c=", "d=x"] {
            assert_eq!(callback(query), Err("\"callback\" parameter required"), "{query}");
        }
        let long = format!("c={}", "x".repeat(129));
        for query in ["c=%20", "c=*", "c=abc(", "c=abc%28", "c=<script>", "c=%C3%A9", long.as_str()] {
            assert_eq!(callback(query), Err("invalid \"callback\" parameter"), "{query}");
        }
    }

    #[test]
    fn a_page_begins_with_enough_to_be_shown() {
        let prelude = Kind::HtmlFile.prelude("callback");
        assert!(prelude.len() > 1_024 && prelude.ends_with(b"\r\n\r\n"));
        assert!(String::from_utf8_lossy(&prelude).contains("parent.callback;"));
    }
}
