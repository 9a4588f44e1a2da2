//! What is counted is what the reference says is counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chat_gateway::{
    CODES,
    json::{CLOSE_CODES, decode},
};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use serde_json::json;

use crate::world::Server;

/// The table of the module's documentation: names, types and labels.
fn reference() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let text = include_str!("../../src/observe.rs");
    let rows = text.lines().filter(|line| line.starts_with("//! | [`chat_"));
    let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        (quoted(cells[1]).remove(0), (cells[2].to_owned(), quoted(cells[3]).into_iter().collect()))
    })
    .collect()
}

#[tokio::test]
async fn the_reference_names_every_metric_and_no_other() {
    // Of this thread, on which the test's server runs too.
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _local = metrics::set_default_local_recorder(&recorder);
    chat_gateway::observe::describe_metrics();
    let server = Server::start().await;
    let mut socket = server.joined("ann").await;
    socket.ask(json!({"type": "leave", "room": "nowhere"})).await;
    let mut source = server.source("ann", "rooms=general", "").await;
    source.next_of("joined").await;
    server.say("1").await;
    server.chat.drain(Duration::ZERO, Duration::from_secs(5)).await;
    socket.closing().await;
    source.closing().await;

    let mut emitted: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for (key, unit, description, value) in snapshotter.snapshot().into_vec() {
        let (_, key) = key.into_parts();
        assert!(unit.is_some() && description.is_some(), "{} is described", key.name());
        let kind = match value {
            DebugValue::Counter(_) => "counter",
            DebugValue::Gauge(_) => "gauge",
            DebugValue::Histogram(_) => "histogram",
        };
        let (_, labels) =
            emitted.entry(key.name().to_owned()).or_insert_with(|| (kind.to_owned(), BTreeSet::new()));
        for label in key.labels() {
            labels.insert(label.key().to_owned());
            // Few values, none of which a client chooses.
            let known = match label.key() {
                "transport" => matches!(label.value(), "websocket" | "sse"),
                "type" => !matches!(
                    decode(&json!({"type": label.value()}).to_string()),
                    Err(error) if error.kind.code() == "unknown_command"
                ),
                "code" => {
                    CODES.iter().any(|(code, ..)| *code == label.value())
                        || CLOSE_CODES.iter().any(|(code, _)| *code == label.value())
                }
                _ => false,
            };
            assert!(known, "{} {label:?}", key.name());
        }
    }
    assert_eq!(emitted, reference());
}

#[tokio::test]
async fn each_transport_is_counted_while_it_is_there() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _local = metrics::set_default_local_recorder(&recorder);
    let server = Server::start().await;
    // A snapshot tells what has changed since the last one.
    let mut open: BTreeMap<String, f64> = BTreeMap::new();
    let mut open = || {
        for (key, _, _, value) in snapshotter.snapshot().into_vec() {
            let (_, key) = key.into_parts();
            if let ("chat_gateway_connections", DebugValue::Gauge(value)) = (key.name(), value) {
                let transport = key.labels().map(|label| label.value().to_owned()).collect::<String>();
                *open.entry(transport).or_default() += value.into_inner();
            }
        }
        open.clone()
    };
    let counts = |websocket: f64, sse: f64| {
        BTreeMap::from([("websocket".to_owned(), websocket), ("sse".to_owned(), sse)])
    };
    let socket = server.joined("ann").await;
    let mut source = server.source("ann", "rooms=general", "").await;
    source.next_of("joined").await;
    let mut second = server.source("bob", "rooms=general", "").await;
    second.next_of("joined").await;
    assert_eq!(open(), counts(1.0, 2.0));
    drop((socket, source));
    for _ in 0..500 {
        if open() == counts(0.0, 1.0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", open());
}
