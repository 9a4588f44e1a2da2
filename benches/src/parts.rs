//! The benchmarks of the parts, each against the raw cost of what lies beneath it: what they print, as it is.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{document::Section, program::Programs};

/// Package and benchmark.
const PARTS: [(&str, &str); 12] = [
    ("chat-core", "fanout"),
    ("chat-core", "group_commit"),
    ("chat-core", "memory"),
    ("chat-backend-sqlite", "append"),
    ("chat-backend-sqlite", "reading"),
    ("chat-backend-postgres", "append"),
    ("chat-backend-postgres", "reading"),
    ("chat-backend-redis", "fanout"),
    ("chat-backend-redis", "hot_log"),
    ("chat-backend-redis", "presence"),
    ("chat-backend-kafka", "queue"),
    ("chat-backend-kafka", "worker"),
];

/// What a benchmark of a package prints.
pub(crate) fn printed(
    programs: &Programs,
    package: &str,
    bench: &str,
    settings: &[(&str, String)],
) -> Result<String> {
    eprintln!("{package}: {bench}");
    let done = Command::new(built(programs, package, bench)?)
        .current_dir(programs.root.join(package))
        // As Cargo says it.
        .arg("--bench")
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .output()
        .with_context(|| format!("{package}, {bench}"))?;
    if !done.status.success() {
        bail!("{package}, {bench}: {}\n{}", done.status, String::from_utf8_lossy(&done.stderr));
    }
    Ok(String::from_utf8(done.stdout)?)
}

/// Builds a benchmark, and answers where its program is. With the whole workspace's selection of features, so that nothing is built twice:
/// that builds, and would run, those of the same name in other packages, too.
fn built(programs: &Programs, package: &str, bench: &str) -> Result<PathBuf> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&programs.root).stderr(Stdio::inherit());
    cargo.args(["bench", "--quiet", "--no-run", "--workspace", "--all-features", "--message-format=json"]);
    let done = cargo.args(["--bench", bench]).output().context("cargo could not be started")?;
    if !done.status.success() {
        bail!("{package}, {bench} could not be built: {}", done.status);
    }
    let built = String::from_utf8(done.stdout)?;
    program(&built, &programs.root.join(package), bench)
        .with_context(|| format!("{package} has no benchmark {bench}"))
}

/// The program among what Cargo says of what it built.
fn program(built: &str, package: &Path, bench: &str) -> Option<PathBuf> {
    let source = package.join("benches").join(bench).with_extension("rs");
    let artifacts = built.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut programs = artifacts.filter(|artifact| {
        artifact["target"]["src_path"].as_str().is_some_and(|path| Path::new(path) == source)
    });
    programs.find_map(|artifact| artifact["executable"].as_str().map(PathBuf::from))
}

pub(crate) fn run(programs: &Programs) -> Result<Section> {
    let mut output = Vec::new();
    for (package, bench) in PARTS {
        let printed = printed(programs, package, bench, &[])?;
        output.push(format!("{package}, {bench}\n\n{}", printed.trim()));
    }
    Ok(Section {
        title: "The parts against what lies beneath them".into(),
        done: "Each against the raw cost of the same work: bare channels, plain inserts, bare Pub/Sub, bare production, in turns in one run. What they print, as it is; each file says what it does.".into(),
        output,
        ..Section::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_benchmarks_of_a_name_the_packages_own_is_run() {
        let line = |package: &str, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"name":"append","src_path":"/w/{package}/benches/append.rs"}},"executable":"{executable}"}}"#
            )
        };
        let built = format!("{}\n{}\nno JSON", line("other", "/t/append-1"), line("mine", "/t/append-2"));
        let of = |package: &str, bench: &str| program(&built, &Path::new("/w").join(package), bench);
        assert_eq!(of("mine", "append"), Some("/t/append-2".into()));
        assert_eq!(of("mine", "reading"), None);
        assert_eq!(of("third", "append"), None);
    }
}
