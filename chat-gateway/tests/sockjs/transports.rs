//! Each transport over HTTP.

use reqwest::Method;

use crate::server::{Server, piece, session};

#[tokio::test]
async fn polling_opens_speaks_and_forgets_the_servers_name() {
    let server = Server::start().await;
    let path = session("/echo");
    assert_eq!(server.poll(&path).await, "o\n");
    assert_eq!(server.send(&path, "[\"a\"]").await, 204);
    assert_eq!(server.poll(&path.replace("000", "999")).await, "a[\"a\"]\n");
    for service in ["/close", "/nested/deep/close"] {
        let path = session(service);
        for expected in ["o\n", "c[3000,\"Go away!\"]\n", "c[3000,\"Go away!\"]\n"] {
            assert_eq!(server.poll(&path).await, expected);
        }
        assert_eq!(server.send(&path, "[\"to nobody\"]").await, 204);
    }
}

#[tokio::test]
async fn streaming_answers_have_a_prelude_and_a_limit() {
    let server = Server::start().await;
    let message = "x".repeat(128);
    for (method, transport, prelude, open, frame) in [
        (Method::POST, "xhr_streaming", "h".repeat(2_048) + "\n", "o\n", "a[\"{}\"]\n"),
        (Method::GET, "eventsource", "\r\n".to_owned(), "data: o\r\n\r\n", "data: a[\"{}\"]\r\n\r\n"),
        (
            Method::GET,
            "htmlfile?c=%63allback",
            String::new(),
            "<script>\np(\"o\");\n</script>\r\n",
            "<script>\np(\"a[\\\"{}\\\"]\");\n</script>\r\n",
        ),
    ] {
        let path = session("/echo");
        let answer = server.request(method.clone(), &format!("{path}/{transport}"), &[], "").await;
        assert_eq!(answer.status(), 200);
        let mut answer = answer.bytes_stream();
        let first = piece(&mut answer).await.unwrap();
        assert!(if prelude.is_empty() { first.len() > 1_024 } else { first == prelude }, "{first}");
        assert_eq!(piece(&mut answer).await.as_deref(), Some(open));
        let frame = frame.replace("{}", &message);
        let mut length = open.len();
        while length < 4_096 {
            assert_eq!(server.send(&path, &format!("[\"{message}\"]")).await, 204);
            assert_eq!(piece(&mut answer).await.as_ref(), Some(&frame));
            length += frame.len();
        }
        assert_eq!(piece(&mut answer).await, None, "the limit is reached");
        // The session goes on with the next request.
        assert_eq!(server.send(&path, "[\"next\"]").await, 204);
        assert_eq!(server.poll(&path).await, "a[\"next\"]\n");
    }
}

#[tokio::test]
async fn events_are_decoded_as_uris() {
    let server = Server::start().await;
    let path = session("/echo");
    let mut answer = server.get(&format!("{path}/eventsource")).await.bytes_stream();
    for expected in ["\r\n", "data: o\r\n\r\n"] {
        assert_eq!(piece(&mut answer).await.as_deref(), Some(expected));
    }
    server.send(&path, "[\"100 %\"]").await;
    assert_eq!(piece(&mut answer).await.as_deref(), Some("data: a[\"100 %25\"]\r\n\r\n"));
}

#[tokio::test]
async fn scripts_call_back() {
    let server = Server::start().await;
    let path = session("/echo");
    let poll = async || server.get(&format!("{path}/jsonp?c=%63allback")).await.text().await.unwrap();
    assert_eq!(poll().await, "/**/callback(\"o\");\r\n");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let sent = server.request(Method::POST, &format!("{path}/jsonp_send"), &form, "d=%5B%22x%22%5D").await;
    assert_eq!((sent.status().as_u16(), sent.text().await.unwrap().as_str()), (200, "ok"));
    assert_eq!(poll().await, "/**/callback(\"a[\\\"x\\\"]\");\r\n");
    server
        .request(
            Method::POST,
            &format!("{path}/jsonp_send"),
            &[("content-type", "text/plain")],
            "[\"%61bc\"]",
        )
        .await;
    assert_eq!(poll().await, "/**/callback(\"a[\\\"%61bc\\\"]\");\r\n");
    for transport in ["jsonp", "htmlfile"] {
        for (query, expected) in [
            ("", "\"callback\" parameter required"),
            ("?c=%20", "invalid \"callback\" parameter"),
            ("?c=abc%28", "invalid \"callback\" parameter"),
        ] {
            let refused = server.get(&format!("/echo/a/a/{transport}{query}")).await;
            assert_eq!((refused.status().as_u16(), refused.text().await.unwrap().as_str()), (500, expected));
        }
    }
}

#[tokio::test]
async fn only_one_request_of_a_session_waits() {
    let server = Server::start().await;
    let path = session("/echo");
    let streaming = async || server.post(&format!("{path}/xhr_streaming"), "").await.bytes_stream();
    let mut first = streaming().await;
    piece(&mut first).await;
    assert_eq!(piece(&mut first).await.as_deref(), Some("o\n"));
    let mut second = streaming().await;
    piece(&mut second).await;
    assert_eq!(piece(&mut second).await.as_deref(), Some("c[2010,\"Another connection still open\"]\n"));
    assert_eq!(piece(&mut second).await, None);
    assert_eq!(server.poll(&path).await, "c[2010,\"Another connection still open\"]\n");
    // A request that breaks off takes its session with it.
    drop(first);
    let told = loop {
        let told = server.poll(&path).await;
        if !told.contains("2010") {
            break told;
        }
    };
    assert_eq!(told, "c[1002,\"Connection interrupted\"]\n");
}

#[tokio::test]
async fn whoever_waits_while_the_session_ends_is_told() {
    let server = Server::start().await;
    let path = session("/close");
    for open in [Some("o\n"), None] {
        let mut answer = server.post(&format!("{path}/xhr_streaming"), "").await.bytes_stream();
        piece(&mut answer).await;
        if open.is_some() {
            assert_eq!(piece(&mut answer).await.as_deref(), open);
        }
        assert_eq!(piece(&mut answer).await.as_deref(), Some("c[3000,\"Go away!\"]\n"));
        assert_eq!(piece(&mut answer).await, None);
    }
    let path = session("/panics");
    assert_eq!(server.poll(&path).await, "o\n");
    assert!(["c[3000,\"Go away!\"]\n", "o\n"].contains(&server.poll(&path).await.as_str()));
}
