//! What can be set.

use std::{path::PathBuf, time::Duration};

use clap::Parser;

/// Chat on a server of warp.
#[derive(Parser)]
#[command(name = "example-warp-websocket", version)]
pub(crate) struct Settings {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", env = "CHAT_LISTEN", default_value = "127.0.0.1:8080")]
    pub(crate) listen: String,

    /// The SQLite file that messages are kept in; made if it is not there
    #[arg(long, value_name = "FILE", env = "CHAT_FILE", default_value = "chat.db")]
    pub(crate) file: PathBuf,

    /// Signs your users' tokens (HS256, `sub` is the user): at least 32 bytes, made by a random generator. Prefer the variable: others on
    /// this machine can see arguments
    #[arg(long, value_name = "SECRET", env = "CHAT_SECRET", hide_env_values = true)]
    pub(crate) secret: String,

    /// Pages of these origins may connect, such as `https://example.com`; without any, pages of the same host. Repeat it for several
    #[arg(long = "origin", value_name = "ORIGIN", env = "CHAT_ORIGINS", value_delimiter = ',')]
    pub(crate) origins: Vec<String>,

    /// When this server ends, its clients come back at random times within so many milliseconds
    #[arg(long, value_name = "MS", env = "CHAT_DRAIN_MS", default_value_t = 2_000)]
    drain_ms: u64,
}

impl Settings {
    pub(crate) const fn drain_window(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }
}
