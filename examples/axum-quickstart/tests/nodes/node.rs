//! One process of the quickstart, as an operator starts it, and plain requests to it.

use std::{fs::File, net::SocketAddr, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

/// A debug build on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a process keeps its messages and where it sends its live events.
#[derive(Debug, Default)]
pub(crate) struct Ground {
    pub(crate) database_url: String,
    pub(crate) redis_url: Option<String>,
    /// Redis answers what is sent.
    pub(crate) hot_log: bool,
    /// As somebody has them who sets nothing.
    pub(crate) rate_limits: bool,
    /// Where it writes its log, all of it.
    pub(crate) log: Option<File>,
}

impl Ground {
    pub(crate) fn database(url: impl Into<String>) -> Self {
        Self { database_url: url.into(), ..Self::default() }
    }
}

/// A process that runs; it is killed with this value.
pub(crate) struct Node {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Node {
    /// Starts it on a free port.
    pub(crate) async fn start(ground: Ground) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_example-axum-quickstart"));
        for variable in [
            "CHAT_DATA",
            "CHAT_MEMORY",
            "CHAT_SCHEMA",
            "CHAT_SECRET",
            "CHAT_REDIS_PREFIX",
            "HOT_LOG",
            "HOT_REPLICAS",
            "REDIS_URL",
        ] {
            command.env_remove(variable);
        }
        let log = match ground.log {
            Some(file) => {
                command.stderr(file);
                "trace".to_owned()
            }
            // For whoever wants to see why a test failed.
            None => std::env::var("CHAT_TEST_NODE_LOG").unwrap_or_else(|_| "error".to_owned()),
        };
        command.args(["--listen", "127.0.0.1:0", "--log", &log]);
        if !ground.rate_limits {
            command.arg("--no-rate-limits");
        }
        if ground.hot_log {
            command.arg("--hot-log");
        }
        if let Some(url) = ground.redis_url {
            command.env("REDIS_URL", url);
        }
        command.env("DATABASE_URL", ground.database_url).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = timeout(PATIENCE, lines.next_line()).await.expect("it says where it listens").unwrap();
        let first = first.expect("it does not end at once");
        let address = first.strip_prefix("listening on http://").expect("where it listens").parse().unwrap();
        // Read to the end, so that it never waits for room in the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, address }
    }

    /// Asks it to end, which it does in good order.
    pub(crate) async fn stop(&mut self) {
        let process = Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(process, Signal::TERM).unwrap();
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap();
        assert!(status.success(), "{status}");
    }

    /// As a crash does: nothing is flushed, nobody is told.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }
}

/// What somebody who gives a name is let in with.
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    pub(crate) user: String,
    pub(crate) token: String,
}

impl Guest {
    pub(crate) async fn arrive(at: SocketAddr, name: &str) -> Self {
        let (status, guest) =
            request(at, "POST", "/guest", None, Some(serde_json::json!({ "name": name }))).await;
        assert_eq!(status, 201, "{guest}");
        let field = |name: &str| guest[name].as_str().unwrap().to_owned();
        Self { user: field("user"), token: field("token") }
    }

    /// A request of REST that may fail: status and body.
    pub(crate) async fn try_ask(&self, at: SocketAddr, method: &str, path: &str) -> (u16, Value) {
        request(at, method, path, Some(&self.token), None).await
    }

    /// A request of REST that succeeds, if not at once. It does the same however often it is made.
    pub(crate) async fn ask(&self, at: SocketAddr, method: &str, path: &str, body: Option<Value>) -> Value {
        let begun = Instant::now();
        loop {
            let (status, answer) = request(at, method, path, Some(&self.token), body.clone()).await;
            if (200..300).contains(&status) {
                return answer;
            }
            // As the answer asks for: on a busy machine a server may take longer than somebody waits for it.
            let may_come = answer["retryable"] == true && begun.elapsed() < PATIENCE;
            assert!(may_come, "{method} {path}: {status} {answer}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// One request over a connection of its own: status and body.
async fn request(
    at: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<Value>,
) -> (u16, Value) {
    let (url, body) = (format!("http://{at}{path}"), body.map(|body| body.to_string()));
    let answer = chat_load::http::request(method, &url, token, body.as_deref());
    let (status, body) = timeout(PATIENCE, answer).await.expect("an answer").unwrap();
    (status, serde_json::from_str(&body).unwrap_or_default())
}
