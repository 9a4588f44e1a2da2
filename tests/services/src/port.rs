//! A free port of this machine.

use std::{net::TcpListener, ops::Range};

use anyhow::{Context as _, Error, Result};

/// Where servers may listen. Not where the system takes ports for outgoing connections (from 32768 on Linux): a client that
/// calls a stopped server again and again would some time be given that very port, connect to itself and keep it.
const PORTS: Range<u16> = 15_000..32_000;

const ATTEMPTS: u32 = 100;

/// A port that nobody listens on. Another process may take it before our server does: then start that on another one.
pub(crate) fn free() -> Result<u16> {
    let mut candidates = std::iter::repeat_with(|| fastrand::u16(PORTS)).take(ATTEMPTS as usize);
    candidates
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .with_context(|| format!("none of {ATTEMPTS} ports of 127.0.0.1 was free"))
}

/// Starts a server on a free port, and on another one if somebody was faster.
pub(crate) async fn start_on_a_free_one<T, F: Future<Output = Result<T>>>(
    start: impl Fn(u16) -> F,
) -> Result<T> {
    let mut last = start(free()?).await;
    for _ in 0..2 {
        match &last {
            Err(error) if is_taken(error) => last = start(free()?).await,
            _ => break,
        }
    }
    last
}

/// As the system says it, or Docker.
fn is_taken(error: &Error) -> bool {
    let said = format!("{error:#}");
    ["already in use", "already allocated"].iter().any(|words| said.contains(words))
}
