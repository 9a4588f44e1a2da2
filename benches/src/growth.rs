//! What more rooms cost, with the same connections and the same sends.

use std::time::Duration;

use anyhow::{Context as _, Result};
use chat_load::{
    chart::{self, Labels},
    places,
    plan::{Plan, Rate},
    protocol::Protocol,
    run,
};

use crate::{
    Extent,
    document::{Document, Section, count},
    fan_out::tokens,
    program::{Programs, Server},
};

const CONNECTIONS: usize = 10_000;
const ROOMS: [usize; 4] = [10, 100, 1_000, 10_000];
const SENDS: f64 = 50.0;

pub(crate) async fn run(programs: &Programs, extent: Extent, document: &Document) -> Result<Section> {
    let (mut rows, mut answers, mut deliveries) = (Vec::new(), Vec::new(), Vec::new());
    for rooms in ROOMS {
        let mut command = programs.ours("chat-load-server");
        command.args(["chat", "--connections", &CONNECTIONS.to_string(), "--rooms", &rooms.to_string()]);
        let server = Server::listening("chat-load-server", command)?;
        let plan = Plan {
            protocol: Protocol::Json,
            servers: vec![format!("ws://{}/chat/ws", server.address)],
            places: places::numbered(CONNECTIONS, rooms)?,
            senders_per_room: 1,
            rate: Rate::PerSecond(SENDS),
            size: 200,
            warm_up: Duration::from_secs(2),
            duration: Duration::from_secs(extent.seconds),
            settle: Duration::from_secs(2),
            patience: Duration::from_secs(30),
            threads: 1,
            pids: server.pids(),
            progress: false,
        };
        let report = run::run(plan, tokens()?).await.with_context(|| format!("{rooms} rooms"))?;
        eprintln!("{rooms} rooms:\n{report}");
        let used = report.server.as_ref().context("no figures of the server")?;
        let each = CONNECTIONS / rooms;
        let per_send = used.processor * 1e6 / (report.taken_per_second * report.duration).max(1.0);
        rows.push(vec![
            count(rooms as f64),
            count(each as f64),
            format!("{:.2} / {:.2}", report.answer.p50, report.answer.p99),
            format!("{:.2} / {:.2}", report.delivery.p50, report.delivery.p99),
            count(per_send),
            format!("{:.2}", per_send / each as f64),
            format!("{:.1}", used.memory_per_connection / 1_024.0),
        ]);
        answers.push((rooms as f64, report.answer.p50));
        deliveries.push((rooms as f64, report.delivery.p50));
    }
    let mut charts = Vec::new();
    if let Some((folder, name)) = document.charts()? {
        let labels = Labels {
            title: "10,000 connections in more and more rooms, p50",
            x: "rooms",
            y: "milliseconds",
            logarithmic: true,
        };
        chart::lines(
            &folder.join("growth-rooms.svg"),
            labels,
            &[("answer".into(), answers), ("delivery".into(), deliveries)],
        )?;
        charts.push((format!("{name}/growth-rooms.svg"), "latency by the number of rooms".to_owned()));
    }
    let head = [
        "rooms",
        "connections of each",
        "answer, ms",
        "delivery, ms",
        "µs of the processor for a send",
        "for a delivery",
        "KiB for a connection",
    ];
    Ok(Section {
        title: "Growth: rooms".into(),
        done: format!(
            "{} connections, {SENDS} messages a second over all rooms, log in memory. p50 / p99 from when a message was meant to be sent.",
            count(CONNECTIONS as f64)
        ),
        head: head.map(str::to_owned).to_vec(),
        rows,
        charts,
        notes: vec!["A send costs what its room has connections; the number of rooms does not show.".into()],
        ..Section::default()
    })
}
