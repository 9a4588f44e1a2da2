//! Idle connections, and many that come back at once.

use std::time::Duration;

use anyhow::{Context as _, Result};
use chat_load::{
    places,
    protocol::Protocol,
    storm::{self, Outcome, Storm},
};

use crate::{
    Extent,
    document::{Section, count, times},
    fan_out::{Rival, rivals, tokens},
    program::{Programs, Server},
};

const CONNECTIONS: usize = 10_000;
const ROOMS: usize = 100;
const AWAY: usize = 1_000;
const MISSED: usize = 100;

pub(crate) async fn run(programs: &Programs, _: Extent) -> Result<Section> {
    let mut all = Vec::new();
    for rival in rivals()?.into_iter().filter(|rival| keeps_positions(&rival.protocol)) {
        let Some(mut command) = (rival.command)(programs, CONNECTIONS, ROOMS) else { continue };
        let ours = matches!(rival.protocol, Protocol::Json);
        if ours {
            command.arg("--metrics");
        }
        let server = Server::listening(rival.name, command)?;
        let outcome = one(&rival, &server, ours).await.with_context(|| rival.name)?;
        eprintln!("{}:\n{outcome}", rival.name);
        all.push((rival.name, outcome));
    }
    Ok(section(&all))
}

const fn keeps_positions(protocol: &Protocol) -> bool {
    matches!(protocol, Protocol::Json | Protocol::Centrifugo { .. })
}

async fn one(rival: &Rival, server: &Server, counts_reads: bool) -> Result<Outcome> {
    let storm = Storm {
        protocol: rival.protocol.clone(),
        server: format!("ws://{}{}", server.address, rival.path),
        places: places::numbered(CONNECTIONS, ROOMS)?,
        away_per_room: AWAY / ROOMS,
        missed: MISSED,
        size: 200,
        settle: Duration::from_secs(3),
        patience: Duration::from_secs(60),
        pids: server.pids(),
        metrics: counts_reads.then(|| format!("http://{}/chat/metrics", server.address)),
    };
    storm::run(&storm, &tokens()?).await
}

fn section(all: &[(&str, Outcome)]) -> Section {
    let memory = |outcome: &Outcome| outcome.memory_per_connection.unwrap_or(f64::NAN) / 1_024.0;
    let ours = all.first().map_or(f64::NAN, |(_, outcome)| memory(outcome));
    let rows = all.iter().map(|(name, outcome)| {
        vec![
            (*name).to_owned(),
            format!("{:.1} KiB", memory(outcome)),
            times(ours / memory(outcome)),
            format!("{} of {}", count(outcome.complete as f64), count(outcome.returned as f64)),
            format!("{:.0} / {:.0} ms", outcome.caught_up.p50, outcome.caught_up.max),
            format!("{} / {} / {}", outcome.faults.lost, outcome.faults.repeated, outcome.faults.disordered),
            outcome.reads_per_room.map_or("-".to_owned(), |reads| format!("{reads:.2}")),
        ]
    });
    let head = [
        "server",
        "memory of an idle connection",
        "ratio",
        "caught up",
        "half of them / the last",
        "lost / repeated / out of order",
        "pages read of the log for each room",
    ];
    Section {
        title: "Idle connections, and many that come back at once".into(),
        done: format!(
            "{} connections in {ROOMS} rooms do nothing; memory is the server's, with all of them less before the first, for each. Then {} break off, {MISSED} \
             messages are sent in each room, and those come back all at once with their positions: until each had all {MISSED}.",
            count(CONNECTIONS as f64),
            count(AWAY as f64)
        ),
        head: head.map(str::to_owned).to_vec(),
        rows: rows.collect(),
        notes: vec!["Buffers that the kernel keeps for a connection are in none of the figures; they are the same for all.".into()],
        ..Section::default()
    }
}
