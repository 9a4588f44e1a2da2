//! What the benchmarks of whole systems share: requests that open rooms, and a comparison of two servers in turns.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context as _, Result, ensure};
use chat_load::{
    http,
    places::{Place, Tokens},
    plan::{Plan, Rate},
    protocol::{Dialect, Protocol},
    report::Report,
    run,
};
use serde_json::{Map, Value, json};

use crate::{
    Extent, SECRET,
    document::{Section, count, median, times},
    program::Server,
};

/// Rooms of two people each, one of whom sends.
pub(crate) const PAIRS: usize = 64;

/// A system, running.
pub(crate) struct System {
    pub(crate) gives: &'static str,
    /// The one that clients connect to is the first.
    pub(crate) servers: Vec<Server>,
    pub(crate) places: Vec<Place>,
    /// Keeps what the servers use until they have ended.
    pub(crate) _stores: Box<dyn std::any::Any>,
}

/// Tokens with these claims besides the user's.
pub(crate) fn tokens(claims: Value) -> Result<Tokens> {
    let claims: Map<String, Value> = serde_json::from_value(claims)?;
    Tokens::new(SECRET, claims)
}

/// One request as a user, and the field of its answer.
pub(crate) async fn post(server: &Server, token: &str, path: &str, body: Value) -> Result<Value> {
    let (status, answer) =
        http::post(&format!("http://{}{path}", server.address), Some(token), &body.to_string()).await?;
    ensure!((200..300).contains(&status), "POST {path}: {status} {answer}");
    Ok(serde_json::from_str(&answer).unwrap_or(json!(null)))
}

/// What came of a system: as fast as answered, and at a rate that all of them can keep up with.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    gives: &'static str,
    busy: Vec<Report>,
    steady: Vec<Report>,
}

/// Puts load on each system in turns. `steady` is the rate of the second part.
pub(crate) async fn compare<S>(
    extent: Extent,
    dialect: &str,
    claims: &Value,
    steady: f64,
    names: &[&'static str],
    start: S,
) -> Result<Vec<Outcome>>
where
    S: AsyncFn(&'static str) -> Result<System>,
{
    let dialect = Dialect::named(dialect).context("no such dialect")?;
    let mut all: Vec<Outcome> = Vec::new();
    for _ in 0..extent.rounds {
        for &name in names {
            let system = start(name).await.with_context(|| name)?;
            let busy = Plan {
                protocol: Protocol::SocketIo(Box::new(dialect.clone())),
                servers: vec![format!("ws://{}", system.servers[0].address)],
                places: system.places.clone(),
                senders_per_room: 1,
                rate: Rate::Answered { in_flight: 1 },
                size: 200,
                warm_up: Duration::from_secs(3),
                duration: Duration::from_secs(extent.seconds),
                settle: Duration::from_secs(1),
                patience: Duration::from_secs(30),
                threads: 1,
                pids: system.servers.iter().flat_map(Server::pids).collect(),
                progress: false,
            };
            let fixed = Plan { rate: Rate::PerSecond(steady), ..busy.clone() };
            let busy = run::run(busy, tokens(claims.clone())?).await.with_context(|| name)?;
            eprintln!("{name}:\n{busy}");
            let fixed = run::run(fixed, tokens(claims.clone())?).await.with_context(|| name)?;
            eprintln!("{name}:\n{fixed}");
            match all.iter_mut().find(|outcome| outcome.name == name) {
                Some(outcome) => {
                    outcome.busy.push(busy);
                    outcome.steady.push(fixed);
                }
                None => {
                    all.push(Outcome { name, gives: system.gives, busy: vec![busy], steady: vec![fixed] })
                }
            }
        }
    }
    Ok(all)
}

/// The table: the first one is ours.
pub(crate) fn section(title: &str, done: &str, all: &[Outcome], answer: &str) -> Section {
    let of = |value: fn(&Report) -> f64, reports: &[Report]| median(reports.iter().map(value).collect());
    let rate = |outcome: &Outcome| of(|report| report.taken_per_second, &outcome.busy);
    let ours = all.first().map_or(f64::NAN, rate);
    let rows = all.iter().map(|outcome| {
        let latency = |p50: fn(&Report) -> f64, p99: fn(&Report) -> f64, reports| {
            format!("{:.1} / {:.1}", of(p50, reports), of(p99, reports))
        };
        vec![
            outcome.name.to_owned(),
            outcome.gives.to_owned(),
            count(rate(outcome)),
            times(ours / rate(outcome)),
            latency(|r| r.answer.p50, |r| r.answer.p99, &outcome.busy),
            latency(|r| r.answer.p50, |r| r.answer.p99, &outcome.steady),
            latency(|r| r.delivery.p50, |r| r.delivery.p99, &outcome.steady),
        ]
    });
    let mut notes = Vec::new();
    for outcome in all {
        let mut wrong = String::new();
        for report in outcome.busy.iter().chain(&outcome.steady).filter(|report| !report.is_flawless()) {
            let f = report.faults;
            let _ = write!(
                wrong,
                " {} lost, {} repeated, {} out of order, {} refused, {} unanswered;",
                f.lost, f.repeated, f.disordered, report.refused, report.unanswered
            );
        }
        if !wrong.is_empty() {
            notes.push(format!("{}:{wrong}", outcome.name));
        }
    }
    let head = [
        "server",
        "gives",
        "sends /s, as fast as answered",
        "ratio",
        "answer, ms",
        "answer at the fixed rate, ms",
        "delivery at the fixed rate, ms",
    ];
    Section {
        title: title.into(),
        done: format!(
            "{done} {PAIRS} rooms of two; one of each sends, the next message when the last one was answered ({answer}); then at a fixed rate, evenly, latencies from when a message was meant to be sent: p50 / p99."
        ),
        head: head.map(str::to_owned).to_vec(),
        rows: rows.collect(),
        notes,
        in_rounds: true,
        ..Section::default()
    }
}
