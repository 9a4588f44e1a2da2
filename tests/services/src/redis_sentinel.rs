//! A primary and a replica, watched by three Sentinels.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::{
    Redis,
    folder::Folder,
    port,
    process::{Launch, Process},
    redis,
    redis_cluster::ask_at,
    source,
};

/// How long it may take until all of them know each other.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the Sentinels call the primary.
const NAME: &str = "chat";

const SENTINELS: usize = 3;

/// A primary and a replica, and three Sentinels that make the replica the primary when that is gone for a second. All goes with
/// this value.
///
/// Clients come as the user `chat`: the servers have that in common, and not the password of their own first user. They say nothing
/// to the Sentinels to be let in.
#[derive(Debug)]
pub struct RedisSentinel {
    servers: Vec<Redis>,
    sentinels: Vec<(String, Process)>,
    password: String,
}

impl RedisSentinel {
    /// Starts one for a test, which may break it.
    ///
    /// # Errors
    /// No server can be had, and how to get one; or they do not come together.
    pub async fn private() -> Result<Self> {
        let password = source::password();
        let settings = [
            format!("user chat on >{password} ~* &* +@all"),
            "masteruser chat".to_owned(),
            format!("masterauth {password}"),
            "repl-diskless-sync-delay 0".to_owned(),
        ];
        let mut settings: Vec<_> = settings.iter().map(String::as_str).collect();
        let primary = Redis::neighbour_with(&settings).await?;
        let address = primary.address()?.replace(':', " ");
        let follow = format!("replicaof {address}");
        settings.push(&follow);
        let servers = vec![primary, Redis::neighbour_with(&settings).await?];
        let mut all = Self { servers, sentinels: Vec::new(), password };
        for _ in 0..SENTINELS {
            let sentinel = port::start_on_a_free_one(async |port| all.sentinel(port, &address)).await?;
            all.sentinels.push(sentinel);
        }
        all.whole().await?;
        Ok(all)
    }

    fn sentinel(&self, port: u16, primary: &str) -> Result<(String, Process)> {
        let folder = Folder::create("sentinel", "TERM", None)?;
        let configuration = folder.path().join("configuration");
        let lines = [
            format!("port {port}"),
            "bind 127.0.0.1".to_owned(),
            format!("sentinel monitor {NAME} {primary} 2"),
            format!("sentinel auth-user {NAME} chat"),
            format!("sentinel auth-pass {NAME} {}", self.password),
            format!("sentinel down-after-milliseconds {NAME} 1000"),
            format!("sentinel failover-timeout {NAME} 5000"),
        ];
        // It writes down there what it finds out.
        fs::write(&configuration, lines.join("\n") + "\n")?;
        let launch = Launch {
            program: redis::program()?,
            arguments: vec![configuration.into(), "--sentinel".into()],
            environment: Vec::new(),
            user: None,
            stop: Signal::TERM,
        };
        Ok((format!("127.0.0.1:{port}"), Process::start(launch, folder)?))
    }

    /// Waits until every Sentinel knows the primary, a replica that follows it, and the other Sentinels.
    ///
    /// # Errors
    /// They do not agree in time.
    pub async fn whole(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for (address, process) in &self.sentinels {
            loop {
                let able =
                    ask_at(address, None, &format!("SENTINEL CKQUORUM {NAME}")).await.unwrap_or_default();
                let replicas =
                    ask_at(address, None, &format!("SENTINEL REPLICAS {NAME}")).await.unwrap_or_default();
                let follows = replicas.contains("master-link-status\nok") && !replicas.contains("s_down");
                if able.starts_with(&format!("OK {SENTINELS} ")) && follows {
                    break;
                }
                process.check().context("Sentinel")?;
                if Instant::now() > deadline {
                    bail!("they do not come together: {able}\n{replicas}\n{}", process.log_tail());
                }
                sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    /// Where clients connect: `redis-sentinel://…`, with all Sentinels named.
    #[must_use]
    pub fn url(&self) -> String {
        let mut others = String::new();
        for (address, _) in self.sentinels.iter().skip(1) {
            others += &format!("node={address}&");
        }
        let first = self.sentinels.first().map_or("", |(address, _)| address);
        format!("redis-sentinel://chat:{}@{first}?{others}sentinelServiceName={NAME}", self.password)
    }

    /// The servers; at first, the first one is the primary.
    #[must_use]
    pub fn servers(&self) -> &[Redis] {
        &self.servers
    }

    /// Which of the servers the Sentinels name as the primary.
    ///
    /// # Errors
    /// None answers, or it is none of these.
    pub async fn primary(&self) -> Result<usize> {
        let command = format!("SENTINEL GET-MASTER-ADDR-BY-NAME {NAME}");
        let (address, _) = self.sentinels.last().context("no Sentinel")?;
        let named = ask_at(address, None, &command).await?.replace('\n', ":");
        for (index, server) in self.servers.iter().enumerate() {
            if server.address()? == named {
                return Ok(index);
            }
        }
        bail!("{named} is none of the servers")
    }

    /// Has the Sentinels make the replica the primary, while both are well.
    ///
    /// # Errors
    /// They refuse.
    pub async fn fail_over(&self) -> Result<()> {
        let (address, _) = self.sentinels.last().context("no Sentinel")?;
        ask_at(address, None, &format!("SENTINEL FAILOVER {NAME}")).await.map(drop)
    }

    /// Halts one of the Sentinels, by its place in the address: it takes connections and answers nothing.
    ///
    /// # Errors
    /// It is not running.
    pub fn pause_sentinel(&self, index: usize) -> Result<()> {
        self.sentinels.get(index).context("no such Sentinel")?.1.pause()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_replica_becomes_the_primary_when_that_is_killed() {
        let all = RedisSentinel::private().await.unwrap();
        assert_eq!(all.primary().await.unwrap(), 0);
        all.servers()[0].kill().await.unwrap();
        let deadline = Instant::now() + PATIENCE;
        while all.primary().await.unwrap() != 1 {
            assert!(Instant::now() < deadline, "still the one that was killed");
            sleep(Duration::from_millis(50)).await;
        }
        all.servers()[1].ask("SET tea 1").await.unwrap();
        all.servers()[0].start().await.unwrap();
        all.whole().await.unwrap();
    }
}
