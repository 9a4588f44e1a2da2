//! WebSocket fan-out: what a processor second delivers.

use std::time::Duration;

use anyhow::{Context as _, Result};
use chat_load::{
    places::{self, Tokens},
    plan::{Plan, Rate},
    protocol::{Dialect, Protocol},
    report::Report,
    run,
};
use serde_json::Map;

use crate::{
    Extent, SECRET,
    document::{Section, count, median, times},
    program::{Programs, Server},
};

pub(crate) const CONNECTIONS: usize = 1_000;
pub(crate) const ROOMS: usize = 10;
/// Connections of each room that send where they do so as fast as they are answered, and how much each has under way.
const BUSY: (usize, usize) = (10, 2);
/// Messages a second where the rate is fixed.
const STEADY: f64 = 1_000.0;

/// A server that can be compared.
pub(crate) struct Rival {
    pub(crate) name: &'static str,
    /// What it does besides passing messages on, and what not.
    pub(crate) gives: &'static str,
    pub(crate) protocol: Protocol,
    pub(crate) path: &'static str,
    pub(crate) command: fn(&Programs, usize, usize) -> Option<std::process::Command>,
}

/// This library's JSON protocol is the first, the bare server the second.
pub(crate) fn rivals() -> Result<Vec<Rival>> {
    let plain = || Dialect::named("plain").map(Box::new).context("dialect plain");
    let namespace = || Protocol::Centrifugo { namespace: "room:".into() };
    Ok(vec![
        Rival {
            name: "this library, JSON",
            gives: "order, dedup, exact resume; log in memory",
            protocol: Protocol::Json,
            path: "/chat/ws",
            command: |programs, connections, rooms| Some(ours(programs, connections, rooms)),
        },
        Rival {
            name: "bare WebSocket",
            gives: "nothing: axum and a broadcast channel",
            protocol: Protocol::Bare,
            path: "",
            command: |programs, _, _| {
                let mut command = programs.ours("chat-load-server");
                command.arg("bare");
                Some(command)
            },
        },
        Rival {
            name: "Centrifugo",
            gives: "recovery from its history in memory; no dedup",
            protocol: namespace(),
            path: "/connection/websocket",
            command: |programs, _, _| programs.centrifugo(),
        },
        Rival {
            name: "Centrifuge library",
            gives: "as Centrifugo, which is made of it",
            protocol: namespace(),
            path: "/connection/websocket",
            command: |programs, _, _| programs.centrifuge(),
        },
        Rival {
            name: "this library, Socket.IO",
            gives: "order, dedup; log in memory",
            protocol: Protocol::SocketIo(plain()?),
            path: "",
            command: |programs, connections, rooms| Some(ours(programs, connections, rooms)),
        },
        Rival {
            name: "Socket.IO",
            gives: "no log, no dedup, no resume",
            protocol: Protocol::SocketIo(plain()?),
            path: "",
            command: |programs, _, _| Some(programs.node("socketio/server.mjs")),
        },
    ])
}

fn ours(programs: &Programs, connections: usize, rooms: usize) -> std::process::Command {
    let mut command = programs.ours("chat-load-server");
    command.args(["chat", "--connections", &connections.to_string(), "--rooms", &rooms.to_string()]);
    command
}

pub(crate) fn tokens() -> Result<Tokens> {
    Tokens::new(SECRET, Map::new())
}

/// A plan that differs by server and rate alone.
pub(crate) fn plan(rival: &Rival, server: &Server, extent: Extent) -> Result<Plan> {
    Ok(Plan {
        protocol: rival.protocol.clone(),
        servers: vec![format!("ws://{}{}", server.address, rival.path)],
        places: places::numbered(CONNECTIONS, ROOMS)?,
        senders_per_room: BUSY.0,
        rate: Rate::Answered { in_flight: BUSY.1 },
        size: 200,
        warm_up: Duration::from_secs(2),
        duration: Duration::from_secs(extent.seconds),
        settle: Duration::from_secs(1),
        patience: Duration::from_secs(20),
        threads: 1,
        pids: server.pids(),
        progress: false,
    })
}

struct Measured {
    name: &'static str,
    gives: &'static str,
    busy: Vec<Report>,
    steady: Vec<Report>,
}

pub(crate) async fn run(programs: &Programs, extent: Extent) -> Result<Section> {
    let rivals = rivals()?;
    let mut all: Vec<Measured> = Vec::new();
    let mut left_out = Vec::new();
    for _ in 0..extent.rounds {
        for rival in &rivals {
            let Some(command) = (rival.command)(programs, CONNECTIONS, ROOMS) else {
                if !left_out.contains(&rival.name) {
                    left_out.push(rival.name);
                }
                continue;
            };
            let server = Server::listening(rival.name, command)?;
            let busy = plan(rival, &server, extent)?;
            let steady = Plan { senders_per_room: 1, rate: Rate::PerSecond(STEADY), ..busy.clone() };
            let busy = run::run(busy, tokens()?).await.with_context(|| rival.name)?;
            eprintln!("{}:\n{busy}", rival.name);
            let steady = run::run(steady, tokens()?).await.with_context(|| rival.name)?;
            eprintln!("{}:\n{steady}", rival.name);
            match all.iter_mut().find(|measured| measured.name == rival.name) {
                Some(measured) => {
                    measured.busy.push(busy);
                    measured.steady.push(steady);
                }
                None => all.push(Measured {
                    name: rival.name,
                    gives: rival.gives,
                    busy: vec![busy],
                    steady: vec![steady],
                }),
            }
        }
    }
    Ok(section(&all, &left_out))
}

fn per_processor_second(reports: &[Report]) -> f64 {
    let each = reports.iter().filter_map(|report| report.server.as_ref());
    median(each.map(|server| server.deliveries_per_processor_second).collect())
}

fn section(all: &[Measured], left_out: &[&str]) -> Section {
    let words = |text: &[&str]| text.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let first =
        |of: fn(&Measured) -> &[Report]| all.first().map_or(f64::NAN, |ours| per_processor_second(of(ours)));
    let (busy, steady) = (first(|measured| &measured.busy), first(|measured| &measured.steady));
    let rows = all.iter().map(|measured| {
        let of = |value: fn(&Report) -> f64, reports: &[Report]| median(reports.iter().map(value).collect());
        let (b, s) = (per_processor_second(&measured.busy), per_processor_second(&measured.steady));
        vec![
            measured.name.to_owned(),
            measured.gives.to_owned(),
            count(of(|report| report.delivered_per_second, &measured.busy)),
            count(b),
            times(busy / b),
            count(s),
            times(steady / s),
            format!(
                "{:.1} / {:.1}",
                of(|r| r.delivery.p50, &measured.steady),
                of(|r| r.delivery.p99, &measured.steady)
            ),
        ]
    });
    let faults: Vec<String> = all
        .iter()
        .flat_map(|measured| {
            measured.busy.iter().chain(&measured.steady).map(move |report| (measured.name, report))
        })
        .filter(|(_, report)| !report.is_flawless())
        .map(|(name, report)| {
            let f = report.faults;
            format!(
                "{name}: {} lost, {} repeated, {} out of order, {} refused, {} unanswered",
                f.lost, f.repeated, f.disordered, report.refused, report.unanswered
            )
        })
        .collect();
    let mut notes = vec![
        "A ratio is this library's figure over the other's: above 1, this library delivers more for the same processor time.".to_owned(),
        "At a fixed rate each delivery is a call of the system of its own, on every server: most of what it costs is the kernel's.".to_owned(),
    ];
    notes.extend(left_out.iter().map(|name| format!("Left out: {name}, which was not there.")));
    notes.extend(faults);
    Section {
        title: "WebSocket fan-out".into(),
        done: format!(
            "{CONNECTIONS} connections in {ROOMS} rooms, texts of 200 bytes. First {} connections of each room send as fast as they are answered, {} messages \
             of each under way; then {STEADY} messages a second, evenly, which are {} deliveries. Deliveries for each second of processor time of the server, and p50 / p99 from when a message was meant to be sent.",
            BUSY.0,
            BUSY.1,
            count(STEADY * (CONNECTIONS / ROOMS) as f64)
        ),
        head: words(&[
            "server",
            "gives",
            "as fast as answered: deliveries /s",
            "for each CPU-second",
            "ratio",
            "fixed rate: for each CPU-second",
            "ratio",
            "ms",
        ]),
        rows: rows.collect(),
        notes,
        in_rounds: true,
        ..Section::default()
    }
}
