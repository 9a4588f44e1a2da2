//! Kafka: shared by tests, broken by one.

use std::time::Duration;

use anyhow::{Context as _, Result};
use chat_test_services::{Kafka, KafkaCluster};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, ToSocketAddrs},
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(30);

const API_VERSIONS: i16 = 18;
const METADATA: i16 = 3;
const CREATE_TOPICS: i16 = 19;

/// The smallest client there is: requests of the oldest versions that a broker takes.
struct Client(TcpStream);

impl Client {
    async fn connect(address: impl ToSocketAddrs) -> Result<Self> {
        Ok(Self(TcpStream::connect(address).await?))
    }

    /// Sends a request and answers what follows the correlation id.
    async fn request(&mut self, api: i16, version: i16, body: &[u8]) -> Result<Vec<u8>> {
        let mut request = Vec::new();
        request.extend(api.to_be_bytes());
        request.extend(version.to_be_bytes());
        request.extend(7_i32.to_be_bytes());
        request.extend((-1_i16).to_be_bytes());
        request.extend(body);
        self.0.write_all(&i32::try_from(request.len())?.to_be_bytes()).await?;
        self.0.write_all(&request).await?;
        let length = timeout(PATIENCE, self.0.read_i32()).await??;
        let mut answer = vec![0; usize::try_from(length)?];
        timeout(PATIENCE, self.0.read_exact(&mut answer)).await??;
        assert_eq!(answer[..4], 7_i32.to_be_bytes());
        Ok(answer.split_off(4))
    }

    /// The oldest and the newest version of a request that the broker takes.
    async fn versions(&mut self, api: i16) -> Result<(i16, i16)> {
        let answer = self.request(API_VERSIONS, 0, &[]).await?;
        assert_eq!(answer[..2], [0, 0], "an error");
        let number = |bytes: &[u8]| i16::from_be_bytes([bytes[0], bytes[1]]);
        let mut apis = answer[6..].chunks_exact(6);
        let found = apis.find(|entry| number(entry) == api).context("not taken")?;
        Ok((number(&found[2..]), number(&found[4..])))
    }

    /// The port that the broker tells its clients, and whether it knows a topic.
    async fn metadata(&mut self, topic: &str) -> Result<(u16, bool)> {
        // Version 4: the topics, and that none is to be made.
        let mut body = 1_i32.to_be_bytes().to_vec();
        body.extend(text(topic)?);
        body.push(0);
        let answer = self.request(METADATA, 4, &body).await?;
        let mut rest = &answer[4..]; // after the time that we were slowed down for
        assert_eq!(rest.read_i32().await?, 1, "brokers");
        rest.read_i32().await?;
        skip(&mut rest).await?;
        let port = u16::try_from(rest.read_i32().await?)?;
        skip(&mut rest).await?; // rack
        skip(&mut rest).await?; // cluster
        rest.read_i32().await?; // controller
        assert_eq!(rest.read_i32().await?, 1, "topics");
        Ok((port, rest.read_i16().await? == 0))
    }

    async fn create(&mut self, topic: &str) -> Result<()> {
        self.create_with(topic, 1, 1).await
    }

    async fn create_with(&mut self, topic: &str, partitions: i32, replicas: i16) -> Result<()> {
        // Version 2: one topic, no assignment, no settings.
        let mut body = 1_i32.to_be_bytes().to_vec();
        body.extend(text(topic)?);
        body.extend(partitions.to_be_bytes());
        body.extend(replicas.to_be_bytes());
        body.extend([0; 8]);
        body.extend(10_000_i32.to_be_bytes());
        body.push(0);
        let answer = self.request(CREATE_TOPICS, 2, &body).await?;
        let error = &answer[8 + 2 + topic.len()..][..2];
        assert_eq!(error, [0, 0], "{answer:?}");
        Ok(())
    }
}

fn text(text: &str) -> Result<Vec<u8>> {
    let mut bytes = i16::try_from(text.len())?.to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    Ok(bytes)
}

/// Leaves out a text that may be absent.
async fn skip(rest: &mut &[u8]) -> Result<()> {
    let length = usize::try_from(rest.read_i16().await?.max(0))?;
    *rest = &rest[length..];
    Ok(())
}

/// Waits until a client sees the topic or does not.
async fn sees(client: &mut Client, topic: &str, expected: bool) -> Result<()> {
    timeout(PATIENCE, async {
        while client.metadata(topic).await?.1 != expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    })
    .await?
}

#[tokio::test]
async fn it_takes_requests_and_keeps_the_topics_of_tests_apart() -> Result<()> {
    let server = Kafka::shared().await?;
    let mut client = Client::connect(server.address()?).await?;
    let (oldest, newest) = client.versions(METADATA).await?;
    assert!(oldest <= 4 && newest >= 12, "{oldest}..={newest}");
    let (one, other) = (server.prefix(), server.prefix());
    client.create(&format!("{one}topic")).await?;
    sees(&mut client, &format!("{one}topic"), true).await?;
    sees(&mut client, &format!("{other}topic"), false).await
}

#[tokio::test]
async fn three_brokers_go_on_without_any_one_of_them() -> Result<()> {
    let cluster = KafkaCluster::private().await?;
    assert_eq!(cluster.url().split(',').count(), 3);
    let mut client = Client::connect(cluster.servers()[0].address()?).await?;
    client.create_with("topic", 3, 3).await?;
    cluster.whole().await?;
    for _ in 0..2 {
        let before = cluster.leader("topic", 0).await?;
        cluster.servers()[before].kill().await?;
        timeout(PATIENCE, async {
            // While they choose, nobody leads it.
            while !cluster.leader("topic", 0).await.is_ok_and(|leader| leader != before) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await?;
        cluster.servers()[before].start().await?;
        cluster.whole().await?;
    }
    Ok(())
}

/// One server for all of it: starting one takes seconds.
#[tokio::test]
async fn a_topic_survives_stop_kill_9_and_pause_and_a_proxy_is_told_to_clients() -> Result<()> {
    let server = Kafka::private().await?;
    let address = server.address()?;
    let mut client = Client::connect(&address).await?;
    client.create("topic").await?;
    sees(&mut client, "topic", true).await?;

    for kill in [true, false] {
        if kill {
            server.kill().await?
        } else {
            server.stop().await?
        }
        assert!(client.versions(METADATA).await.is_err());
        assert!(TcpStream::connect(&address).await.is_err());
        server.start().await?;
        assert_eq!(server.address()?, address);
        client = Client::connect(&address).await?;
        sees(&mut client, "topic", true).await?;
    }

    server.pause().await?;
    {
        let mut versions = Box::pin(client.versions(METADATA));
        assert!(timeout(Duration::from_millis(500), &mut versions).await.is_err());
        server.resume().await?;
        versions.await?;
    }

    let proxy = server.proxy().await?;
    assert!(server.proxy().await.is_err(), "a second one at the same address");
    let mut behind = Client::connect(proxy.address()).await?;
    assert_eq!(behind.metadata("topic").await?, (proxy.address().port(), true));
    proxy.cut().await;
    assert!(behind.versions(METADATA).await.is_err());
    let direct = format!("127.0.0.1:{}", client.metadata("topic").await?.0);
    assert_eq!(direct, address, "the direct way is open");
    Ok(())
}
