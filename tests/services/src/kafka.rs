//! Kafka: one broker that is its own controller (KRaft), or three.

mod cluster;
mod jars;

use std::{ffi::OsString, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::OnceCell,
};

#[cfg(feature = "docker")]
use crate::{
    container::Recipe,
    images::{self, Image},
};
use crate::{
    folder::Folder,
    port,
    process::{Launch, Process},
    proxy::Proxy,
    server::{Launched, Server, Service},
    source::Kind,
};

pub use self::cluster::KafkaCluster;

const KIND: Kind = Kind {
    name: "Kafka",
    variable: "CHAT_TEST_KAFKA_URL",
    example: "127.0.0.1:9092",
    packages: "openjdk-17-jre-headless maven",
};

/// The release that Maven fetches.
pub(crate) const VERSION: &str = "4.1.1";

/// An ApiVersions request, version 0: length, key 18, version, correlation id, no client id. Every broker answers it.
const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, b'c', b'h', b'a', b't', 0xff, 0xff];

/// Every cluster has an id, of 16 bytes in Base64. Ours know nothing of each other.
const CLUSTER: &str = "chat-test-cluster-id00";

/// Users of listeners that ask for passwords, which there are where a test says so. Only a broker's own tool can make one.
const SCRAM_USERS: [&str; 2] =
    ["SCRAM-SHA-256=[name=chat,password=topsecret]", "SCRAM-SHA-512=[name=chat,password=topsecret]"];

/// Small and quick to start, which counts more here than how fast it runs after an hour.
const JAVA_OPTIONS: [&str; 4] = [
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
];

const HEAP: &str = "-Xmx512m";

/// A Kafka broker. Its address is what clients call `bootstrap.servers`.
pub type Kafka = Server<KafkaService>;

/// What is particular to Kafka.
#[derive(Debug)]
pub struct KafkaService {
    /// None where the server was given.
    ports: Option<Ports>,
}

/// A broker tells its clients where to reach it. So that they stay on a proxy, it has a second listener that says the
/// proxy's address.
#[derive(Debug, Clone, Copy)]
struct Ports {
    direct: u16,
    controller: u16,
    behind_proxy: u16,
    proxy: u16,
}

impl Ports {
    fn choose(direct: u16) -> Result<Self> {
        Ok(Self { direct, controller: port::free()?, behind_proxy: port::free()?, proxy: port::free()? })
    }
}

impl Service for KafkaService {
    const KIND: Kind = KIND;
    #[cfg(feature = "docker")]
    const IMAGE: Image = images::KAFKA;

    fn given() -> Self {
        Self { ports: None }
    }

    fn shared() -> &'static OnceCell<Kafka> {
        static SHARED: OnceCell<Kafka> = OnceCell::const_new();
        &SHARED
    }

    fn launch(port: u16, settings: &[String]) -> Result<Launched<Self>> {
        let ports = Ports::choose(port)?;
        let process = launch(ports, settings)?;
        Ok(Launched { url: format!("127.0.0.1:{port}"), service: Self { ports: Some(ports) }, process })
    }

    #[cfg(feature = "docker")]
    fn container(port: u16, settings: &[String]) -> Result<Launched<Self, Recipe>> {
        let ports = Ports::choose(port)?;
        let lines = configuration(ports, "0.0.0.0", Path::new("/tmp/kafka-data"));
        // The image makes the file of these.
        let mut environment: Vec<(String, String)> =
            lines.iter().chain(settings).filter_map(|line| variable(line)).collect();
        let options = JAVA_OPTIONS.join(" ");
        let fixed =
            [("CLUSTER_ID", CLUSTER), ("KAFKA_HEAP_OPTS", HEAP), ("KAFKA_JVM_PERFORMANCE_OPTS", &options)];
        environment.extend(fixed.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let recipe = Recipe {
            image: Self::IMAGE,
            environment,
            command: Vec::new(),
            ports: vec![(ports.direct, ports.direct), (ports.behind_proxy, ports.behind_proxy)],
        };
        Ok(Launched {
            url: format!("127.0.0.1:{port}"),
            service: Self { ports: Some(ports) },
            process: recipe,
        })
    }

    async fn ask(url: &str) -> Result<()> {
        let address = Self::address(url)?;
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&API_VERSIONS).await?;
        // Length, correlation id, error.
        let mut answer = [0; 10];
        stream.read_exact(&mut answer).await?;
        if answer[4..] != [b'c', b'h', b'a', b't', 0, 0] {
            bail!("this is not how Kafka answers: {answer:?}");
        }
        Ok(())
    }

    /// The first one, where several brokers were given.
    fn address(url: &str) -> Result<String> {
        url.split(',').next().map(str::to_owned).context("no address")
    }
}

impl Kafka {
    /// What a test's topics and groups begin with, so that no other test has the same: such as `chat-test-…-`.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("chat-test-{:016x}-", fastrand::u64(..))
    }

    /// A proxy in front of the broker, on which clients that are given its address stay. There is one at a time.
    ///
    /// # Errors
    /// The broker is not ours, or there is a proxy already.
    pub async fn proxy(&self) -> Result<Proxy> {
        let ports =
            self.service().ports.context("a Kafka that was given names its own address, not a proxy's")?;
        Proxy::start_at(ports.proxy, format!("127.0.0.1:{}", ports.behind_proxy)).await
    }
}

fn launch(ports: Ports, settings: &[String]) -> Result<Process> {
    let java = jars::java()?;
    let jars = jars::folder()?.canonicalize()?;
    let folder = Folder::create("kafka", "KILL", None)?;
    let properties = folder.path().join("properties");
    let data = folder.path().join("data");
    fs::write(&properties, [&configuration(ports, "127.0.0.1", &data), settings].concat().join("\n") + "\n")?;

    let mut arguments: Vec<OsString> = JAVA_OPTIONS.iter().chain([&HEAP]).map(OsString::from).collect();
    arguments.extend(["-cp".into(), jars.join("*").into()]);
    let mut format = Command::new(&java);
    format.args(&arguments).args(["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER]);
    format.args(SCRAM_USERS.iter().flat_map(|user| ["--add-scram", user]));
    let output = format.arg("--config").arg(&properties).output().context("java")?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("Kafka could not make its folder: {}\n{}", output.status, String::from_utf8_lossy(&said));
    }
    arguments.extend(["kafka.Kafka".into(), properties.into()]);
    Process::start(
        Launch { program: java, arguments, environment: Vec::new(), user: None, stop: Signal::TERM },
        folder,
    )
}

/// `listen` is where the broker listens; what it tells its clients is this machine's own address.
fn configuration(ports: Ports, listen: &str, data: &Path) -> Vec<String> {
    let Ports { direct, controller, behind_proxy, proxy } = ports;
    let listeners = |host: &str, proxied: u16| format!("DIRECT://{host}:{direct},PROXIED://{host}:{proxied}");
    vec![
        "process.roles=broker,controller".to_owned(),
        "node.id=1".to_owned(),
        format!("controller.quorum.voters=1@127.0.0.1:{controller}"),
        format!("listeners={},CONTROLLER://127.0.0.1:{controller}", listeners(listen, behind_proxy)),
        format!("advertised.listeners={}", listeners("127.0.0.1", proxy)),
        "listener.security.protocol.map=DIRECT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
        "inter.broker.listener.name=DIRECT".to_owned(),
        "controller.listener.names=CONTROLLER".to_owned(),
        format!("log.dirs={}", data.display()),
        "num.partitions=4".to_owned(),
        // What three brokers share by default, this one has alone.
        "offsets.topic.replication.factor=1".to_owned(),
        "offsets.topic.num.partitions=4".to_owned(),
        "transaction.state.log.replication.factor=1".to_owned(),
        "transaction.state.log.min.isr=1".to_owned(),
        "transaction.state.log.num.partitions=4".to_owned(),
        "share.coordinator.state.topic.replication.factor=1".to_owned(),
        "share.coordinator.state.topic.min.isr=1".to_owned(),
        // Nobody to hand over to, and a group need not wait for more members.
        "controlled.shutdown.enable=false".to_owned(),
        "group.initial.rebalance.delay.ms=0".to_owned(),
        "log.cleaner.dedupe.buffer.size=4194304".to_owned(),
    ]
}

/// What the image takes `name.of.setting=value` from.
#[cfg(feature = "docker")]
fn variable(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once('=')?;
    Some((format!("KAFKA_{}", name.to_uppercase().replace('.', "_")), value.to_owned()))
}
