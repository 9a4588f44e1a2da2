//! Runs the programs of tests two at a time: those with servers mostly wait, and Cargo runs one after the other.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::process::{self, cargo};

/// More would take the processors from each other, and tests of time suffer first.
const AT_ONCE: usize = 2;

/// What Cargo says of one thing that it has built, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
    profile: Option<Profile>,
    target: Option<Target>,
}

#[derive(Debug, Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
}

#[derive(Debug)]
struct Program {
    name: String,
    path: PathBuf,
    /// Where its package is: there Cargo starts it.
    folder: PathBuf,
}

/// Builds the programs of all tests in `selection` and runs them. The rest is not begun where one fails.
pub(crate) fn run(root: &Path, selection: &[&str]) -> Result<()> {
    let mut build = cargo(root, ["test", "--no-run", "--message-format=json-render-diagnostics"]);
    build.args(selection).stderr(Stdio::inherit());
    let programs = programs(&process::output(build)?)?;
    if programs.is_empty() {
        bail!("there is no program of tests among what Cargo has built");
    }
    let (waiting, failed) = (Mutex::new(VecDeque::from(programs)), Mutex::new(Vec::new()));
    let work = || {
        while let Some(program) = next(&waiting) {
            if let Err(error) = run_one(&program) {
                waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
                failed.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{error:#}"));
            }
        }
    };
    thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join("; ")) }
}

fn next(waiting: &Mutex<VecDeque<Program>>) -> Option<Program> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

fn programs(said: &str) -> Result<Vec<Program>> {
    let mut programs = Vec::new();
    for line in said.lines().filter(|line| line.starts_with('{')) {
        let message: Message = serde_json::from_str(line).context("what Cargo says is not understood")?;
        let Message { executable: Some(path), manifest_path: Some(manifest), profile: Some(profile), target } =
            message
        else {
            continue;
        };
        let (Some(target), Some(folder)) = (target, manifest.parent()) else { continue };
        if profile.test {
            let package = folder.file_name().unwrap_or_default().to_string_lossy();
            let name = format!("{package}: {}", target.name);
            programs.push(Program { name, path, folder: folder.to_owned() });
        }
    }
    Ok(programs)
}

/// What it prints is shown when it has ended, so that two are not mixed up.
fn run_one(program: &Program) -> Result<()> {
    let Program { name, path, folder } = program;
    let started = Instant::now();
    let mut command = Command::new(path);
    command.current_dir(folder).env("CARGO_MANIFEST_DIR", folder).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("{name}: could not be started"))?;
    println!("\n-- {name}, {:.1} s", started.elapsed().as_secs_f64());
    print!("{}", String::from_utf8_lossy(&output.stdout));
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        bail!("the tests of {name}: {}", output.status);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

    use super::*;

    #[test]
    fn programs_of_tests_are_found_and_no_others() {
        let said = r#"
{"reason":"compiler-artifact","manifest_path":"/w/a/Cargo.toml","target":{"name":"one"},"profile":{"test":true},"executable":"/t/one-1"}
{"reason":"compiler-artifact","manifest_path":"/w/b/Cargo.toml","target":{"name":"b"},"profile":{"test":false},"executable":"/t/b"}
{"reason":"compiler-artifact","manifest_path":"/w/b/Cargo.toml","target":{"name":"b"},"profile":{"test":false},"executable":null}
{"reason":"build-finished","success":true}
"#;
        let found = programs(said).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].folder.to_str().unwrap()), ("a: one", "/w/a"));
    }

    #[test]
    fn one_that_fails_says_so() {
        let program = |path: &str| Program { name: "it".to_owned(), path: path.into(), folder: "/".into() };
        run_one(&program("/bin/true")).unwrap();
        assert!(run_one(&program("/bin/false")).unwrap_err().to_string().contains("the tests of it"));
    }
}
