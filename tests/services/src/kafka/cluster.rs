//! A cluster of three Kafka brokers.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};

use super::{Kafka, KafkaService, Ports, launch};
use crate::{port, server::Launched};

/// How long it may take until every partition is whole again.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a broker may take for one answer.
const ANSWER: Duration = Duration::from_secs(5);

/// A Metadata request, version 4: key 3, version, correlation id, no client id; all topics, and none is to be made.
const METADATA: [u8; 15] = [0, 3, 0, 4, b'c', b'h', b'a', b't', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0];

/// What three brokers share: a topic that does not say otherwise is on all of them, and takes a record once two have it. A
/// broker that is gone is noticed after three seconds rather than nine.
const SHARED: [&str; 14] = [
    "default.replication.factor=3",
    "min.insync.replicas=2",
    "offsets.topic.replication.factor=3",
    "transaction.state.log.replication.factor=3",
    "transaction.state.log.min.isr=2",
    "share.coordinator.state.topic.replication.factor=3",
    "share.coordinator.state.topic.min.isr=2",
    "unclean.leader.election.enable=false",
    "controlled.shutdown.enable=true",
    "broker.session.timeout.ms=3000",
    "broker.heartbeat.interval.ms=500",
    "controller.quorum.election.timeout.ms=500",
    "controller.quorum.fetch.timeout.ms=1000",
    "replica.fetch.wait.max.ms=100",
];

/// Three Kafka brokers as one cluster (KRaft; each is a controller, too): topics have three replicas and take what two of them
/// have. It goes with this value.
///
/// With one broker down everything goes on; with two nothing is taken.
#[derive(Debug)]
pub struct KafkaCluster {
    servers: Vec<Kafka>,
}

impl KafkaCluster {
    /// Starts one for a test, which may break it.
    ///
    /// # Errors
    /// No Kafka can be had, and how to get one; or the brokers do not come together.
    pub async fn private() -> Result<Self> {
        let cluster = port::start_on_a_free_one(Self::start).await?;
        cluster.whole().await?;
        Ok(cluster)
    }

    async fn start(first: u16) -> Result<Self> {
        let ports = [Ports::choose(first)?, Ports::choose(port::free()?)?, Ports::choose(port::free()?)?];
        let mut voters = Vec::new();
        for (node, ports) in (1..).zip(ports) {
            voters.push(format!("{node}@127.0.0.1:{}", ports.controller));
        }
        let voters = format!("controller.quorum.voters={}", voters.join(","));
        let [one, two, three] = [0, 1, 2].map(|index| member(index + 1, ports[index], &voters));
        // At once: none of them answers before most of them are there.
        let (one, two, three) = tokio::try_join!(one, two, three)?;
        Ok(Self { servers: vec![one, two, three] })
    }

    /// What clients call `bootstrap.servers`: all three.
    #[must_use]
    pub fn url(&self) -> String {
        self.servers.iter().map(Kafka::url).collect::<Vec<_>>().join(",")
    }

    /// The three brokers; each may be stopped, killed, paused and started. The first one has the id 1.
    #[must_use]
    pub fn servers(&self) -> &[Kafka] {
        &self.servers
    }

    /// Which of [`servers`](Self::servers) leads a partition now: all that is written and read there goes through it.
    ///
    /// # Errors
    /// No broker answers, or nobody leads it.
    pub async fn leader(&self, topic: &str, partition: i32) -> Result<usize> {
        let mut last = None;
        for server in &self.servers {
            match Metadata::of(server).await {
                Ok(metadata) => return metadata.leader(topic, partition),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("a cluster without servers")?)
    }

    /// Waits until every broker knows all three, and every replica of every partition is in sync: then any one of them may be
    /// killed.
    ///
    /// # Errors
    /// They do not get there in time.
    pub async fn whole(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for server in &self.servers {
            loop {
                let metadata = Metadata::of(server).await;
                if metadata.as_ref().is_ok_and(|metadata| metadata.is_whole(self.servers.len())) {
                    break;
                }
                if Instant::now() > deadline {
                    bail!("the cluster does not come together: {metadata:?}\n{}", server.log_tail());
                }
                sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }
}

async fn member(node: usize, ports: Ports, voters: &str) -> Result<Kafka> {
    let mut settings = SHARED.map(str::to_owned).to_vec();
    settings.extend([format!("node.id={node}"), voters.to_owned()]);
    let process = spawn_blocking(move || launch(ports, &settings)).await??;
    let url = format!("127.0.0.1:{}", ports.direct);
    Kafka::from_launched(Launched { url, service: KafkaService { ports: Some(ports) }, process }).await
}

/// What a broker says of the cluster.
#[derive(Debug)]
struct Metadata {
    brokers: usize,
    partitions: Vec<Partition>,
}

#[derive(Debug)]
struct Partition {
    topic: String,
    index: i32,
    leader: i32,
    replicas: usize,
    in_sync: usize,
}

impl Metadata {
    async fn of(server: &Kafka) -> Result<Self> {
        let address: SocketAddr = server.address()?.parse()?;
        let answer = timeout(ANSWER, async {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(&u32::try_from(METADATA.len())?.to_be_bytes()).await?;
            stream.write_all(&METADATA).await?;
            let mut answer = vec![0; usize::try_from(stream.read_i32().await?)?];
            stream.read_exact(&mut answer).await?;
            anyhow::Ok(answer)
        });
        let answer = answer.await??;
        // After the correlation id and the time that we were slowed down for.
        Self::read(answer.get(8..).unwrap_or_default()).await.context("an answer that ends too soon")
    }

    async fn read(mut answer: &[u8]) -> Result<Self> {
        let rest = &mut answer;
        let brokers = rest.read_i32().await?;
        for _ in 0..brokers {
            rest.read_i32().await?; // its id
            text(rest).await?; // host
            rest.read_i32().await?; // port
            text(rest).await?; // rack
        }
        text(rest).await?; // cluster
        rest.read_i32().await?; // controller
        let mut partitions = Vec::new();
        for _ in 0..rest.read_i32().await? {
            rest.read_i16().await?; // error
            let topic = text(rest).await?;
            rest.read_i8().await?; // is it internal?
            for _ in 0..rest.read_i32().await? {
                rest.read_i16().await?; // error
                let (index, leader) = (rest.read_i32().await?, rest.read_i32().await?);
                let (replicas, in_sync) = (ids(rest).await?, ids(rest).await?);
                partitions.push(Partition { topic: topic.clone(), index, leader, replicas, in_sync });
            }
        }
        Ok(Self { brokers: usize::try_from(brokers)?, partitions })
    }

    fn is_whole(&self, servers: usize) -> bool {
        let is_led = |partition: &Partition| partition.leader >= 0 && partition.in_sync == partition.replicas;
        self.brokers == servers && self.partitions.iter().all(is_led)
    }

    fn leader(&self, topic: &str, partition: i32) -> Result<usize> {
        let found = self.partitions.iter().find(|other| other.topic == topic && other.index == partition);
        let leader = found.context("no such partition")?.leader;
        usize::try_from(leader - 1).context("nobody leads it")
    }
}

/// A text, or nothing.
async fn text(rest: &mut &[u8]) -> Result<String> {
    let length = usize::try_from(rest.read_i16().await?.max(0))?;
    let (text, after) = rest.split_at_checked(length).context("a text that is cut off")?;
    *rest = after;
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// How many brokers are listed.
async fn ids(rest: &mut &[u8]) -> Result<usize> {
    let count = usize::try_from(rest.read_i32().await?)?;
    *rest = rest.get(count * 4..).context("a list that is cut off")?;
    Ok(count)
}
