//! A whole cluster under random faults: builds the servers and the program that does it, and becomes that.

use std::{os::unix::process::CommandExt as _, process::Command};

use anyhow::{Error, Result};

use crate::{
    process::{self, cargo},
    services,
    workspace::Workspace,
};

const CHAOS: &str = "chat-chaos";

/// What it starts.
const SERVERS: [&str; 5] = [
    "example-axum-group",
    "example-axum-group-worker",
    "example-axum-quickstart",
    "example-axum-shop",
    "example-axum-study",
];

/// `--write` means this file, unless another one follows.
const REPORT: &str = "docs/reliability.md";

/// Never returns where all went well: Ctrl-C is for the other program alone.
pub(crate) fn run(workspace: &Workspace, words: &[String]) -> Result<()> {
    services::install()?;
    // The tests' selection of features, so that what they have built serves here.
    let mut build = cargo(&workspace.root, ["build", "--workspace", "--all-features"]);
    build.args([CHAOS].iter().chain(&SERVERS).flat_map(|name| ["--bin", name]));
    process::run(build)?;
    let mut chaos = Command::new(workspace.program(CHAOS));
    chaos.arg("--programs").arg(workspace.programs());
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        chaos.arg(word);
        if word == "--write" && words.peek().is_none_or(|next| next.starts_with("--")) {
            chaos.arg(workspace.root.join(REPORT));
        }
    }
    Err(Error::from(chaos.exec()).context("the program that does faults could not be started"))
}
