//! Redis, or Valkey.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use percent_encoding::percent_decode_str;
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::OnceCell,
    task::spawn_blocking,
};
use url::Url;

#[cfg(feature = "docker")]
use crate::{
    container::Recipe,
    images::{self, Image},
};
use crate::{
    folder::Folder,
    port,
    process::{Launch, Process},
    server::{Launched, Server, Service},
    source::{self, Kind},
};

const KIND: Kind = Kind {
    name: "Redis",
    variable: "CHAT_TEST_REDIS_URL",
    example: "redis://:password@127.0.0.1:6379",
    packages: "redis-server",
};

/// The programs, best first: the same to their clients.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

/// A Redis server, or a Valkey server.
///
/// It keeps nothing: [`stop`](Server::stop) and [`kill`](Server::kill) leave it empty. `private_with(&["appendonly yes", "appendfsync
/// always"])` is one that keeps what it acknowledged.
pub type Redis = Server<RedisService>;

/// What is particular to Redis.
#[derive(Debug)]
pub struct RedisService(());

impl Service for RedisService {
    const KIND: Kind = KIND;
    #[cfg(feature = "docker")]
    const IMAGE: Image = images::REDIS;

    fn given() -> Self {
        Self(())
    }

    fn shared() -> &'static OnceCell<Redis> {
        static SHARED: OnceCell<Redis> = OnceCell::const_new();
        &SHARED
    }

    fn launch(port: u16, settings: &[String]) -> Result<Launched<Self>> {
        let password = source::password();
        let process = launch(port, &password, settings)?;
        let url = format!("redis://:{password}@127.0.0.1:{port}");
        Ok(Launched { url, service: Self(()), process })
    }

    #[cfg(feature = "docker")]
    fn container(port: u16, settings: &[String]) -> Result<Launched<Self, Recipe>> {
        let password = source::password();
        let lines: Vec<String> =
            configuration(&password).into_iter().chain(settings.iter().cloned()).collect();
        // A file here as well. The shell becomes the server, which is then what Docker stops.
        let script =
            "umask 077 && printf '%s\\n' \"$@\" >/tmp/configuration && exec redis-server /tmp/configuration";
        let command = ["sh", "-c", script, "sh"].map(str::to_owned).into_iter().chain(lines).collect();
        let recipe =
            Recipe { image: Self::IMAGE, environment: Vec::new(), command, ports: vec![(port, 6379)] };
        Ok(Launched {
            url: format!("redis://:{password}@127.0.0.1:{port}"),
            service: Self(()),
            process: recipe,
        })
    }

    async fn ask(url: &str) -> Result<()> {
        ask(url).await
    }

    fn address(url: &str) -> Result<String> {
        source::address(url, 6379)
    }
}

impl Redis {
    /// What a test's keys and channels begin with, so that no other test has the same: such as `chat_test_…:`. Not a
    /// database of its own: channels are the same in all of them, and a cluster has only one.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("chat_test_{:016x}:", fastrand::u64(..))
    }

    /// As [`private_with`](Server::private_with), and never a container: servers that have to reach each other where clients reach
    /// them.
    ///
    /// # Errors
    /// As [`private_with`](Server::private_with).
    pub async fn neighbour_with(settings: &[&str]) -> Result<Self> {
        let settings: Vec<String> = settings.iter().map(|&line| line.to_owned()).collect();
        port::start_on_a_free_one(async |port| {
            let settings = settings.clone();
            Self::from_launched(spawn_blocking(move || RedisService::launch(port, &settings)).await??).await
        })
        .await
    }

    /// As [`neighbour_with`](Self::neighbour_with), without settings.
    ///
    /// # Errors
    /// As [`private_with`](Server::private_with).
    pub async fn neighbour() -> Result<Self> {
        Self::neighbour_with(&[]).await
    }
}

/// The program, with its path.
pub(crate) fn program() -> Result<PathBuf> {
    let folders = source::path();
    let found =
        PROGRAMS.iter().find_map(|program| Some((source::folder_with(&[program], &folders).ok()?, program)));
    let Some((programs, program)) = found else {
        return Err(KIND.missing(&format!("{} not found", PROGRAMS.join(" or "))));
    };
    Ok(programs.join(program))
}

fn launch(port: u16, password: &str, settings: &[String]) -> Result<Process> {
    let program = program()?;
    let folder = Folder::create("redis", "TERM", None)?;
    let mut lines = configuration(password);
    lines.extend([format!("port {port}"), "bind 127.0.0.1".to_owned()]);
    lines.extend_from_slice(settings);
    // A file, not arguments: those every user of this machine can read.
    let configuration = folder.path().join("configuration");
    fs::write(&configuration, lines.join("\n") + "\n")?;
    let launch = Launch {
        program,
        arguments: vec![configuration.into()],
        environment: Vec::new(),
        user: None,
        stop: Signal::TERM,
    };
    Process::start(launch, folder)
}

fn configuration(password: &str) -> Vec<String> {
    vec![format!("requirepass {password}"), "save \"\"".to_owned(), "appendonly no".to_owned()]
}

/// Has the server answer a PING, after the password if there is one.
async fn ask(url: &str) -> Result<()> {
    let parsed = Url::parse(url).context("the address of a Redis")?;
    if parsed.scheme() != "redis" {
        bail!("the address has to begin with redis://");
    }
    let mut stream = TcpStream::connect(source::address(url, 6379)?).await?;
    if let Some(password) = parsed.password() {
        let mut words = vec![b"AUTH".to_vec()];
        if !parsed.username().is_empty() {
            words.push(percent_decode_str(parsed.username()).collect());
        }
        words.push(percent_decode_str(password).collect());
        expect(&mut stream, &words, "+OK").await?;
    }
    expect(&mut stream, &[b"PING".to_vec()], "+PONG").await
}

/// Sends a command and looks at the line that is the answer.
async fn expect(stream: &mut TcpStream, words: &[Vec<u8>], expected: &str) -> Result<()> {
    let mut command = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        command.extend(format!("${}\r\n", word.len()).into_bytes());
        command.extend(word);
        command.extend(b"\r\n");
    }
    stream.write_all(&command).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n") {
        answer.push(stream.read_u8().await?);
    }
    let answer = String::from_utf8_lossy(&answer);
    if answer.trim_end() != expected {
        bail!("Redis says {}", answer.trim_end());
    }
    Ok(())
}
