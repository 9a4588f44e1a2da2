//! Faults done and undone.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use chat_test_services::{Direction, Proxy};

use crate::{
    cluster::{Cluster, Service},
    fault::{Deed, Fault, Target},
    node::Role,
    pipeline::Kind,
};

/// A fault that was done, and where.
#[derive(Debug, Clone)]
pub(crate) struct Injected {
    pub(crate) fault: Fault,
    /// Which of our processes; none where it hits all of them.
    node: Option<usize>,
    delay: Duration,
    /// For people.
    pub(crate) place: String,
    /// What it may have an effect on.
    pub(crate) hits: Vec<Kind>,
}

impl Injected {
    /// Chooses where.
    pub(crate) fn choose(fault: Fault, cluster: &Cluster, dice: &mut fastrand::Rng) -> Option<Self> {
        let of_role = |role: Role| {
            let nodes = cluster.nodes.iter().enumerate();
            nodes.filter(|(_, node)| node.spec.role == role).map(|(place, _)| place).collect::<Vec<_>>()
        };
        let nodes = match fault.target {
            Target::Gateway | Target::WayOfClients => of_role(Role::Gateway),
            Target::Worker => of_role(Role::Worker),
            // Only one process is cut off every other time; Kafka has one way for all.
            Target::WayTo(service) if service != Service::Kafka && dice.bool() => {
                let nodes = cluster.nodes.iter().enumerate();
                let has = |ways: &[(Service, Proxy)]| ways.iter().any(|(to, _)| *to == service);
                nodes.filter(|(_, node)| has(&node.ways)).map(|(place, _)| place).collect()
            }
            _ => Vec::new(),
        };
        let must = matches!(fault.target, Target::Gateway | Target::WayOfClients | Target::Worker);
        let node = dice.choice(nodes);
        if must && node.is_none() {
            return None;
        }
        let all = || cluster.nodes.iter().map(|node| node.spec.kind);
        let mut hits: Vec<Kind> = match (node, fault.target) {
            (Some(node), _) => vec![cluster.nodes[node].spec.kind],
            (None, Target::Server(service) | Target::WayTo(service)) => {
                all().filter(|kind| kind.stands_on().contains(&service)).collect()
            }
            (None, _) => all().collect(),
        };
        hits.sort_unstable();
        hits.dedup();
        let place = node.map(|node| format!(" ({})", cluster.nodes[node].spec.name)).unwrap_or_default();
        let delay = Duration::from_millis(dice.u64(50..800));
        Some(Self { fault, node, delay, place: format!("{fault}{place}"), hits })
    }

    pub(crate) async fn begin(&self, cluster: &mut Cluster) -> Result<()> {
        let Fault { target, deed } = self.fault;
        match target {
            Target::Gateway | Target::Worker => {
                let node = &mut cluster.nodes[self.node.context("no process")?];
                match deed {
                    Deed::Kill => node.kill().await,
                    Deed::Stop => node.drain().await,
                    Deed::Pause => node.pause(),
                    _ => bail!("{deed:?} is nothing for a process"),
                }
            }
            Target::Server(service) => server(cluster, service, deed).await,
            Target::WayTo(_) | Target::WayOfClients => {
                for way in self.ways(cluster) {
                    hamper(way, deed, self.delay).await?;
                }
                Ok(())
            }
        }
    }

    /// Undoes it. What was ended runs again when this returns.
    pub(crate) async fn end(&self, cluster: &mut Cluster) -> Result<()> {
        let Fault { target, deed } = self.fault;
        match target {
            Target::Gateway | Target::Worker => {
                let node = &mut cluster.nodes[self.node.context("no process")?];
                match deed {
                    Deed::Pause => node.resume(),
                    _ => node.start().await,
                }
            }
            Target::Server(service) => match deed {
                Deed::Kill | Deed::Stop => start(cluster, service).await,
                Deed::Pause => resume(cluster, service).await,
                Deed::FillDisk => cluster.free_disk().await,
                _ => Ok(()),
            },
            Target::WayTo(_) | Target::WayOfClients => {
                for way in self.ways(cluster) {
                    way.mend().await;
                }
                Ok(())
            }
        }
    }

    fn ways<'a>(&self, cluster: &'a Cluster) -> Vec<&'a Proxy> {
        match (self.fault.target, self.node) {
            (Target::WayTo(service), node) => cluster.ways(service, node),
            (_, Some(node)) => cluster.nodes[node].front.iter().collect(),
            _ => Vec::new(),
        }
    }
}

async fn hamper(way: &Proxy, deed: Deed, delay: Duration) -> Result<()> {
    match deed {
        Deed::Cut => way.cut().await,
        Deed::Reset => way.reset(),
        Deed::HalfOpen => way.half_open(),
        Deed::Delay => way.delay(delay),
        Deed::HoldRequests => way.stall(Direction::ToServer),
        Deed::HoldAnswers => way.stall(Direction::ToClient),
        _ => bail!("{deed:?} is nothing for a network"),
    }
    Ok(())
}

/// Does the same to whichever server it is.
macro_rules! each {
    ($cluster:expr, $service:expr, $server:ident => $act:expr) => {
        match $service {
            Service::Postgres => {
                let $server = &$cluster.postgres;
                $act
            }
            Service::Kafka => {
                let $server = $cluster.kafka.as_ref().context("no Kafka")?;
                $act
            }
            Service::Redis | Service::HotRedis => {
                let $server = $cluster.redis($service).context("no Redis")?;
                $act
            }
        }
    };
}

async fn server(cluster: &Cluster, service: Service, deed: Deed) -> Result<()> {
    match (deed, service) {
        (Deed::Kill, _) => each!(cluster, service, server => server.kill().await),
        (Deed::Stop, _) => each!(cluster, service, server => server.stop().await),
        (Deed::Pause, _) => each!(cluster, service, server => server.pause().await),
        (Deed::FillDisk, Service::Postgres) => cluster.postgres.fill_disk(),
        (Deed::EndConnections, Service::Postgres) => cluster.terminate_backends().await,
        (Deed::EndConnections, _) => {
            let redis = cluster.redis(service).context("no Redis")?;
            for kind in ["normal", "pubsub"] {
                redis.ask(&format!("CLIENT KILL TYPE {kind}")).await?;
            }
            Ok(())
        }
        (Deed::Flush, _) => {
            cluster.redis(service).context("no Redis")?.ask("FLUSHALL").await?;
            Ok(())
        }
        _ => bail!("{deed:?} is nothing for a server"),
    }
}

async fn start(cluster: &Cluster, service: Service) -> Result<()> {
    each!(cluster, service, server => server.start().await)
}

async fn resume(cluster: &Cluster, service: Service) -> Result<()> {
    each!(cluster, service, server => server.resume().await)
}
