use std::{future::Future, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{Method, StatusCode, Uri},
    response::Response,
    routing::any,
};
use futures::FutureExt;

use super::{
    SockJsConfig, SockJsSession,
    headers::{PLAIN, answer, do_not_keep, empty, method_not_allowed, preflight, set_cookie, share},
    pages,
    receive::{self, Kind},
    send,
    service::Service,
    websocket,
};
use crate::axum::origin;

/// Bytes of a session's name in the path; clients choose 8.
const MAX_SEGMENT: usize = 128;

/// A SockJS service under a path such as `/echo`, which is all that a client is given.
///
/// `handler` is called once per client; the session ends when it returns. Nest it or merge it: everything under the
/// path is this service's. A client without SockJS opens a WebSocket at the path itself, or at `/websocket` under it.
///
/// # Panics
/// Like the router's own routes, where the prefix is no valid path of axum's.
pub fn router<F, Fut>(prefix: &str, config: SockJsConfig, handler: F) -> Router
where
    F: Fn(SockJsSession) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let prefix = prefix.trim_matches('/');
    let (prefix, skip) = if prefix.is_empty() {
        (String::new(), 0)
    } else {
        (format!("/{prefix}"), prefix.split('/').count())
    };
    let service = Service::new(config, Box::new(move |session| handler(session).boxed()));
    let mounted = Mounted { service, skip };
    let mut routes = Router::new()
        .route(&format!("{prefix}/"), any(serve))
        .route(&format!("{prefix}/{{*rest}}"), any(serve));
    if !prefix.is_empty() {
        routes = routes.route(&prefix, any(serve));
    }
    routes.with_state(mounted)
}

#[derive(Debug, Clone)]
struct Mounted {
    service: Arc<Service>,
    /// Segments of the prefix.
    skip: usize,
}

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place<'a> {
    Greeting,
    Info,
    Iframe,
    RawWebSocket,
    WebSocket,
    Receive(&'a str, Kind),
    Send(&'a str, send::Kind),
    Nothing,
}

impl<'a> Place<'a> {
    fn of(uri: &'a Uri, skip: usize) -> Self {
        // The first segment is what stands before the first slash: nothing.
        let segments: Vec<&str> = uri.path().split('/').skip(1 + skip).take(4).collect();
        match *segments.as_slice() {
            [] | [""] => Self::Greeting,
            ["info"] => Self::Info,
            ["websocket"] => Self::RawWebSocket,
            [page] if pages::is_iframe(page) => Self::Iframe,
            [server, session, transport] if is_name(server) && is_name(session) => match transport {
                "websocket" => Self::WebSocket,
                "xhr" => Self::Receive(session, Kind::Xhr),
                "xhr_streaming" => Self::Receive(session, Kind::XhrStreaming),
                "eventsource" => Self::Receive(session, Kind::EventSource),
                "htmlfile" => Self::Receive(session, Kind::HtmlFile),
                "jsonp" => Self::Receive(session, Kind::Jsonp),
                "xhr_send" => Self::Send(session, send::Kind::Xhr),
                "jsonp_send" => Self::Send(session, send::Kind::Jsonp),
                _ => Self::Nothing,
            },
            _ => Self::Nothing,
        }
    }

    /// The methods of the place, as they stand in a header.
    const fn methods(self) -> &'static str {
        match self {
            Self::Greeting | Self::Iframe | Self::RawWebSocket | Self::WebSocket => "GET",
            Self::Receive(_, Kind::HtmlFile | Kind::Jsonp) => "GET",
            Self::Info | Self::Receive(_, Kind::EventSource) => "OPTIONS, GET",
            Self::Receive(_, Kind::Xhr | Kind::XhrStreaming) | Self::Send(_, send::Kind::Xhr) => {
                "OPTIONS, POST"
            }
            Self::Send(_, send::Kind::Jsonp) => "POST",
            Self::Nothing => "",
        }
    }

    const fn is_shared(self) -> bool {
        matches!(self, Self::Send(..) | Self::Receive(_, Kind::Xhr | Kind::XhrStreaming | Kind::EventSource))
    }

    /// Whether the balancer's cookie belongs on the answer.
    const fn has_cookie(self) -> bool {
        matches!(self, Self::Receive(..) | Self::Send(..))
    }
}

/// Servers and sessions may be called anything without a dot.
fn is_name(segment: &str) -> bool {
    (1..=MAX_SEGMENT).contains(&segment.len()) && !segment.contains('.')
}

async fn serve(State(Mounted { service, skip }): State<Mounted>, request: Request) -> Response {
    let uri = request.uri().clone();
    let mut place = Place::of(&uri, skip);
    // Beyond the protocol: clients without it find their WebSocket where those with it find theirs.
    if place == Place::Greeting && service.config.websocket && websocket::is_asked(request.headers()) {
        place = Place::RawWebSocket;
    }
    if place == Place::Nothing
        || !service.config.websocket && matches!(place, Place::WebSocket | Place::RawWebSocket)
    {
        return answer(StatusCode::NOT_FOUND, PLAIN, "Not found");
    }
    let headers = request.headers().clone();
    let may = match place {
        Place::Receive(_, Kind::HtmlFile | Kind::Jsonp) => origin::embedding_allowed,
        // The iframe page uses no WebSocket.
        Place::WebSocket | Place::RawWebSocket => origin::allowed,
        _ => origin::own_allowed,
    };
    if !may(&service.config.origins, &headers, &uri) {
        return answer(StatusCode::FORBIDDEN, PLAIN, "Pages of this origin may not connect");
    }
    let methods = place.methods();
    let mut response = match *request.method() {
        Method::OPTIONS if methods.starts_with("OPTIONS") => {
            let mut response = preflight(methods);
            share(response.headers_mut(), &headers);
            if service.config.cookie_needed && place.has_cookie() {
                set_cookie(response.headers_mut(), &headers);
            }
            return response;
        }
        Method::HEAD if methods == "GET" && matches!(place, Place::Greeting | Place::Iframe) => {
            dispatch(&service, place, request).await
        }
        ref method if !methods.split(", ").any(|allowed| allowed == method.as_str()) => {
            return method_not_allowed(methods);
        }
        _ => dispatch(&service, place, request).await,
    };
    let answered = response.headers_mut();
    if place.has_cookie() {
        do_not_keep(answered);
        if service.config.cookie_needed {
            set_cookie(answered, &headers);
        }
    }
    if place.is_shared() {
        share(answered, &headers);
    }
    response
}

async fn dispatch(service: &Arc<Service>, place: Place<'_>, request: Request) -> Response {
    match place {
        Place::Greeting => pages::greeting(),
        Place::Info => pages::info(&service.config, request.headers()),
        Place::Iframe => service.iframe.answer(request.headers()),
        Place::RawWebSocket => websocket::upgrade(service, request, true).await,
        Place::WebSocket => websocket::upgrade(service, request, false).await,
        Place::Receive(session, kind) => {
            receive::receive(service, session, kind, &request.into_parts().0).await
        }
        Place::Send(session, kind) => send::send(service, session, kind, request).await,
        Place::Nothing => empty(StatusCode::NOT_FOUND),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_places() {
        let xhr = |session| Place::Receive(session, Kind::Xhr);
        for (path, skip, expected) in [
            ("/", 0, Place::Greeting),
            ("/echo", 1, Place::Greeting),
            ("/echo/", 1, Place::Greeting),
            ("/echo//", 1, Place::Nothing),
            ("/echo///", 1, Place::Nothing),
            ("/a/b/echo/info", 3, Place::Info),
            ("/echo/iframe-1.html", 1, Place::Iframe),
            ("/echo/iframe-/.html", 1, Place::Nothing),
            ("/echo/websocket", 1, Place::RawWebSocket),
            ("/echo/0/x/websocket", 1, Place::WebSocket),
            ("/echo/_/_/xhr", 1, xhr("_")),
            ("/echo/abcdefgh_i-j%20/abcdefg_i-j%20/xhr", 1, xhr("abcdefg_i-j%20")),
            ("/echo/a./a/xhr", 1, Place::Nothing),
            ("/echo/a/a./xhr", 1, Place::Nothing),
            ("/echo/././/xhr", 1, Place::Nothing),
            ("/echo///xhr", 1, Place::Nothing),
            ("/echo//xhr", 1, Place::Nothing),
            ("/echo/a/a", 1, Place::Nothing),
            ("/echo/a/a/", 1, Place::Nothing),
            ("/echo/a/a/xhr/", 1, Place::Nothing),
        ] {
            assert_eq!(Place::of(&path.parse().unwrap(), skip), expected, "{path}");
        }
        let long = format!("/echo/0/{}/xhr", "x".repeat(MAX_SEGMENT + 1));
        assert_eq!(Place::of(&long.parse().unwrap(), 1), Place::Nothing);
    }
}
