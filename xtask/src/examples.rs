//! Starts every example server once: it must say where it listens, answer, and end in good order.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    process::{self, Steps, cargo},
    test::EVERYTHING,
    workspace::Workspace,
};

/// How long a server may take to listen, and to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Signs tokens for as long as a server is tried. Nobody is given one.
const SECRET: &str = "a secret of this trial, and of no use elsewhere";

/// What a server prints before its address.
const LISTENING: &str = "listening on http://";

/// Builds and tries every example server.
pub(crate) fn run(steps: &mut Steps, workspace: &Workspace) -> Result<()> {
    steps.run("build of the examples", || {
        process::run(cargo(&workspace.root, ["build"].iter().chain(&EVERYTHING)))
    })?;
    let servers: Vec<&str> = workspace.example_servers().collect();
    if servers.is_empty() {
        bail!("there are no examples");
    }
    for name in servers {
        steps.run(&format!("start and stop {name}"), || {
            let mut command = Command::new(workspace.program(name));
            command.args(["--listen", "127.0.0.1:0"]).env("CHAT_SECRET", SECRET);
            // What it keeps is kept there, and each trial begins without.
            let folder = workspace.root.join("target/trial").join(name);
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder)?;
            command.current_dir(&folder);
            start_and_stop(command)
        })?;
    }
    Ok(())
}

/// A server under test; ends with this value.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already where all went well, then both have no effect.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_and_stop(mut command: Command) -> Result<()> {
    let child = command.stdout(Stdio::piped()).spawn().context("could not be started")?;
    let mut server = Server(child);
    let address = wait_for_address(&mut server)?;
    println!("listens on {address}");
    let status = get_status(&address, "/chat/health")?;
    if status != "HTTP/1.1 200 OK" {
        bail!("GET /chat/health: {status}");
    }
    println!("GET /chat/health: {status}");
    terminate(&server)?;
    let status = wait_for_end(&mut server)?;
    if !status.success() {
        bail!("after SIGTERM: {status}, not exit code 0");
    }
    println!("after SIGTERM: {status}");
    Ok(())
}

fn wait_for_address(server: &mut Server) -> Result<String> {
    let stdout = server.0.stdout.take().context("no standard output")?;
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

/// The first line of the answer.
fn get_status(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).with_context(|| address.to_owned())?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

/// The shell's own `kill`: there on every Unix, and the standard library has only SIGKILL.
fn terminate(server: &Server) -> Result<()> {
    let mut kill = Command::new("sh");
    kill.args(["-c", &format!("kill -TERM {}", server.0.id())]);
    process::output(kill).map(drop)
}

fn wait_for_end(server: &mut Server) -> Result<ExitStatus> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = server.0.try_wait()? {
            return Ok(status);
        }
        if Instant::now() > deadline {
            bail!("still there {PATIENCE:?} after SIGTERM");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_server_that_ends_at_once_fails() {
        let error = start_and_stop(shell("echo nothing to say")).unwrap_err();
        assert!(error.to_string().contains("ended without a line"), "{error}");
    }

    #[test]
    fn a_server_that_listens_nowhere_fails() {
        // Port 1 is reserved and nothing listens there.
        let error = start_and_stop(shell("echo listening on http://127.0.0.1:1; exec sleep 5")).unwrap_err();
        assert_eq!(error.to_string(), "127.0.0.1:1");
    }
}
