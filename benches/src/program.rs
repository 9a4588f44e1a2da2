//! Servers that are started for a benchmark, and end with it.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::SECRET;

/// How long one may take until it says that it is there.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where programs are.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) ours: PathBuf,
    pub(crate) peers: PathBuf,
    pub(crate) root: PathBuf,
}

impl Programs {
    /// One of this workspace's.
    pub(crate) fn ours(&self, name: &str) -> Command {
        plain(Command::new(self.ours.join(name)))
    }

    /// A script for Node.js, of the peers.
    pub(crate) fn node(&self, script: &str) -> Command {
        let mut command = Command::new("node");
        command.arg(self.root.join("tests/peers").join(script));
        let mut command = plain(command);
        command.env("NODE_ENV", "production");
        command
    }

    /// Rooms on the Centrifuge library, where they are built.
    pub(crate) fn centrifuge(&self) -> Option<Command> {
        let program = self.peers.join("centrifuge");
        program.is_file().then(|| plain(Command::new(program)))
    }

    /// A whole Centrifugo, where the environment names one.
    pub(crate) fn centrifugo(&self) -> Option<Command> {
        let program = env::var_os("CENTRIFUGO").filter(|program| !program.is_empty())?;
        let mut command = plain(Command::new(self.root.join("tests/peers/centrifugo/run.sh")));
        command.env("CENTRIFUGO", program);
        Some(command)
    }
}

/// With nothing of our environment but what every program needs, and the secret under both of its names.
fn plain(mut command: Command) -> Command {
    command.env_clear();
    for name in ["PATH", "HOME", "TMPDIR"] {
        if let Some(value) = env::var_os(name) {
            command.env(name, value);
        }
    }
    command.envs([
        ("JWT_SECRET", SECRET),
        ("CHAT_SECRET", SECRET),
        ("LISTEN", "127.0.0.1:0"),
        ("CHAT_LOG", "warn"),
    ]);
    command
}

/// One that runs; ends with this value.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// `host:port`; empty for one that listens nowhere.
    pub(crate) address: String,
}

impl Server {
    /// Starts it and waits for the line that begins with `ready`.
    pub(crate) fn start(name: &str, mut command: Command, ready: &str) -> Result<Self> {
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
        let mut child = spawned.with_context(|| format!("{name} could not be started"))?;
        let output = child.stdout.take().context("no standard output")?;
        let (found, line) = mpsc::sync_channel(1);
        let wanted = ready.to_owned();
        // Reads on to the end, so that the server never waits for room in the pipe.
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(rest) = line.strip_prefix(&wanted) {
                    let _ = found.try_send(rest.to_owned());
                }
            }
        });
        let mut server = Self { child, address: String::new() };
        match line.recv_timeout(PATIENCE) {
            Ok(rest) => rest.trim_end_matches('/').clone_into(&mut server.address),
            Err(_) => bail!("{name} did not say \"{ready}…\""),
        }
        Ok(server)
    }

    /// Starts one that says where it listens.
    pub(crate) fn listening(name: &str, command: Command) -> Result<Self> {
        Self::start(name, command, "listening on http://")
    }

    /// Its process and those that it started.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let mut pids = vec![self.child.id()];
        let mut at = 0;
        while let Some(&pid) = pids.get(at) {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            pids.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            at += 1;
        }
        pids
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A script takes its server with it only if it is asked.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        for _ in 0..200 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program to its end.
pub(crate) fn finish(name: &str, mut command: Command) -> Result<()> {
    let status =
        command.stdout(Stdio::null()).status().with_context(|| format!("{name} could not be started"))?;
    if !status.success() {
        bail!("{name}: {status}");
    }
    Ok(())
}
