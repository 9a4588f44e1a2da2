//! The benchmarks of the parts, each against the raw cost of what lies beneath it: what they print, as it is.

use std::{env, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::{document::Section, program::Programs};

/// Package, benchmark, and words for it.
const PARTS: [(&str, &str, &[&str]); 12] = [
    ("chat-core", "fanout", &[]),
    ("chat-core", "group_commit", &[]),
    ("chat-core", "memory", &[]),
    ("chat-backend-sqlite", "append", &[]),
    ("chat-backend-sqlite", "reading", &[]),
    ("chat-backend-postgres", "append", &[]),
    ("chat-backend-postgres", "reading", &[]),
    ("chat-backend-redis", "fanout", &[]),
    ("chat-backend-redis", "hot_log", &[]),
    ("chat-backend-redis", "presence", &[]),
    ("chat-backend-kafka", "queue", &[]),
    ("chat-backend-kafka", "worker", &[]),
];

pub(crate) fn run(programs: &Programs) -> Result<Section> {
    let mut output = Vec::new();
    for (package, bench, words) in PARTS {
        eprintln!("{package}: {bench}");
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // The whole workspace's selection of features, so that nothing is built twice.
        command.current_dir(&programs.root).args([
            "bench",
            "--quiet",
            "--workspace",
            "--all-features",
            "--bench",
            bench,
            "--package",
            package,
        ]);
        let done = command.arg("--").args(words).output().context("cargo could not be started")?;
        if !done.status.success() {
            bail!("{package}, {bench}: {}\n{}", done.status, String::from_utf8_lossy(&done.stderr));
        }
        output.push(format!("{package}, {bench}\n\n{}", String::from_utf8_lossy(&done.stdout).trim()));
    }
    Ok(Section {
        title: "The parts against what lies beneath them".into(),
        done: "Each against the raw cost of the same work: bare channels, plain inserts, bare Pub/Sub, bare production, in turns in one run. What they print, as it is; each file says what it does.".into(),
        output,
        ..Section::default()
    })
}
