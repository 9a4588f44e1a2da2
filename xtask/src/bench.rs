//! Benchmarks of whole servers, ours and others': builds all of them, then runs the program that compares them.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use crate::{
    install,
    process::{self, Steps, cargo},
    services,
    workspace::Workspace,
};

const BENCH: &str = "chat-bench";

/// What it starts.
const SERVERS: [&str; 4] =
    ["chat-load-server", "example-axum-shop", "example-axum-group", "example-axum-group-worker"];

/// `--write` means this file, unless another one follows.
const DOCUMENT: &str = "docs/benchmarks.md";

/// Builds, compares, and perhaps writes.
pub(crate) fn run(steps: &mut Steps, workspace: &Workspace, words: &[String]) -> Result<()> {
    steps.run(install::KAFKA_CLIENT, install::kafka_client)?;
    steps.run("servers for the benchmarks", services::install)?;
    let mut path = env::var_os("PATH").unwrap_or_default();
    steps.run("the peers on Node.js", || {
        let node = install::tools_for_the_page(false, workspace.target())?;
        if let Some(folder) = node.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            path = joined(folder, &path)?;
        }
        if !install::npm_is_there() {
            bail!("npm is needed for the peers: install it, or name the benchmarks that need none (growth, parts)");
        }
        let folder = workspace.root.join("tests/peers");
        for arguments in [&["ci", "--no-audit", "--no-fund"][..], &["run", "build"]] {
            let mut npm = Command::new("npm");
            npm.args(arguments).current_dir(&folder).env("PATH", &path);
            process::run(npm)?;
        }
        Ok(())
    })?;
    let peers = workspace.target().join("peers");
    if install::is_there("go") {
        steps.run("the peer on Centrifuge", || {
            let mut build = Command::new(workspace.root.join("tests/peers/centrifuge/build.sh"));
            build.arg(&peers);
            process::run(build)
        })?;
    } else {
        steps.leave_out("the peer on Centrifuge", "there is no Go");
    }
    steps.run("build", || {
        let mut build =
            cargo(&workspace.root, ["build", "--profile", "bench", "--workspace", "--all-features"]);
        build.args([BENCH].iter().chain(&SERVERS).flat_map(|name| ["--bin", name]));
        process::run(build)
    })?;
    steps.run("benchmarks", || {
        let programs = workspace.optimised();
        let mut bench = Command::new(programs.join(BENCH));
        bench.arg("--programs").arg(&programs).arg("--peers").arg(&peers).arg("--root").arg(&workspace.root);
        bench.args(with_document(words, &workspace.root.join(DOCUMENT))).env("PATH", &path);
        process::run(bench)
    })
}

fn joined(folder: &Path, path: &OsString) -> Result<OsString> {
    let folders = std::iter::once(folder.to_owned()).chain(env::split_paths(path));
    Ok(env::join_paths(folders)?)
}

/// The words as they are, with the document's name behind a `--write` that has none.
fn with_document(words: &[String], document: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        all.push(word.into());
        if word == "--write" && words.peek().is_none_or(|next| !next.ends_with(".md")) {
            all.push(document.to_owned());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_without_a_file_means_the_document() {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let document = Path::new("d.md");
        let of = |list: &[&str]| with_document(&words(list), document);
        let paths = |list: &[&str]| list.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(of(&["--write", "fan-out"]), paths(&["--write", "d.md", "fan-out"]));
        assert_eq!(of(&["--full", "--write", "other.md"]), paths(&["--full", "--write", "other.md"]));
        assert_eq!(of(&["shop"]), paths(&["shop"]));
    }
}
