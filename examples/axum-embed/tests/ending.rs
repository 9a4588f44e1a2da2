//! The example ends in good order, whoever is connected.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// More than the 5 s of the drain and the second for requests.
const PATIENCE: Duration = Duration::from_secs(15);

/// Ends the program however the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_client_that_never_finishes_its_request_does_not_hold_up_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_example-axum-embed"));
    command.current_dir(folder.path()).args(["--listen", "127.0.0.1:0"]);
    command.env("CHAT_SECRET", "a secret of this test, and of no use elsewhere").stdout(Stdio::piped());
    let mut program = Running(command.spawn().unwrap());
    let mut lines = BufReader::new(program.0.stdout.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    let address = line.strip_prefix("listening on http://").unwrap();

    // In the middle of its first request's head for good.
    let mut hanging = TcpStream::connect(address).unwrap();
    write!(hanging, "GET / HTTP/1.1\r\nHost:").unwrap();
    // Connections are accepted one after the other, so with this answer that one is in.
    let mut other = TcpStream::connect(address).unwrap();
    write!(other, "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let kill = ["-TERM", &program.0.id().to_string()].join(" ");
    assert!(Command::new("sh").args(["-c", &format!("kill {kill}")]).status().unwrap().success());
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = program.0.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "still there {PATIENCE:?} after SIGTERM");
        thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "{status}");
    // SQLite takes its log away when the file is closed in good order.
    assert!(folder.path().join("chat.db").exists());
    assert!(!folder.path().join("chat.db-wal").exists(), "the file was not closed");
}
