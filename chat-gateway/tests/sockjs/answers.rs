//! Pages, headers, and refusals.

use reqwest::{Method, Response};

use crate::server::{Server, session};

fn header<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer.headers().get(name).map(|value| value.to_str().unwrap())
}

fn is_not_kept(answer: &Response) {
    let expected = "no-store, no-cache, no-transform, must-revalidate, max-age=0";
    assert_eq!(header(answer, "cache-control"), Some(expected));
    assert_eq!((header(answer, "expires"), header(answer, "last-modified")), (None, None));
}

fn is_shared_with(answer: &Response, origin: Option<&str>) {
    assert_eq!(header(answer, "access-control-allow-origin"), Some(origin.unwrap_or("*")));
    assert_eq!(header(answer, "access-control-allow-credentials"), origin.map(|_| "true"));
}

#[tokio::test]
async fn the_greeting_and_nothing_beside_it() {
    let server = Server::start().await;
    for path in ["/echo", "/echo/"] {
        let answer = server.get(path).await;
        assert_eq!(
            (answer.status().as_u16(), header(&answer, "content-type")),
            (200, Some("text/plain; charset=UTF-8"))
        );
        assert_eq!(answer.text().await.unwrap(), "Welcome to SockJS!\n");
    }
    for path in [
        "/a",
        "/a.html",
        "//",
        "///",
        "/a/a",
        "/a/a/",
        "/a/",
        "/iframe.htm",
        "/IFRAME.HTML",
        "/iframe-/.html",
    ] {
        assert_eq!(server.get(&format!("/echo{path}")).await.status(), 404, "{path}");
    }
    for path in ["//", "/a./a", "/a/a.", "/./.", "/", "///"] {
        assert_eq!(server.post(&format!("/echo{path}/xhr"), "").await.status(), 404, "{path}");
    }
    assert_eq!(server.get("/echo/0/0/xhr").await.status(), 405);
    let refused = server.post("/echo/0/0/websocket", "").await;
    assert_eq!(
        (refused.status().as_u16(), header(&refused, "allow"), header(&refused, "content-type")),
        (405, Some("GET"), None)
    );
    assert_eq!(server.get("/disabled_websocket_echo/0/0/websocket").await.status(), 404);
}

#[tokio::test]
async fn the_iframe_is_kept_for_a_year() {
    let server = Server::start().await;
    for path in [
        "iframe.html",
        "iframe-a.html",
        "iframe-.html",
        "iframe-0.1.2.html",
        "iframe-0.1.2abc-dirty.2144.html?t=1",
    ] {
        let answer = server.get(&format!("/echo/{path}")).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(header(&answer, "content-type"), Some("text/html; charset=UTF-8"));
        assert_eq!(header(&answer, "cache-control"), Some("public, max-age=31536000"));
        assert!(header(&answer, "expires").is_some() && header(&answer, "last-modified").is_none());
        let etag = header(&answer, "etag").unwrap().to_owned();
        assert!(answer.text().await.unwrap().starts_with("<!DOCTYPE html>\n<html>\n"));
        let known = server.request(Method::GET, "/echo/iframe.html", &[("if-none-match", &etag)], "").await;
        assert_eq!((known.status().as_u16(), header(&known, "content-type")), (304, None));
        assert_eq!(known.text().await.unwrap(), "");
    }
}

#[tokio::test]
async fn a_client_is_told_what_it_may_use() {
    let server = Server::start().await;
    let info = server.request(Method::GET, "/echo/info", &[("origin", "test")], "").await;
    is_not_kept(&info);
    is_shared_with(&info, Some("test"));
    assert_eq!(header(&info, "content-type"), Some("application/json; charset=UTF-8"));
    let info: serde_json::Value = info.json().await.unwrap();
    assert_eq!((&info["websocket"], &info["cookie_needed"]), (&true.into(), &false.into()));
    assert_eq!(info["origins"], serde_json::json!(["*:*"]));
    let again: serde_json::Value = server.get("/echo/info").await.json().await.unwrap();
    assert_ne!(info["entropy"].as_u64().unwrap(), again["entropy"].as_u64().unwrap());
    let without: serde_json::Value = server.get("/disabled_websocket_echo/info").await.json().await.unwrap();
    assert_eq!(without["websocket"], false);
    let cookie: serde_json::Value = server.get("/cookie_needed_echo/info").await.json().await.unwrap();
    assert_eq!(cookie["cookie_needed"], true);
}

#[tokio::test]
async fn other_origins_may_ask_first() {
    let server = Server::start().await;
    for (path, methods) in [
        ("info", "OPTIONS, GET"),
        ("a/a/xhr", "OPTIONS, POST"),
        ("a/a/xhr_send", "OPTIONS, POST"),
        ("a/a/xhr_streaming", "OPTIONS, POST"),
    ] {
        for origin in ["test", "null"] {
            let asked = [
                ("origin", origin),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", "a, b, c"),
            ];
            let answer = server.request(Method::OPTIONS, &format!("/echo/{path}"), &asked, "").await;
            assert_eq!(answer.status(), 204, "{path}");
            is_shared_with(&answer, Some(origin));
            assert_eq!(header(&answer, "access-control-allow-methods"), Some(methods));
            assert_eq!(header(&answer, "access-control-allow-headers"), Some("a, b, c"));
            assert_eq!(header(&answer, "access-control-max-age"), Some("31536000"));
            assert_eq!(header(&answer, "cache-control"), Some("public, max-age=31536000"));
            assert!(header(&answer, "expires").is_some());
        }
    }
}

#[tokio::test]
async fn the_cookie_is_given_back_as_it_came() {
    let server = Server::start().await;
    for (sent, expected) in [(None, "dummy"), (Some("a=b; JSESSIONID=abcdef"), "abcdef")] {
        let headers: Vec<(&str, &str)> = sent.map(|cookie| ("cookie", cookie)).into_iter().collect();
        for (method, path) in [
            (Method::POST, "xhr"),
            (Method::POST, "xhr_streaming"),
            (Method::GET, "eventsource"),
            (Method::GET, "htmlfile?c=x"),
            (Method::GET, "jsonp?c=x"),
        ] {
            let path = format!("{}/{path}", session("/cookie_needed_echo"));
            let answer = server.request(method, &path, &headers, "").await;
            let cookie = format!("JSESSIONID={expected}; Path=/");
            assert_eq!(
                (answer.status().as_u16(), header(&answer, "set-cookie")),
                (200, Some(cookie.as_str())),
                "{path}"
            );
            is_not_kept(&answer);
        }
    }
    assert_eq!(header(&server.get("/cookie_needed_echo/info").await, "set-cookie"), None);
    let answer = server.post(&format!("{}/xhr", session("/echo")), "").await;
    assert_eq!(header(&answer, "set-cookie"), None);
}

#[tokio::test]
async fn bad_payloads_are_told_in_the_protocols_words() {
    let server = Server::start().await;
    let session = session("/echo");
    assert_eq!(server.post(&format!("{session}/xhr_send"), "[\"x\"]").await.status(), 404);
    assert_eq!(server.poll(&session).await, "o\n");
    for (body, expected) in
        [("[\"x", "Broken JSON encoding."), ("", "Payload expected."), ("{}", "Payload expected.")]
    {
        let answer =
            server.request(Method::POST, &format!("{session}/xhr_send"), &[("origin", "test")], body).await;
        is_shared_with(&answer, Some("test"));
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (500, expected));
    }
    let form = [("content-type", "application/x-www-form-urlencoded")];
    for (body, expected) in [
        ("d=%5B%22x", "Broken JSON encoding."),
        ("", "Payload expected."),
        ("d=", "Payload expected."),
        ("p=p", "Payload expected."),
    ] {
        let answer = server.request(Method::POST, &format!("{session}/jsonp_send"), &form, body).await;
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (500, expected));
    }
    assert_eq!(server.send(&session, "[]").await, 204);
    let kinds = ["text/plain", "T", "application/json", "application/xml", "", "text/xml; charset=utf-8"];
    for kind in kinds {
        let answer = server
            .request(Method::POST, &format!("{session}/xhr_send"), &[("content-type", kind)], "[\"a\"]")
            .await;
        assert_eq!(
            (answer.status().as_u16(), header(&answer, "content-type")),
            (204, Some("text/plain; charset=UTF-8"))
        );
    }
    let mut came = 0;
    while came < kinds.len() {
        let frame = server.poll(&session).await;
        came += serde_json::from_str::<Vec<String>>(frame.trim().strip_prefix('a').unwrap()).unwrap().len();
    }
}
