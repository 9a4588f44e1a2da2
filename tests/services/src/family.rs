//! Signals to a process and all its descendants.
//!
//! A signal to the process group does not do: every child of PostgreSQL makes itself the leader of a group of its own.

use std::{
    collections::BTreeMap,
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process, test_kill_process},
};

/// How long a process may take to stand still.
const HALTED: Duration = Duration::from_secs(10);

/// Sends a signal to one process.
pub(crate) fn signal(process: u32, signal: Signal) -> Result<()> {
    match kill_process(pid(process)?, signal) {
        // It ended meanwhile.
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("a signal to process {process}")),
    }
}

/// Sends a signal to each of them, in this order.
pub(crate) fn signal_all(processes: &[u32], what: Signal) -> Result<()> {
    processes.iter().try_for_each(|process| signal(*process, what))
}

/// Halts a process and its descendants and answers who they are, itself first. Each is halted before its children are looked
/// for: it cannot make new ones meanwhile.
pub(crate) fn stop_all(process: u32) -> Result<Vec<u32>> {
    let mut stopped = Vec::new();
    let mut next = vec![process];
    while !next.is_empty() {
        signal_all(&next, Signal::STOP)?;
        next.iter().try_for_each(|process| halted(*process))?;
        stopped.extend(next);
        let all = with_descendants(process)?;
        next = all.into_iter().filter(|process| !stopped.contains(process)).collect();
    }
    Ok(stopped)
}

/// Waits until none of a process's threads runs any more: on a busy machine that takes a moment.
fn halted(process: u32) -> Result<()> {
    let deadline = Instant::now() + HALTED;
    let runs = |thread: fs::DirEntry| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        parse_stat(&stat).is_some_and(|(state, _)| !["T", "t", "Z", "X"].contains(&state))
    };
    // Where there is no such folder, nobody can tell; and one that ended does not run.
    while let Ok(threads) = fs::read_dir(format!("/proc/{process}/task"))
        && threads.flatten().any(runs)
    {
        ensure!(Instant::now() < deadline, "process {process} does not stand still");
        sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// A process and its descendants, parents before their children.
pub(crate) fn with_descendants(process: u32) -> Result<Vec<u32>> {
    let children = children()?;
    let mut all = vec![process];
    let mut at = 0;
    while let Some(parent) = all.get(at) {
        if let Some(children) = children.get(parent) {
            all.extend(children);
        }
        at += 1;
    }
    Ok(all)
}

/// Whether it is there and not only waiting for its parent to notice its end.
pub(crate) fn is_running(process: u32) -> bool {
    match fs::read_to_string(format!("/proc/{process}/stat")) {
        Ok(stat) => parse_stat(&stat).is_some_and(|(state, _)| state != "Z"),
        Err(_) if cfg!(target_os = "linux") => false,
        Err(_) => pid(process).is_ok_and(|pid| test_kill_process(pid).is_ok()),
    }
}

fn pid(process: u32) -> Result<Pid> {
    let raw = i32::try_from(process).ok().and_then(Pid::from_raw);
    raw.with_context(|| format!("{process} is no number of a process"))
}

/// The children of every process there is.
fn children() -> Result<BTreeMap<u32, Vec<u32>>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (process, parent) in parents()? {
        children.entry(parent).or_default().push(process);
    }
    Ok(children)
}

/// Every process, with its parent.
#[cfg(target_os = "linux")]
fn parents() -> Result<Vec<(u32, u32)>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that ended meanwhile has no file.
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        if let Some((_, parent)) = parse_stat(&stat) {
            parents.push((process, parent));
        }
    }
    Ok(parents)
}

/// Every process, with its parent.
#[cfg(not(target_os = "linux"))]
fn parents() -> Result<Vec<(u32, u32)>> {
    let output = std::process::Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output().context("ps")?;
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let parse = |line: &str| {
        let (process, parent) = line.trim().split_once(' ')?;
        Some((process.parse().ok()?, parent.trim().parse().ok()?))
    };
    Ok(lines.lines().filter_map(parse).collect())
}

/// The state and the parent, out of `number (name) state parent …`, where the name may contain spaces and parentheses.
fn parse_stat(stat: &str) -> Option<(&str, u32)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_hide_the_parent() {
        assert_eq!(parse_stat("17 (a ) (b) S 4 17 17 0"), Some(("S", 4)));
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn this_process_is_running_and_has_a_parent() {
        let us = std::process::id();
        assert!(is_running(us));
        assert!(parents().unwrap().iter().any(|(process, _)| *process == us));
        assert_eq!(with_descendants(us).unwrap().first(), Some(&us));
    }
}
