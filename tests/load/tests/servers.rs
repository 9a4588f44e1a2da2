//! The load against its own servers: every message is counted once for each connection, whatever the protocol.
#![allow(
    clippy::unwrap_used,
    clippy::future_not_send,
    reason = "a test says why by panicking, and stays on its thread"
)]

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use chat_core::Settings;
use chat_load::{
    places::{self, Tokens},
    plan::{Plan, Rate},
    protocol::{Dialect, Protocol},
    run,
    storm::{self, Storm},
};
use serde_json::Map;
use tokio::task::LocalSet;

const SECRET: &str = "a secret of the load's own tests, long enough";
const CONNECTIONS: usize = 12;
const ROOMS: usize = 3;

struct Server(Child, String);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn server(arguments: &[&str]) -> Server {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat-load-server"));
    command.args(arguments).env("CHAT_SECRET", SECRET).env_remove("DATABASE_URL").stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").unwrap().to_owned();
    Server(child, address)
}

fn chat() -> Server {
    let (connections, rooms) = (CONNECTIONS.to_string(), ROOMS.to_string());
    server(&["chat", "--metrics", "--connections", &connections, "--rooms", &rooms])
}

fn plan(protocol: Protocol, url: String, pid: u32) -> Plan {
    Plan {
        protocol,
        servers: vec![url],
        places: places::numbered(CONNECTIONS, ROOMS).unwrap(),
        senders_per_room: 2,
        rate: Rate::PerSecond(60.0),
        size: 100,
        warm_up: Duration::from_millis(300),
        duration: Duration::from_secs(2),
        settle: Duration::from_millis(100),
        patience: Duration::from_secs(10),
        threads: 2,
        pids: vec![pid],
        progress: false,
    }
}

fn tokens() -> Tokens {
    Tokens::new(SECRET, Map::new()).unwrap()
}

async fn everything_comes_once(protocol: Protocol, server: &Server, path: &str) {
    let Server(child, address) = server;
    let plan = plan(protocol, format!("ws://{address}{path}"), child.id());
    let report = run::run(plan, tokens()).await.unwrap();
    assert!(report.is_flawless(), "{report}");
    // 0.3 s and 2 s of 60 a second.
    assert_eq!(report.messages, 138, "{report}");
    assert_eq!(report.answer_times.len(), 120, "{report}");
    let each = (CONNECTIONS / ROOMS) as u64;
    assert_eq!(report.times.len(), report.answer_times.len() * each, "{report}");
    assert!(report.server.unwrap().memory_idle > 0);
}

#[tokio::test]
async fn this_librarys_protocol() {
    everything_comes_once(Protocol::Json, &chat(), "/chat/ws").await;
}

#[tokio::test]
async fn socket_io() {
    let dialect = Dialect::named("plain").unwrap();
    everything_comes_once(Protocol::SocketIo(Box::new(dialect)), &chat(), "").await;
}

#[tokio::test]
async fn a_bare_server() {
    everything_comes_once(Protocol::Bare, &server(&["bare"]), "").await;
}

#[tokio::test]
async fn as_fast_as_answered() {
    let server = chat();
    let mut plan = plan(Protocol::Json, format!("ws://{}/chat/ws", server.1), server.0.id());
    plan.rate = Rate::Answered { in_flight: 2 };
    let report = run::run(plan, tokens()).await.unwrap();
    assert!(report.is_flawless(), "{report}");
    assert!(report.messages > 138, "{report}");
}

#[tokio::test]
async fn who_is_not_let_in_is_named() {
    let server = chat();
    let plan = plan(Protocol::Json, format!("ws://{}/chat/ws", server.1), server.0.id());
    let other = Tokens::new("another secret, which is long enough too", Map::new()).unwrap();
    let error = format!("{:#}", run::run(plan, other).await.unwrap_err());
    assert!(error.contains("user-") && error.contains("unauthenticated"), "{error}");
}

#[tokio::test]
async fn those_that_come_back_get_what_they_missed() {
    // What the server has at hand, and more than that.
    for (missed, least_reads) in [(40, 0.0), (Settings::ROOM_BUFFER_ENTRIES + 40, 1.0)] {
        let outcome = storm(missed).await;
        assert_eq!((outcome.returned, outcome.complete), (6, 6), "{outcome}");
        assert!(outcome.is_flawless(), "{outcome}");
        let reads = outcome.reads_per_room.unwrap();
        assert!((least_reads..=3.0).contains(&reads), "{outcome}");
    }
}

async fn storm(missed: usize) -> storm::Outcome {
    let server = chat();
    let storm = Storm {
        protocol: Protocol::Json,
        server: format!("ws://{}/chat/ws", server.1),
        places: places::numbered(CONNECTIONS, ROOMS).unwrap(),
        away_per_room: 2,
        missed,
        size: 100,
        settle: Duration::from_millis(100),
        patience: Duration::from_secs(10),
        pids: vec![server.0.id()],
        metrics: Some(format!("http://{}/chat/metrics", server.1)),
    };
    LocalSet::new().run_until(storm::run(&storm, &tokens())).await.unwrap()
}
