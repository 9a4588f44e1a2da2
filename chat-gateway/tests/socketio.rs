//! Socket.IO as its packets go over the wire, where a real client would behave too well. `tests/socketio` has the real one.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::Extension;
use chat_core::{
    Auth, Backend, Body, Chat, ClientMessageId, MemberChange, NewRoom, Retry, Role, RoomId, StoredMessage,
    UserId,
    auth::{Credentials, Principal},
    memory::MemoryStore,
    testkit::TokenIsUser,
};
use chat_gateway::{
    GatewayConfig, Limits, Problem,
    socketio::{self, Answer, Asked, Dialect, Done, Emit, PACKETS, Request},
};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};

#[path = "support/refusing_log.rs"]
mod refusing_log;

#[derive(Debug)]
struct Lounge;

impl Dialect for Lounge {
    fn request(&self, asked: &Asked<'_>) -> Result<Request, Problem> {
        match asked.event {
            "say" => Ok(Request::Send {
                room: asked.field("room")?,
                client_id: asked.field("id")?,
                content: chat_core::Content::text(asked.text("text")?),
            }),
            "enter" => Ok(Request::Join { room: asked.field("room")?, after: None }),
            "count" => {
                let user = asked.user().clone();
                Ok(Request::Call(Box::pin(async move { Ok(json!(user.as_str().len())) })))
            }
            _ => Err(asked.unknown()),
        }
    }

    fn answer(&self, asked: &Asked<'_>, done: Result<Done, Problem>) -> Answer {
        match done {
            Ok(Done::Called(value)) => Answer::Ack(value),
            Ok(_) if !asked.wants_ack => Answer::Event(Emit::new("entered", &Value::Null)),
            Ok(_) => Answer::Ack(json!("ok")),
            Err(problem) => Answer::Ack(json!(problem.code)),
        }
    }

    fn entry(&self, entry: &StoredMessage) -> Option<Emit> {
        let Some(Body::Text(text)) = entry.content.body() else { return None };
        Some(Emit::new("said", &text))
    }

    fn send_failed(&self, room: &RoomId, client_id: &ClientMessageId, problem: &Problem) -> Option<Emit> {
        Some(Emit::new("failed", &json!([room, client_id, problem.code])))
    }
}

/// One client of long polling, which asks when the test says so.
struct Polling {
    http: reqwest::Client,
    url: String,
}

impl Polling {
    async fn open(at: &str, user: &str) -> Self {
        let polling = Self::handshake(at, reqwest::Client::new(), user).await;
        assert!(polling.poll().await.starts_with("40"));
        polling
    }

    async fn handshake(at: &str, http: reqwest::Client, user: &str) -> Self {
        let url = format!("{at}/socket.io/?EIO=4&transport=polling");
        let hello = http.get(&url).send().await.unwrap().text().await.unwrap();
        let hello: Value = serde_json::from_str(hello.strip_prefix('0').unwrap()).unwrap();
        let polling = Self { http, url: format!("{url}&sid={}", hello["sid"].as_str().unwrap()) };
        polling.say(&format!(r#"40{{"token":"{user}"}}"#)).await;
        polling
    }

    async fn say(&self, packet: &str) {
        let response = self.http.post(&self.url).body(packet.to_owned()).send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "ok");
    }

    /// What comes next, without pings.
    async fn poll(&self) -> String {
        loop {
            let packets = self.http.get(&self.url).send().await.unwrap().text().await.unwrap();
            let packets: Vec<_> = packets.split('\u{1e}').filter(|packet| *packet != "2").collect();
            if !packets.is_empty() {
                return packets.join("\u{1e}");
            }
        }
    }
}

async fn serve(limits: Limits) -> (Chat, String) {
    serve_with(limits, &Arc::new(())).await
}

/// Every request brings a clone of `along`.
async fn serve_with(limits: Limits, along: &Arc<()>) -> (Chat, String) {
    let builder = Chat::builder().memory().storage(&MemoryStore::new()).auth(TokenIsUser);
    serve_chat(builder.build().unwrap(), limits, along).await
}

async fn serve_chat(chat: Chat, limits: Limits, along: &Arc<()>) -> (Chat, String) {
    let system = chat.system(UserId::new("system").unwrap());
    let room = RoomId::new("lounge").unwrap();
    system.create_room(NewRoom::new(room.clone())).await.unwrap();
    let member = MemberChange::add(UserId::new("ann").unwrap(), Role::Member);
    system.change_member(&room, member).await.unwrap();
    let (layer, io) = socketio::layer(&limits);
    socketio::mount(&io, chat.clone(), Lounge, GatewayConfig::new().with_limits(limits));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    let ending = axum::middleware::from_fn_with_state(chat.clone(), socketio::refuse_while_draining);
    let router = axum::Router::new().layer(layer).layer(ending).layer(Extension(Arc::clone(along)));
    tokio::spawn(axum::serve(listener, router).into_future());
    (chat, at)
}

#[tokio::test]
async fn events_are_answered_in_the_application_s_words() {
    let (_chat, at) = serve(Limits::new()).await;
    let ann = Polling::open(&at, "ann").await;
    for (packet, answer) in [
        (r#"421["enter",{"room":"lounge"}]"#, r#"431["ok"]"#),
        (r#"42["enter",{"room":"lounge"}]"#, r#"42["entered",null]"#),
        (r#"422["enter",{"room":"attic"}]"#, r#"432["not_a_member"]"#),
        (r#"423["enter"]"#, r#"433["invalid_request"]"#),
        (r#"424["count"]"#, "434[3]"),
        (r#"425["dance",1,2,3]"#, r#"435["unknown_command"]"#),
    ] {
        ann.say(packet).await;
        assert_eq!(ann.poll().await, answer, "{packet}");
    }
}

#[tokio::test]
async fn who_takes_nothing_for_too_long_is_let_go() {
    let (chat, at) = serve(Limits::new().with_write_timeout(Duration::from_millis(300))).await;
    let ann = Polling::open(&at, "ann").await;
    ann.say(r#"421["enter",{"room":"lounge"}]"#).await;
    assert_eq!(ann.poll().await, r#"431["ok"]"#);
    let system = chat.system(UserId::new("system").unwrap());
    let user = [UserId::new("ann").unwrap()];
    assert!(system.presence(&user).await.unwrap()[0].online);
    let room = RoomId::new("lounge").unwrap();
    for number in 0..=PACKETS + 1 {
        system.send_text(&room, ClientMessageId::generate(), &format!("{number}")).await.unwrap();
    }
    let end = Instant::now() + Duration::from_secs(10);
    while system.presence(&user).await.unwrap()[0].online {
        assert!(Instant::now() < end, "still there");
        sleep(Duration::from_millis(20)).await;
    }
    // What fitted is still there for the taking, and then the word that it is over.
    let mut taken = Vec::new();
    while taken.last().is_none_or(|packet| packet != "41") {
        taken.extend(ann.poll().await.split('\u{1e}').map(str::to_owned));
    }
    let said = (0..taken.len() - 1).map(|number| format!(r#"42["said","{number}"]"#));
    assert_eq!(taken, said.chain(["41".to_owned()]).collect::<Vec<_>>());
    assert!(taken.len() > PACKETS / 2, "{}", taken.len());
}

#[tokio::test]
async fn a_page_of_another_origin_is_not_let_in() {
    let (_chat, at) = serve(Limits::new()).await;
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("origin", "https://evil.example".parse().unwrap());
    let http = reqwest::Client::builder().default_headers(headers).build().unwrap();
    let ann = Polling::handshake(&at, http, "ann").await;
    assert!(ann.poll().await.starts_with(r#"44{"message":"this page"#));
}

#[tokio::test]
async fn what_does_not_fit_the_queue_is_refused_at_once_and_the_rest_is_answered() {
    let (_chat, at) = serve(Limits::new().with_commands(1_000, 1_000)).await;
    let ann = Polling::open(&at, "ann").await;
    // In one request, so that all are there before the first is worked on.
    let many: Vec<_> = (0..400).map(|number| format!(r#"42{number}["count"]"#)).collect();
    ann.say(&many.join("\u{1e}")).await;
    let (mut counted, mut busy) = (0, 0);
    while counted < 256 {
        for packet in ann.poll().await.split('\u{1e}') {
            counted += usize::from(packet.ends_with("[3]"));
            busy += usize::from(packet.ends_with(r#"["busy"]"#));
        }
    }
    assert!((1..=144).contains(&busy), "{counted} {busy}");
}

/// Nothing that a socket keeps may keep the socket: with it goes the request that it was opened by.
#[tokio::test]
async fn sockets_that_are_gone_leave_nothing_behind() {
    let opened = Arc::new(());
    let (chat, at) = serve_with(Limits::new(), &opened).await;
    let before = Arc::strong_count(&opened);
    for _ in 0..5 {
        let ann = Polling::open(&at, "ann").await;
        ann.say(r#"421["enter",{"room":"lounge"}]"#).await;
        assert_eq!(ann.poll().await, r#"431["ok"]"#);
        assert!(Arc::strong_count(&opened) > before);
        ann.say("41\u{1e}1").await;
    }
    let user = [UserId::new("ann").unwrap()];
    let system = chat.system(UserId::new("system").unwrap());
    let end = Instant::now() + Duration::from_secs(20);
    while system.presence(&user).await.unwrap()[0].online || Arc::strong_count(&opened) > before {
        assert!(Instant::now() < end, "{} of {before}", Arc::strong_count(&opened));
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_was_accepted_and_is_not_stored_is_said_on_every_device() {
    let chat = refusing_log::chat().auth(TokenIsUser).build().unwrap();
    let (_chat, at) = serve_chat(chat, Limits::new(), &Arc::new(())).await;
    let (phone, laptop) = (Polling::open(&at, "ann").await, Polling::open(&at, "ann").await);
    phone.say(r#"421["say",{"room":"lounge","id":"c1","text":"accepted, and no more"}]"#).await;
    let failed = r#"42["failed",["lounge","c1","busy"]]"#;
    assert_eq!(laptop.poll().await, failed);
    let mut told = String::new();
    while !(told.contains(failed) && told.contains(r#"431["ok"]"#)) {
        told += &phone.poll().await;
    }
}

/// Lets everybody in from the third time on.
#[derive(Debug, Default)]
struct Waking(AtomicUsize);

#[async_trait::async_trait]
impl Backend for Waking {
    fn name(&self) -> &'static str {
        "waking"
    }

    async fn health(&self) -> chat_core::Result<()> {
        Ok(())
    }
}

#[async_trait::async_trait]
impl Auth for Waking {
    async fn authenticate(&self, credentials: &Credentials) -> chat_core::Result<Principal> {
        if self.0.fetch_add(1, Ordering::Relaxed) < 2 {
            let away = std::io::Error::other("password=hunter2");
            return Err(chat_core::Error::backend("users", "authenticate", Retry::Later, away));
        }
        TokenIsUser.authenticate(credentials).await
    }

    async fn revalidate(&self, _: &Principal) -> chat_core::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn who_cannot_be_let_in_yet_waits_for_the_answer() {
    let chat = Chat::builder().memory().auth(Waking::default()).build().unwrap();
    let (_chat, at) = serve_chat(chat, Limits::new(), &Arc::new(())).await;
    Polling::open(&at, "ann").await;
}

#[tokio::test]
async fn who_cannot_be_let_in_in_time_loses_the_transport_without_a_word() {
    let chat = Chat::builder().memory().auth(Waking::default()).build().unwrap();
    let limits = Limits::new().with_connect_timeout(Duration::from_millis(200));
    let (_chat, at) = serve_chat(chat, limits, &Arc::new(())).await;
    let ann = Polling::handshake(&at, reqwest::Client::new(), "ann").await;
    // The first answer may be a ping's.
    let mut answers = Vec::new();
    loop {
        let answer = ann.http.get(&ann.url).send().await.unwrap();
        if answer.status() != 200 {
            break;
        }
        answers.push(answer.text().await.unwrap());
    }
    assert!(answers.iter().all(|answer| !answer.contains('4')), "{answers:?}");
}

#[tokio::test]
async fn who_comes_while_the_server_ends_is_sent_away_at_once_and_others_go_on() {
    let (chat, at) = serve(Limits::new()).await;
    let ann = Polling::open(&at, "ann").await;
    chat.drain(Duration::ZERO, Duration::from_secs(5)).await;
    let hello = reqwest::get(format!("{at}/socket.io/?EIO=4&transport=polling")).await.unwrap();
    assert_eq!((hello.status().as_u16(), &hello.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    assert_eq!(ann.http.post(&ann.url).body("3").send().await.unwrap().status(), 200);
}
