//! A cluster of three Redis servers, each with a replica if that is asked for.

use std::{ops::RangeInclusive, time::Duration};

use anyhow::{Context as _, Result, bail};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream},
    net::TcpStream,
    time::{Instant, sleep},
};
use url::Url;

use crate::{Proxy, Redis, port, source};

/// How long it may take until all servers agree.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who carries which slots.
const SLOTS: [RangeInclusive<u16>; 3] = [0..=5_460, 5_461..=10_922, 10_923..=16_383];

/// Three Redis or Valkey servers as one cluster, without replicas unless they are asked for. It goes with this value.
///
/// Clients come as the user `chat`: the servers have that in common, and not the password of their own first user.
#[derive(Debug)]
pub struct RedisCluster {
    servers: Vec<Redis>,
    proxies: Vec<Proxy>,
    password: String,
}

impl RedisCluster {
    /// Starts one for a test, which may break it.
    ///
    /// # Errors
    /// No server can be had, and how to get one; or they do not come together.
    pub async fn private() -> Result<Self> {
        Self::start(false, false).await
    }

    /// As [`private`](Self::private), and each of the three has a replica, which takes over when it is gone for two seconds, however far
    /// behind it is. Server 3 follows server 0, and so on.
    ///
    /// # Errors
    /// As [`private`](Self::private).
    pub async fn with_replicas() -> Result<Self> {
        let cluster = Self::start(false, true).await?;
        for replica in SLOTS.len()..cluster.servers.len() {
            cluster.follows(replica).await?;
        }
        cluster.whole().await?;
        Ok(cluster)
    }

    /// As [`private`](Self::private), with a proxy in front of each server: that is where the cluster sends its clients.
    ///
    /// # Errors
    /// As [`private`](Self::private).
    pub async fn behind_proxies() -> Result<Self> {
        Self::start(true, false).await
    }

    async fn start(proxied: bool, replicated: bool) -> Result<Self> {
        let password = source::password();
        let mut cluster = Self { servers: Vec::new(), proxies: Vec::new(), password };
        let mut buses = Vec::new();
        for _ in 0..SLOTS.len() * (1 + usize::from(replicated)) {
            // Its usual place, 10,000 further on, may be one that the system gives to clients.
            let bus = port::free()?;
            let settings = [
                "cluster-enabled yes".to_owned(),
                format!("cluster-port {bus}"),
                "cluster-node-timeout 2000".to_owned(),
                "cluster-require-full-coverage no".to_owned(),
                format!("user chat on >{} ~* &* +@all", cluster.password),
                "masteruser chat".to_owned(),
                format!("masterauth {}", cluster.password),
                "repl-diskless-sync-delay 0".to_owned(),
                "cluster-replica-validity-factor 0".to_owned(),
                "cluster-allow-replica-migration no".to_owned(),
            ];
            let settings = settings.each_ref().map(String::as_str);
            cluster.servers.push(Redis::neighbour_with(&settings).await?);
            buses.push(bus);
        }
        if proxied {
            for server in &cluster.servers {
                cluster.proxies.push(Proxy::start(server.address()?).await?);
            }
        }
        cluster.meet(&buses).await?;
        Ok(cluster)
    }

    async fn meet(&self, buses: &[u16]) -> Result<()> {
        for (index, server) in self.servers.iter().enumerate() {
            if let Some(proxy) = self.proxies.get(index) {
                let port = proxy.address().port();
                self.ask(index, &format!("CONFIG SET cluster-announce-port {port}")).await?;
                self.ask(index, "CONFIG SET cluster-announce-ip 127.0.0.1").await?;
            }
            let epoch = index + 1;
            self.ask(index, &format!("CLUSTER SET-CONFIG-EPOCH {epoch}")).await?;
            if let Some(slots) = SLOTS.get(index) {
                self.ask(index, &format!("CLUSTER ADDSLOTSRANGE {} {}", slots.start(), slots.end())).await?;
            }
            if index > 0 {
                let address = server.address()?;
                let (host, port) = address.rsplit_once(':').context("an address without a port")?;
                self.ask(0, &format!("CLUSTER MEET {host} {port} {}", buses[index])).await?;
            }
        }
        self.whole().await
    }

    /// Has a server follow the one that is so many before it as there are primaries, and waits until it does.
    async fn follows(&self, replica: usize) -> Result<()> {
        let id = self.ask(replica - SLOTS.len(), "CLUSTER MYID").await?;
        self.ask(replica, &format!("CLUSTER REPLICATE {id}")).await?;
        let deadline = Instant::now() + PATIENCE;
        while !self.ask(replica, "INFO replication").await?.contains("master_link_status:up") {
            if Instant::now() > deadline {
                bail!("the replica does not follow:\n{}", self.servers[replica].log_tail());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Waits until every server says that every slot is carried, and by whom.
    ///
    /// # Errors
    /// They do not agree in time.
    pub async fn whole(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for index in 0..self.servers.len() {
            let known = format!("cluster_known_nodes:{}", self.servers.len());
            loop {
                let info = self.ask(index, "CLUSTER INFO").await.unwrap_or_default();
                let has = |line| info.lines().any(|other| other == line);
                if has("cluster_state:ok") && has("cluster_slots_ok:16384") && has(&known) {
                    break;
                }
                if Instant::now() > deadline {
                    bail!("the cluster does not come together:\n{info}\n{}", self.servers[index].log_tail());
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    /// Where clients connect: `redis-cluster://…`, with all servers named.
    ///
    /// # Errors
    /// An address without a port.
    pub fn url(&self) -> Result<String> {
        let mut addresses = Vec::new();
        for (index, server) in self.servers.iter().enumerate() {
            addresses.push(match self.proxies.get(index) {
                Some(proxy) => proxy.address().to_string(),
                None => server.address()?,
            });
        }
        let (first, others) = addresses.split_first().context("a cluster without servers")?;
        let others: Vec<_> = others.iter().map(|address| format!("node={address}")).collect();
        Ok(format!("redis-cluster://chat:{}@{first}?{}", self.password, others.join("&")))
    }

    /// The three servers; the first one has the lowest slots. Behind them their replicas, if there are any.
    #[must_use]
    pub fn servers(&self) -> &[Redis] {
        &self.servers
    }

    /// The proxies in front of them, if there are any.
    #[must_use]
    pub fn proxies(&self) -> &[Proxy] {
        &self.proxies
    }

    /// Sends a command, words with spaces between, to one of the servers, past its proxy. Answers the text, the number, or
    /// the lines of a list.
    ///
    /// # Errors
    /// There is no such server, it is out of reach, or it refuses.
    pub async fn ask(&self, server: usize, command: &str) -> Result<String> {
        ask(self.servers.get(server).context("no such server")?, command).await
    }

    /// Hands slots over to another server, as an operator does; no keys are moved.
    ///
    /// # Errors
    /// A server refuses.
    pub async fn move_slots(&self, slots: impl IntoIterator<Item = u16>, to: usize) -> Result<()> {
        let id = self.ask(to, "CLUSTER MYID").await?;
        // A word of the one before that is still on its way would else take a slot back.
        self.ask(to, "CLUSTER BUMPEPOCH").await?;
        for slot in slots {
            // Who gets it first: then nobody else claims it with an older epoch.
            for server in [to].into_iter().chain((0..SLOTS.len()).filter(|server| *server != to)) {
                self.ask(server, &format!("CLUSTER SETSLOT {slot} NODE {id}")).await?;
            }
        }
        Ok(())
    }
}

impl Redis {
    /// Sends a command, words with spaces between, over a connection of its own. Answers the text, the number, or the lines of
    /// a list.
    ///
    /// # Errors
    /// It is out of reach, or refuses.
    pub async fn ask(&self, command: &str) -> Result<String> {
        ask(self, command).await
    }
}

async fn ask(server: &Redis, command: &str) -> Result<String> {
    let url = Url::parse(server.url())?;
    ask_at(&server.address()?, url.password(), command).await
}

pub(crate) async fn ask_at(address: &str, password: Option<&str>, command: &str) -> Result<String> {
    let mut stream = BufStream::new(TcpStream::connect(address).await?);
    if let Some(password) = password {
        send(&mut stream, &["AUTH", password]).await?;
        read(&mut stream).await?;
    }
    send(&mut stream, &command.split(' ').collect::<Vec<_>>()).await?;
    read(&mut stream).await.with_context(|| command.to_owned())
}

async fn send(stream: &mut BufStream<TcpStream>, words: &[&str]) -> Result<()> {
    let mut command = format!("*{}\r\n", words.len());
    for word in words {
        command.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.write_all(command.as_bytes()).await?;
    Ok(stream.flush().await?)
}

/// An answer, with the parts of a list as lines.
async fn read(stream: &mut BufStream<TcpStream>) -> Result<String> {
    let mut lines = Vec::new();
    let mut due = 1u64;
    while due > 0 {
        due -= 1;
        let mut head = String::new();
        stream.read_line(&mut head).await?;
        let head = head.trim_end();
        let Some((kind, rest)) = head.split_at_checked(1) else { bail!("no answer") };
        match kind {
            "+" | ":" => lines.push(rest.to_owned()),
            "-" => bail!("Redis says {rest}"),
            "$" => {
                let Ok(length) = rest.parse::<usize>() else { continue };
                let mut text = vec![0; length + 2];
                stream.read_exact(&mut text).await?;
                text.truncate(length);
                lines.push(String::from_utf8_lossy(&text).replace("\r\n", "\n"));
            }
            "*" => due += rest.parse::<u64>().unwrap_or(0),
            _ => bail!("an answer that begins with {kind}"),
        }
    }
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn three_servers_become_a_cluster_that_outlives_the_death_of_one() {
        let cluster = RedisCluster::private().await.unwrap();
        let mut takers = 0;
        for server in 0..3 {
            takers += u8::from(cluster.ask(server, "SET tea 1").await.is_ok());
        }
        assert_eq!(takers, 1, "each slot is carried by one of them");
        cluster.servers()[2].kill().await.unwrap();
        cluster.servers()[2].start().await.unwrap();
        cluster.whole().await.unwrap();
        cluster.move_slots([7, 8], 2).await.unwrap();
        cluster.whole().await.unwrap();
        assert!(cluster.url().unwrap().starts_with("redis-cluster://chat:"));
    }

    #[tokio::test]
    async fn a_replica_takes_over_from_the_server_that_it_follows() {
        let cluster = RedisCluster::with_replicas().await.unwrap();
        assert_eq!(cluster.servers().len(), 6);
        cluster.servers()[1].kill().await.unwrap();
        let deadline = Instant::now() + PATIENCE;
        while !cluster.ask(4, "INFO replication").await.unwrap().contains("role:master") {
            assert!(Instant::now() < deadline, "it still follows");
            sleep(Duration::from_millis(50)).await;
        }
        cluster.servers()[1].start().await.unwrap();
        cluster.whole().await.unwrap();
    }

    #[tokio::test]
    async fn behind_proxies_clients_are_sent_to_them() {
        let cluster = RedisCluster::behind_proxies().await.unwrap();
        let slots = cluster.ask(0, "CLUSTER SLOTS").await.unwrap();
        for proxy in cluster.proxies() {
            assert!(slots.contains(&proxy.address().port().to_string()), "{slots}");
        }
    }
}
