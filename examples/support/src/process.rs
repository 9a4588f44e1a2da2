//! A program's start and its exit code.

use std::{
    env, fmt,
    io::{self, IsTerminal as _},
    process::ExitCode,
    time::Duration,
};

use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::settings::{DEFAULT_LOG, LOG, WrongSettings};

/// How long threads that block may take to end once the program has: what they wait for is of no use to anybody.
const LEFT: Duration = Duration::from_secs(1);

/// What a program was started for cannot be read from its arguments.
#[derive(Debug)]
pub struct WrongUsage;

impl fmt::Display for WrongUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("these arguments are not known; --help shows which are")
    }
}

impl std::error::Error for WrongUsage {}

/// Runs a program with its arguments to its end: logs go to stderr, as `CHAT_LOG` says. `--help` prints `usage` and needs no settings.
///
/// The exit code is 0 where it ended in good order, 2 for [`WrongUsage`] and [`WrongSettings`], and 1 for every other error, which is
/// written to stderr with its causes.
pub fn run(usage: &str, main: impl AsyncFnOnce(&[&str]) -> anyhow::Result<()>) -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if arguments.iter().any(|argument| ["-h", "--help"].contains(argument)) {
        println!("{usage}");
        return ExitCode::SUCCESS;
    }
    log();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        let ended = runtime.block_on(main(&arguments));
        runtime.shutdown_timeout(LEFT);
        ended
    });
    let Err(error) = ended else { return ExitCode::SUCCESS };
    eprintln!("{}", words(&error));
    if error.is::<WrongSettings>() || error.is::<WrongUsage>() {
        ExitCode::from(2)
    } else {
        ExitCode::FAILURE
    }
}

/// A filter that cannot be read is one of the wrong settings, which end the program a moment later.
fn log() {
    let asked = env::var(LOG).ok().and_then(|filter| EnvFilter::builder().parse(filter).ok());
    let filter = asked.unwrap_or_else(|| EnvFilter::new(DEFAULT_LOG));
    let lines =
        tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let lines = lines.with_filter(filter_fn(|metadata| !shows_secrets(metadata)));
    // In vain where there is one already, such as in tests.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
}

/// The WebSocket library traces frames as they are, and the first one of a client may have its token.
fn shows_secrets(metadata: &Metadata<'_>) -> bool {
    *metadata.level() == Level::TRACE && metadata.target().starts_with("tungstenite")
}

/// What happened and why, each thing once: some errors say their cause themselves.
fn words(error: &anyhow::Error) -> String {
    let mut words = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if words.is_empty() {
            words = cause;
        } else if !words.ends_with(&cause) {
            words = format!("{words}: {cause}");
        }
    }
    words
}
