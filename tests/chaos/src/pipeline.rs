//! A pipeline: two gateways and what stands behind them, a few rooms, and the clients in them.

mod group;
mod quickstart;
mod shop;
mod study;

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use chat_core::{
    RoomId, UserId,
    auth::{JwtClaims, JwtSigner},
};
use chat_test_services::Database;
use clap::ValueEnum;
use futures::future::try_join_all;

use crate::{
    client::{Client, Person, Protocol, Role},
    cluster::{Cluster, Ground, Service},
    node,
};

/// For everything that is to come true before faults begin.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a client writes, on average.
const PACE: Duration = Duration::from_millis(700);
/// Tokens outlive a run.
const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Which way messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Kind {
    /// PostgreSQL, then Redis: axum-quickstart, the JSON protocol
    WriteThrough,
    /// PostgreSQL alone: axum-shop, Socket.IO
    Shop,
    /// PostgreSQL, then Redis: axum-study, STOMP over WebSocket and SockJS
    Study,
    /// Kafka, workers, PostgreSQL: axum-group, Socket.IO
    Queued,
    /// Redis, then PostgreSQL: axum-quickstart with its hot log, the JSON protocol
    HotLog,
}

impl Kind {
    /// As the command line and reports name it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::WriteThrough => "write-through",
            Self::Shop => "shop",
            Self::Study => "study",
            Self::Queued => "queued",
            Self::HotLog => "hot-log",
        }
    }

    /// Its processes, and what they stand on.
    const fn servers(self) -> &'static str {
        match self {
            Self::WriteThrough => "2 × axum-quickstart; PostgreSQL, Redis",
            Self::Shop => "2 × axum-shop; PostgreSQL",
            Self::Study => "2 × axum-study; PostgreSQL, Redis, Kafka (members)",
            Self::Queued => "2 × axum-group, 2 × its worker; Kafka, PostgreSQL, Redis",
            Self::HotLog => "2 × axum-quickstart with the hot log; Redis, PostgreSQL",
        }
    }

    /// What its clients speak: each of these has one, see [`are_spoken`].
    const fn protocols(self) -> &'static [Protocol] {
        match self {
            Self::WriteThrough | Self::HotLog => &[Protocol::Json, Protocol::Events],
            Self::Shop => &[Protocol::Shop],
            Self::Study => &[Protocol::Stomp, Protocol::StompOverSockJs],
            Self::Queued => &[Protocol::Group],
        }
    }

    /// For people.
    pub(crate) fn what(self) -> String {
        let protocols: Vec<&str> = self.protocols().iter().map(|protocol| protocol.name()).collect();
        format!("{}; {}", self.servers(), protocols.join(", "))
    }

    pub(crate) const fn stands_on(self) -> &'static [Service] {
        match self {
            Self::WriteThrough => &[Service::Postgres, Service::Redis],
            Self::Shop => &[Service::Postgres],
            Self::Study | Self::Queued => &[Service::Postgres, Service::Redis, Service::Kafka],
            Self::HotLog => &[Service::Postgres, Service::HotRedis],
        }
    }
}

/// One of them, running.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) kind: Kind,
    pub(crate) database: Database,
    pub(crate) gateways: Vec<SocketAddr>,
    pub(crate) rooms: Vec<RoomId>,
    pub(crate) clients: Vec<Client>,
}

impl Pipeline {
    /// Starts its processes and its clients, and waits until all of them hear each other.
    pub(crate) async fn open(kind: Kind, cluster: &mut Cluster, dice: &mut fastrand::Rng) -> Result<Self> {
        let database = cluster.postgres.database().await?;
        let mut gateways = Vec::new();
        let first = cluster.nodes.len();
        for number in 1..=2 {
            let (port, ground) = (node::free_port()?, cluster.ground(kind, &database).await?);
            let spec = match kind {
                Kind::WriteThrough | Kind::HotLog => quickstart::gateway(kind, number, port, &ground)?,
                Kind::Shop => shop::gateway(number, port, &ground),
                Kind::Study => study::gateway(number, port, &ground)?,
                Kind::Queued => group::gateway(number, port, &ground)?,
            };
            let place = cluster.add(spec, ground, Some(port)).await?;
            gateways.extend(cluster.nodes[place].address());
        }
        if kind == Kind::Queued {
            for number in 1..=2 {
                let ground = cluster.ground(kind, &database).await?;
                let spec = group::worker(number, &ground)?;
                cluster.add(spec, ground, None).await?;
            }
        }
        try_join_all(cluster.nodes[first..].iter_mut().map(crate::node::Node::start)).await?;
        let (rooms, roles) = match kind {
            Kind::WriteThrough | Kind::HotLog => quickstart::people(&gateways).await?,
            Kind::Shop => shop::people(&gateways, &cluster.nodes[first]).await?,
            Kind::Study => study::people(&gateways).await?,
            Kind::Queued => group::people(&gateways).await?,
        };
        are_spoken(kind, roles.iter().map(|role| role.protocol))?;
        let clients: Vec<Client> = roles
            .into_iter()
            .map(|role| {
                let name = format!("{} {}", kind.name(), role.name);
                Client::start(Role { name, ..role }, &gateways, dice.u64(..))
            })
            .collect();
        let pipeline = Self { kind, database, gateways, rooms, clients };
        pipeline.begin().await.with_context(|| format!("{} does not begin", kind.name()))?;
        Ok(pipeline)
    }

    /// From this message on everybody has to be given everything.
    async fn begin(&self) -> Result<()> {
        for client in &self.clients {
            let rooms = client.role.rooms.len();
            client.until("joining", PATIENCE, |notes| notes.joined.len() == rooms).await?;
        }
        for room in &self.rooms {
            self.mark(room, 0, 0, PATIENCE).await?;
        }
        for client in &self.clients {
            client.write_every(Some(PACE));
        }
        Ok(())
    }

    /// Has somebody say something new in each room, and waits until all have heard it.
    pub(crate) async fn probe(&self, number: usize, within: Duration) -> Result<()> {
        try_join_all(self.rooms.iter().map(|room| self.mark(room, number, number, within))).await?;
        Ok(())
    }

    async fn mark(&self, room: &RoomId, number: usize, who: usize, within: Duration) -> Result<()> {
        let here: Vec<&Client> =
            self.clients.iter().filter(|client| client.role.rooms.contains(room)).collect();
        let place = self.rooms.iter().position(|known| known == room).unwrap_or_default();
        let writers: Vec<&Client> =
            here.iter().copied().filter(|client| client.role.protocol.writes()).collect();
        let mark = writers[who % writers.len()].say_mark(room, number * self.rooms.len() + place);
        let heard = here.iter().map(|client| {
            let mark = &mark;
            client.until("hearing what was said just now", within, move |notes| notes.marks.contains(mark))
        });
        try_join_all(heard).await?;
        Ok(())
    }
}

/// What is said of a pipeline is so: its clients speak each of its protocols, and no other one.
fn are_spoken(kind: Kind, spoken: impl Iterator<Item = Protocol> + Clone) -> Result<()> {
    for protocol in kind.protocols() {
        ensure!(spoken.clone().any(|one| one == *protocol), "{}: nobody speaks {protocol:?}", kind.name());
    }
    for protocol in spoken {
        ensure!(kind.protocols().contains(&protocol), "{}: nothing is said of {protocol:?}", kind.name());
    }
    Ok(())
}

/// Signs tokens, and is what the servers are told.
const SECRET: &str = "a secret of a chaos run that is long enough";

/// A token with the claims that the example servers look for.
fn token(user: &UserId, claims: &[(&str, &str)]) -> Result<String> {
    let signer = JwtSigner::hs256(SECRET)?.with_lifetime(LIFETIME);
    let claims = claims
        .iter()
        .fold(JwtClaims::new(user.clone()), |claims, (name, value)| claims.with_claim(*name, *value));
    Ok(signer.sign(&claims)?)
}

fn person(user: &str, claims: &[(&str, &str)]) -> Result<Person> {
    let user = UserId::new(user)?;
    Ok(Person { token: token(&user, claims)?, user })
}

/// Something that this pipeline stands on.
fn needed(url: &Option<String>) -> Result<String> {
    url.clone().context("a pipeline without what it stands on")
}

/// What a [`Ground`] says to most programs.
fn database(ground: &Ground) -> (&'static str, String) {
    ("DATABASE_URL", ground.database_url.clone())
}

fn listen(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn first(gateways: &[SocketAddr]) -> Result<SocketAddr> {
    gateways.first().copied().context("no gateway")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_to_be_spoken_is_spoken() {
        let people = quickstart::PEOPLE.map(|(_, protocol)| protocol);
        for kind in [Kind::WriteThrough, Kind::HotLog] {
            are_spoken(kind, people.into_iter()).unwrap();
            assert!(kind.what().ends_with("; JSON over WebSocket, Server-Sent Events"), "{}", kind.what());
            are_spoken(kind, [Protocol::Json; 5].into_iter()).unwrap_err();
            are_spoken(kind, people.into_iter().chain([Protocol::Stomp])).unwrap_err();
        }
        are_spoken(Kind::Study, [Protocol::Stomp].into_iter()).unwrap_err();
    }
}
