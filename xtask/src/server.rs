//! An example server while it runs: where it listens, what it answers, how it ends.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::process;

/// How long a server may take to listen, and to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Signs tokens for as long as a server is tried. Nobody is given one.
const SECRET: &str = "a secret of this trial, and of no use elsewhere";

/// What a server prints before its address.
const LISTENING: &str = "listening on http://";

/// A server under test; ends with this value.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        kill(&mut self.child);
    }
}

/// Ended already where all went well, then both have no effect.
fn kill(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

impl Server {
    /// Starts it on a free port, and waits until it says which.
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        command.args(["--listen", "127.0.0.1:0"]).env("CHAT_SECRET", SECRET);
        let mut child = command.stdout(Stdio::piped()).spawn().context("could not be started")?;
        match wait_for_address(&mut child) {
            Ok(address) => {
                println!("listens on {address}");
                Ok(Self { child, address })
            }
            Err(error) => {
                kill(&mut child);
                Err(error)
            }
        }
    }

    /// Such as `127.0.0.1:40123`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The first line of the answer.
    pub(crate) fn get_status(&self, path: &str) -> Result<String> {
        let address = &self.address;
        let mut stream = TcpStream::connect(address).with_context(|| address.clone())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        Ok(answer.lines().next().unwrap_or_default().to_owned())
    }

    /// Asks it to end, which it has to do in good order.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.terminate()?;
        let status = self.wait_for_end()?;
        if !status.success() {
            bail!("after SIGTERM: {status}, not exit code 0");
        }
        println!("after SIGTERM: {status}");
        Ok(())
    }

    /// The shell's own `kill`: there on every Unix, and the standard library has only SIGKILL.
    fn terminate(&self) -> Result<()> {
        let mut kill = Command::new("sh");
        kill.args(["-c", &format!("kill -TERM {}", self.child.id())]);
        process::output(kill).map(drop)
    }

    fn wait_for_end(&mut self) -> Result<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("still there {PATIENCE:?} after SIGTERM");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn wait_for_address(child: &mut Child) -> Result<String> {
    let stdout = child.stdout.take().context("no standard output")?;
    let (found, address) = mpsc::sync_channel(1);
    // Reads on to the end, so that the server never waits for room in the pipe.
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            println!("  | {line}");
            if let Some((_, rest)) = line.split_once(LISTENING) {
                let address = rest.split(['/', ' ']).next().unwrap_or_default();
                let _ = found.try_send(address.to_owned());
            }
        }
    });
    match address.recv_timeout(PATIENCE) {
        Ok(address) => Ok(address),
        Err(RecvTimeoutError::Timeout) => bail!("no line with \"{LISTENING}…\" within {PATIENCE:?}"),
        Err(RecvTimeoutError::Disconnected) => bail!("ended without a line with \"{LISTENING}…\""),
    }
}
