//! What the server has to do while it is looked at.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chat_load::{
    places,
    plan::{Plan, Rate},
    protocol::Protocol,
    run,
    storm::{self, Storm},
};
use chat_test_services::{Database, Postgres};

use crate::{
    fan_out::tokens,
    program::{Programs, Server},
};

/// One of the paths.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// For files.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) done: &'static str,
    /// What is different while allocations are counted, which takes time.
    pub(super) counted: &'static str,
    pub(super) unit: &'static str,
    connections: usize,
    rooms: usize,
    path: Path,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    Broadcast,
    Append,
    CatchUp,
}

/// Bytes of a text.
const SIZE: usize = 200;
/// Messages a second to rooms of a hundred.
const BROADCAST: f64 = 1_000.0;
/// Messages a second while allocations are counted, which takes time.
const COUNTED: f64 = 200.0;
/// Messages that those who come back have missed; of which a server keeps fewer in memory.
const MISSED: usize = 800;
/// How often they do while samples are taken: to come back takes no more than seconds.
const STORMS: usize = 3;
/// Messages missed in the shorter of the runs whose allocations are counted.
const MISSED_COUNTED: usize = 50;
/// Of the connections, while it is counted what is not done for each of them.
const FEW: usize = 10;

pub(super) fn all() -> [Load; 3] {
    [
        Load {
            name: "broadcast",
            title: "broadcast",
            done: "1,000 connections in 10 rooms, 1,000 messages a second, log in memory",
            counted: "200 messages a second",
            unit: "delivery",
            connections: 1_000,
            rooms: 10,
            path: Path::Broadcast,
        },
        Load {
            name: "append",
            title: "append",
            done: "64 rooms of two on PostgreSQL; one of each sends, the next message when the last one was answered",
            counted: "",
            unit: "send",
            connections: 128,
            rooms: 64,
            path: Path::Append,
        },
        Load {
            name: "catch-up",
            title: "catch-up",
            done: "2,000 connections break off and come back at once, each having missed 800 messages of 10 rooms, log in memory",
            counted: "50 and 200 messages missed, which the rooms have in memory, by all connections and by a tenth of them, so that neither connecting nor sending counts",
            unit: "message caught up",
            connections: 2_010,
            rooms: 10,
            path: Path::CatchUp,
        },
    ]
}

/// A server, and what it keeps things in.
pub(super) struct Running {
    pub(super) server: Server,
    _database: Option<Database>,
}

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Extent {
    /// As much as is needed to see where time goes.
    Sampled,
    /// So many times the least that can be counted, in a load that is so large.
    Counted(u32, Size),
}

/// How many take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    Whole,
    Tenth,
}

impl Load {
    /// Whether more is done than its units, and that not for each connection.
    pub(super) fn has_more_than_units(&self) -> bool {
        self.path == Path::CatchUp
    }

    /// `with` is what its program is started with besides.
    pub(super) async fn start(
        &self,
        programs: &Programs,
        with: &[(&str, &std::ffi::OsStr)],
    ) -> Result<Running> {
        let mut command = programs.ours("chat-load-server");
        let (connections, rooms) = (self.connections.to_string(), self.rooms.to_string());
        command.args(["chat", "--connections", &connections, "--rooms", &rooms]);
        command.envs(with.iter().copied());
        let mut database = None;
        if self.path == Path::Append {
            let empty = Postgres::shared().await?.database().await?;
            command.env("DATABASE_URL", empty.url());
            database = Some(empty);
        }
        Ok(Running { server: Server::listening(self.title, command)?, _database: database })
    }

    /// Does it, and answers how many units that were.
    pub(super) async fn run(&self, server: &Server, extent: Extent) -> Result<f64> {
        let url = format!("ws://{}/chat/ws", server.address);
        if self.path == Path::CatchUp {
            let (missed, storms, connections) = match extent {
                Extent::Sampled => (MISSED, STORMS, self.connections),
                Extent::Counted(times, Size::Whole) => (MISSED_COUNTED * times as usize, 1, self.connections),
                Extent::Counted(times, Size::Tenth) => {
                    (MISSED_COUNTED * times as usize, 1, self.connections / FEW)
                }
            };
            let mut units = 0.0;
            for _ in 0..storms {
                units += self.storm(url.clone(), connections, missed).await?;
            }
            return Ok(units);
        }
        let places = places::numbered(self.connections, self.rooms)?;
        let (duration, most) = match extent {
            Extent::Sampled => (Duration::from_secs(15), BROADCAST),
            Extent::Counted(times, _) => (Duration::from_secs(2) * times, COUNTED),
        };
        let rate = match self.path {
            Path::Append => Rate::Answered { in_flight: 1 },
            _ => Rate::PerSecond(most),
        };
        let plan = Plan {
            protocol: Protocol::Json,
            servers: vec![url],
            places,
            senders_per_room: 1,
            rate,
            size: SIZE,
            warm_up: Duration::ZERO,
            duration,
            settle: Duration::from_secs(1),
            patience: Duration::from_secs(60),
            threads: 1,
            pids: server.pids(),
            progress: false,
        };
        let report = run::run(plan, tokens()?).await?;
        ensure!(report.refused == 0 && report.unanswered == 0, "something was not answered well:\n{report}");
        let faults = report.faults;
        ensure!(faults.lost + faults.repeated + faults.disordered == 0, "something was lost:\n{report}");
        let each = if self.path == Path::Broadcast { self.connections / self.rooms } else { 1 };
        Ok((report.messages * each) as f64)
    }

    async fn storm(&self, server: String, connections: usize, missed: usize) -> Result<f64> {
        let places = places::numbered(connections, self.rooms)?;
        // All but the one that sends.
        let away_per_room = connections / self.rooms - 1;
        let storm = Storm {
            protocol: Protocol::Json,
            server,
            places,
            away_per_room,
            missed,
            size: SIZE,
            settle: Duration::from_secs(1),
            patience: Duration::from_secs(120),
            pids: Vec::new(),
            metrics: None,
        };
        let outcome = storm::run(&storm, &tokens()?).await?;
        ensure!(outcome.is_flawless(), "something was lost:\n{outcome}");
        let messages = u32::try_from(outcome.complete * missed).context("too many messages")?;
        Ok(f64::from(messages))
    }
}
