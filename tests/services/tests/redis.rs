//! Redis: shared by tests, broken by one.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, Result};
use chat_test_services::Redis;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

/// The smallest client there is: commands as words on a line, one line as the answer.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn connect(server: &Redis) -> Result<Self> {
        let mut client = Self(BufReader::new(TcpStream::connect(server.address()?).await?));
        let address = server.url().trim_start_matches("redis://");
        if let Some((who, _)) = address.split_once('@') {
            let answer = client.command(&format!("AUTH {}", who.replace(':', " "))).await?;
            assert_eq!(answer, "+OK");
        }
        Ok(client)
    }

    async fn command(&mut self, words: &str) -> Result<String> {
        self.0.get_mut().write_all(format!("{words}\r\n").as_bytes()).await?;
        let mut line = String::new();
        if self.0.read_line(&mut line).await? == 0 {
            anyhow::bail!("the connection has ended");
        }
        Ok(line.trim_end().to_owned())
    }

    /// For an answer of the length of a text and the text.
    async fn get(&mut self, key: &str) -> Result<Option<String>> {
        if self.command(&format!("GET {key}")).await? == "$-1" {
            return Ok(None);
        }
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        Ok(Some(line.trim_end().to_owned()))
    }
}

#[tokio::test]
async fn it_answers_and_keeps_what_tests_write_apart() -> Result<()> {
    let server = Redis::shared().await?;
    let mut client = Client::connect(server).await?;
    assert_eq!(client.command("PING").await?, "+PONG");
    let (one, other) = (server.prefix(), server.prefix());
    assert_ne!(one, other);
    assert_eq!(client.command(&format!("SET {one}key value")).await?, "+OK");
    assert_eq!(client.get(&format!("{one}key")).await?.as_deref(), Some("value"));
    assert_eq!(client.get(&format!("{other}key")).await?, None);
    Ok(())
}

#[tokio::test]
async fn who_has_no_password_is_told_so() -> Result<()> {
    let server = Redis::private().await?;
    let mut stranger = Client(BufReader::new(TcpStream::connect(server.address()?).await?));
    assert!(stranger.command("PING").await?.starts_with("-NOAUTH"));
    assert!(!format!("{server:?}").contains(server.url().split(['@', ':']).nth(2).context("password")?));
    Ok(())
}

#[tokio::test]
async fn it_is_empty_after_kill_9_unless_it_writes_a_log() -> Result<()> {
    for (settings, kept) in [(&[][..], None), (&["appendonly yes", "appendfsync always"][..], Some("value"))]
    {
        let server = Redis::private_with(settings).await?;
        let address = server.address()?;
        let mut client = Client::connect(&server).await?;
        assert_eq!(client.command("SET key value").await?, "+OK");
        server.kill().await?;
        assert!(client.command("PING").await.is_err());
        assert!(TcpStream::connect(&address).await.is_err());
        server.start().await?;
        assert_eq!(server.address()?, address);
        let mut client = Client::connect(&server).await?;
        assert_eq!(client.get("key").await?.as_deref(), kept, "{settings:?}");
        server.stop().await?;
        assert!(client.command("PING").await.is_err());
    }
    Ok(())
}

#[tokio::test]
async fn a_paused_server_answers_later() -> Result<()> {
    let server = Redis::private().await?;
    let mut client = Client::connect(&server).await?;
    server.pause().await?;
    {
        let mut ping = Box::pin(client.command("PING"));
        assert!(timeout(Duration::from_millis(300), &mut ping).await.is_err());
        server.resume().await?;
        assert_eq!(timeout(Duration::from_secs(10), ping).await??, "+PONG");
    }
    Ok(())
}

#[tokio::test]
async fn a_setting_that_it_does_not_know_is_in_the_error() {
    let error = Redis::private_with(&["no-such-setting yes"]).await.unwrap_err();
    assert!(format!("{error:?}").contains("no-such-setting"), "{error:?}");
}

#[test]
fn where_there_is_none_the_test_fails_and_says_how_to_get_one() -> Result<()> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--exact", "it_answers_and_keeps_what_tests_write_apart"])
        .env("PATH", "/nonexistent")
        .env("DOCKER_HOST", "tcp://127.0.0.1:1")
        .env_remove("CHAT_TEST_REDIS_URL")
        .output()?;
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stdout);
    for line in [
        "no Redis for the tests: redis-server or valkey-server not found",
        "sudo apt-get install --yes --no-install-recommends redis-server",
        "export CHAT_TEST_REDIS_URL=redis://",
    ] {
        assert!(said.contains(line), "{said}");
    }
    assert_eq!(said.contains("A container is not to be had"), cfg!(feature = "docker"), "{said}");
    Ok(())
}
