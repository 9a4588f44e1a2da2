//! One process of ours, as an operator runs it: at its place, with its log in a file, started again when it ended.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use chat_test_services::Proxy;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdout, Command},
    sync::watch,
    time::{Instant, sleep, timeout},
};

use crate::{cluster::Service, guardian::Guardian, pipeline::Kind};

/// Until it says that it is there: a debug build on a busy machine takes its time.
const START: Duration = Duration::from_secs(60);
/// Until it has ended in good order.
const END: Duration = Duration::from_secs(60);
/// What ended at its start is started again after this.
const AGAIN: Duration = Duration::from_millis(500);
/// Ports that the system gives to no client of its own accord.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// What a process of ours is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Takes clients.
    Gateway,
    /// Stores what gateways put into the queue.
    Worker,
}

/// How a process is started.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) role: Role,
    pub(crate) program: &'static str,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// A process and the ways to and from it.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) spec: Spec,
    /// Between it and what it stands on.
    pub(crate) ways: Vec<(Service, Proxy)>,
    /// Between its clients and it.
    pub(crate) front: Option<Proxy>,
    program: PathBuf,
    log: PathBuf,
    guardian: Arc<Guardian>,
    child: Option<Child>,
    ready: watch::Receiver<bool>,
}

impl Node {
    pub(crate) fn new(
        spec: Spec,
        ways: Vec<(Service, Proxy)>,
        front: Option<Proxy>,
        programs: &Path,
        logs: &Path,
        guardian: Arc<Guardian>,
    ) -> Self {
        let program = programs.join(spec.program);
        let log = logs.join(format!("{}.log", spec.name.replace(' ', "-")));
        Self { spec, ways, front, program, log, guardian, child: None, ready: watch::channel(false).1 }
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.front.as_ref().map(Proxy::address)
    }

    /// Starts it, and again where it ends at once because something that it needs is away, and waits until it says that it is there.
    pub(crate) async fn start(&mut self) -> Result<()> {
        let end = Instant::now() + START;
        loop {
            self.spawn()?;
            let mut ready = self.ready.clone();
            let ready = async { ready.wait_for(|ready| *ready).await.is_ok() };
            let left = end.saturating_duration_since(Instant::now());
            match timeout(left, ready).await {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    let status = self.reap().await?;
                    if Instant::now() + AGAIN > end {
                        bail!("{} ends at its start: {status}", self.spec.name);
                    }
                    sleep(AGAIN).await;
                }
                Err(_) => bail!("{} was not there after {START:?}", self.spec.name),
            }
        }
    }

    /// The program with its settings, and nothing of ours that it could take for one.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear();
        for name in ["PATH", "HOME", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("RUST_BACKTRACE", "1").env("CHAT_LOG", "info,librdkafka=off");
        command.envs(self.spec.environment.iter().cloned()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs the program for something else than to serve, to its end.
    pub(crate) async fn run_once(&self, arguments: &[&str]) -> Result<()> {
        let output = self.command().args(arguments).output().await?;
        if !output.status.success() {
            bail!("{arguments:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// Starts it without waiting for anything.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        self.spawn()
    }

    fn spawn(&mut self) -> Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log).context("a log")?;
        let mut command = self.command();
        command.args(&self.spec.arguments).stdout(Stdio::piped()).stderr(log.try_clone()?);
        let mut child = command.spawn().with_context(|| self.program.display().to_string())?;
        self.guardian.began(child.id().context("it ended at once")?)?;
        let stdout = child.stdout.take().context("no output")?;
        let (told, ready) = watch::channel(false);
        self.ready = ready;
        tokio::spawn(listen(stdout, log, told));
        self.child = Some(child);
        Ok(())
    }

    /// As a crash does: nothing is flushed, nobody is told.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.child.as_mut().context("it does not run")?.start_kill()?;
        self.reap().await?;
        Ok(())
    }

    /// Asks it to end, which it does in good order.
    pub(crate) async fn drain(&mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let name = self.spec.name.clone();
        let status = timeout(END, self.reap()).await.with_context(|| format!("{name} did not end"))??;
        if !status.success() {
            bail!("{name} was asked to end and ended with {status}");
        }
        Ok(())
    }

    pub(crate) fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    pub(crate) fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// How it ended, where nobody had asked it to.
    pub(crate) fn ended_by_itself(&mut self) -> Option<ExitStatus> {
        let child = self.child.as_mut()?;
        let process = child.id();
        let status = child.try_wait().ok()??;
        self.child = None;
        let _ = process.map(|process| self.guardian.ended(process));
        Some(status)
    }

    /// It had said that it is there.
    pub(crate) fn was_there(&self) -> bool {
        *self.ready.borrow()
    }

    /// Lines of its log that nobody wants to see.
    pub(crate) fn panics(&self) -> Vec<String> {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        log.lines().filter(|line| line.contains("panicked at")).map(str::to_owned).collect()
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let process = self.child.as_ref().and_then(Child::id).context("it does not run")?;
        let process = Pid::from_raw(process.try_into()?).context("no process")?;
        Ok(kill_process(process, signal)?)
    }

    async fn reap(&mut self) -> Result<ExitStatus> {
        let child = self.child.as_mut().context("it does not run")?;
        let process = child.id();
        let status = child.wait().await?;
        self.child = None;
        if let Some(process) = process {
            self.guardian.ended(process)?;
        }
        Ok(status)
    }
}

/// Copies what it prints into its log, and tells when it is there.
async fn listen(stdout: ChildStdout, mut log: File, told: watch::Sender<bool>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let _ = writeln!(log, "{line}");
        let works = line.starts_with("working: ") && !line.starts_with("working: 0 ");
        if works || line.starts_with("listening on ") {
            told.send_replace(true);
        }
    }
}

/// A port that is free now.
pub(crate) fn free_port() -> Result<u16> {
    let mut candidates = std::iter::repeat_with(|| fastrand::u16(PORTS)).take(100);
    candidates.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).context("no port is free")
}
