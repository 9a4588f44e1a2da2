//! What the server has to do while it is looked at.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chat_load::{
    places::{self, Place},
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
/// Messages that those who come back have missed.
const MISSED: usize = 200;

pub(super) fn all() -> [Load; 3] {
    [
        Load {
            name: "broadcast",
            title: "broadcast",
            done: "1,000 connections in 10 rooms, 1,000 messages a second, log in memory",
            unit: "delivery",
            connections: 1_000,
            rooms: 10,
            path: Path::Broadcast,
        },
        Load {
            name: "append",
            title: "append",
            done: "64 rooms of two on PostgreSQL; one of each sends, the next message when the last one was answered",
            unit: "send",
            connections: 128,
            rooms: 64,
            path: Path::Append,
        },
        Load {
            name: "catch-up",
            title: "catch-up",
            done: "2,000 connections break off and come back at once, each having missed 200 messages of 10 rooms, log in memory",
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
    /// So many times the least that can be counted.
    Counted(u32),
}

impl Load {
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
        let places = places::numbered(self.connections, self.rooms)?;
        if self.path == Path::CatchUp {
            let missed = match extent {
                Extent::Sampled => MISSED,
                Extent::Counted(times) => 50 * times as usize,
            };
            return self.storm(url, places, missed).await;
        }
        let (duration, most) = match extent {
            Extent::Sampled => (Duration::from_secs(15), None),
            Extent::Counted(times) => (Duration::from_secs(2) * times, Some(COUNTED)),
        };
        let rate = match self.path {
            Path::Append if most.is_none() => Rate::Answered { in_flight: 1 },
            _ => Rate::PerSecond(most.unwrap_or(BROADCAST)),
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

    async fn storm(&self, server: String, places: Vec<Place>, missed: usize) -> Result<f64> {
        // All but the one that sends.
        let away_per_room = self.connections / self.rooms - 1;
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
