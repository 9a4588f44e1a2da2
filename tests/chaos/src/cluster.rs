//! The servers that everything stands on, and our own processes.

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use chat_test_services::{Database, Kafka, Postgres, Proxy, Redis};
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep};

use crate::{
    guardian::Guardian,
    node::{Node, Spec},
    pipeline::Kind,
    programs::Programs,
    run::RECOVERY,
};

/// A hot log's Redis comes up with everything that it answered.
const KEEPS_ALL: [&str; 2] = ["appendonly yes", "appendfsync always"];

/// The database's disk, where we may mount one: what an hour needs, and not so much that filling it takes long.
const DISK_MEBIBYTES: u32 = 1_024;
/// The log of a database on it stays small.
const ON_SMALL_DISK: [&str; 2] = ["min_wal_size=64MB", "max_wal_size=192MB"];

/// What a process of ours stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Service {
    Postgres,
    /// Live events, presence and the like; keeps nothing.
    Redis,
    /// Messages that are not in the database yet.
    HotRedis,
    Kafka,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::Redis => "Redis",
            Self::HotRedis => "the hot log's Redis",
            Self::Kafka => "Kafka",
        })
    }
}

/// Everything that runs, apart from the clients.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) postgres: Postgres,
    /// The database is on a disk that can be filled.
    pub(crate) small_disk: bool,
    pub(crate) redis: Option<Redis>,
    pub(crate) hot_redis: Option<Redis>,
    pub(crate) kafka: Option<Kafka>,
    /// All go by the one that the broker names.
    pub(crate) kafka_way: Option<Proxy>,
    pub(crate) nodes: Vec<Node>,
    programs: Programs,
    logs: PathBuf,
    guardian: Arc<Guardian>,
}

/// Where a process finds what it stands on, each by a way of its own.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) database_url: String,
    pub(crate) redis_url: Option<String>,
    pub(crate) brokers: Option<String>,
    ways: Vec<(Service, Proxy)>,
}

impl Cluster {
    /// Starts what these pipelines stand on; none of our own processes yet.
    pub(crate) async fn start(kinds: &[Kind], programs: &Path, logs: PathBuf) -> Result<Self> {
        let needed: BTreeSet<Service> = kinds.iter().flat_map(|kind| kind.stands_on()).copied().collect();
        let redis = async {
            Ok::<_, anyhow::Error>(match needed.contains(&Service::Redis) {
                true => Some(Redis::private().await?),
                false => None,
            })
        };
        let hot_redis = async {
            Ok(match needed.contains(&Service::HotRedis) {
                true => Some(Redis::private_with(&KEEPS_ALL).await?),
                false => None,
            })
        };
        let kafka = async {
            Ok(match needed.contains(&Service::Kafka) {
                true => Some(Kafka::private().await?),
                false => None,
            })
        };
        let ((postgres, small_disk), redis, hot_redis, kafka) =
            tokio::try_join!(postgres(), redis, hot_redis, kafka)?;
        let kafka_way = match &kafka {
            Some(kafka) => Some(kafka.proxy().await?),
            None => None,
        };
        let guardian = Arc::new(Guardian::start()?);
        let programs = Programs::keep(programs, logs.join("programs"))?;
        let nodes = Vec::new();
        Ok(Self { postgres, small_disk, redis, hot_redis, kafka, kafka_way, nodes, programs, logs, guardian })
    }

    /// Ways of its own for a process of this pipeline.
    pub(crate) async fn ground(&self, kind: Kind, database: &Database) -> Result<Ground> {
        let to_postgres = Proxy::start(self.postgres.address()?).await?;
        let mut ground = Ground {
            database_url: database.url_through(&to_postgres.address().to_string())?,
            redis_url: None,
            brokers: None,
            ways: vec![(Service::Postgres, to_postgres)],
        };
        for service in kind.stands_on() {
            let redis = match service {
                Service::Redis => self.redis.as_ref(),
                Service::HotRedis => self.hot_redis.as_ref(),
                Service::Kafka => {
                    ground.brokers = self.kafka_way.as_ref().map(|way| way.address().to_string());
                    continue;
                }
                Service::Postgres => continue,
            };
            let redis = redis.with_context(|| service.to_string())?;
            let address = redis.address()?;
            let way = Proxy::start(address.clone()).await?;
            ground.redis_url = Some(redis.url().replace(&address, &way.address().to_string()));
            ground.ways.push((*service, way));
        }
        Ok(ground)
    }

    /// Adds a process that is not started yet. `port` is where it listens, if it does.
    pub(crate) async fn add(&mut self, spec: Spec, ground: Ground, port: Option<u16>) -> Result<usize> {
        let front = match port {
            Some(port) => Some(Proxy::start(format!("127.0.0.1:{port}")).await?),
            None => None,
        };
        let guardian = self.guardian.clone();
        self.nodes.push(Node::new(spec, ground.ways, front, self.programs.folder(), &self.logs, guardian));
        Ok(self.nodes.len() - 1)
    }

    pub(crate) const fn has(&self, service: Service) -> bool {
        match service {
            Service::Postgres => true,
            Service::Redis => self.redis.is_some(),
            Service::HotRedis => self.hot_redis.is_some(),
            Service::Kafka => self.kafka.is_some(),
        }
    }

    /// All ways to a service, or only those of one process.
    pub(crate) fn ways(&self, to: Service, of: Option<usize>) -> Vec<&Proxy> {
        if to == Service::Kafka {
            return self.kafka_way.iter().collect();
        }
        let nodes = self.nodes.iter().enumerate().filter(|(place, _)| of.is_none_or(|of| of == *place));
        let ways = nodes.flat_map(|(_, node)| &node.ways);
        ways.filter(|(service, _)| *service == to).map(|(_, way)| way).collect()
    }

    pub(crate) const fn redis(&self, service: Service) -> Option<&Redis> {
        match service {
            Service::HotRedis => self.hot_redis.as_ref(),
            _ => self.redis.as_ref(),
        }
    }

    /// Ends every connection to the database that a pipeline has.
    pub(crate) async fn terminate_backends(&self) -> Result<()> {
        let mut connection = PgConnection::connect(self.postgres.url()).await?;
        let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                         WHERE pid <> pg_backend_pid() AND datname LIKE 'chat_test_%'";
        sqlx::raw_sql(terminate).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// The database's disk has room again. Where it could not write its log it has ended, or recovers by itself.
    pub(crate) async fn free_disk(&self) -> Result<()> {
        self.postgres.free_disk()?;
        let end = Instant::now() + RECOVERY;
        loop {
            // Refused where it runs.
            let _ = self.postgres.start().await;
            match PgConnection::connect(self.postgres.url()).await {
                Ok(connection) => return Ok(connection.close().await?),
                Err(error) if Instant::now() > end => return Err(error.into()),
                Err(_) => sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// What the servers say that they are.
    pub(crate) async fn versions(&self) -> Result<Vec<String>> {
        let mut connection = PgConnection::connect(self.postgres.url()).await?;
        let version: String = sqlx::query_scalar("SHOW server_version").fetch_one(&mut connection).await?;
        connection.close().await?;
        let number = version.split(' ').next().unwrap_or(&version);
        let mut versions = vec![format!("PostgreSQL {number}")];
        if let Some(redis) = self.redis.as_ref().or(self.hot_redis.as_ref()) {
            let said = redis.ask("INFO server").await?;
            let field = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            versions.push(match field("valkey_version:") {
                Some(version) => format!("Valkey {version}"),
                None => format!("Redis {}", field("redis_version:").context("no version of Redis")?),
            });
        }
        if self.kafka.is_some() {
            // A broker says over its protocol what it understands, not which release it is: this is the one that the harness starts.
            versions.push(format!("Kafka {}", chat_test_services::images::KAFKA.tag));
        }
        Ok(versions)
    }
}

/// With a disk of its own where that can be.
async fn postgres() -> Result<(Postgres, bool)> {
    match Postgres::private_on_disk(DISK_MEBIBYTES, &ON_SMALL_DISK).await {
        Ok(postgres) => Ok((postgres, true)),
        Err(error) => {
            println!("no disk will be full: {error:#}");
            Ok((Postgres::private().await?, false))
        }
    }
}
