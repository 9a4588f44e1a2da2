//! Samples of a process by `perf`, as stacks and as a flame graph.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, BufWriter},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use inferno::{
    collapse::{
        Collapse as _,
        perf::{Folder, Options},
    },
    flamegraph,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use super::load::{Extent, Load};
use crate::program::Programs;

/// Samples a second. A prime, so that nothing that is done so many times a second is always or never seen.
pub(super) const FREQUENCY: u32 = 499;
/// How much of each stack is kept, in bytes: tasks within tasks are deep.
const STACK: &str = "dwarf,16384";
/// What takes less of the time than this is not drawn, in percent.
const LEAST: f64 = 0.2;

/// The stacks of a server under this load, outermost first, with the nanoseconds that each was seen.
pub(super) async fn of(programs: &Programs, load: &Load, folder: &Path) -> Result<Vec<(String, u64)>> {
    let running = load.start(programs, &[]).await?;
    let file = folder.join(format!("{}.data", load.name));
    let perf = Recording::begin(&running.server.pids(), &file)?;
    // It says nothing when it has begun.
    sleep(Duration::from_secs(1)).await;
    load.run(&running.server, Extent::Sampled).await?;
    perf.end()?;
    let stacks = stacks(&file)?;
    fs::remove_file(&file)?;
    Ok(stacks)
}

struct Recording(Child);

impl Recording {
    fn begin(pids: &[u32], file: &Path) -> Result<Self> {
        let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
        let mut perf = Command::new("perf");
        perf.args([
            "record",
            "--quiet",
            "--event",
            "cpu-clock",
            "--freq",
            &FREQUENCY.to_string(),
            "--call-graph",
            STACK,
            "--pid",
        ]);
        perf.arg(pids.join(",")).arg("--output").arg(file);
        let child = perf.stdin(Stdio::null()).spawn();
        Ok(Self(child.context("perf could not be started: install it (Debian: linux-perf)")?))
    }

    /// Ends it as a person at a terminal would, and waits until it has written everything.
    fn end(mut self) -> Result<()> {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::INT)?;
        }
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What was recorded, added up.
fn stacks(file: &Path) -> Result<Vec<(String, u64)>> {
    let mut script = Command::new("perf");
    // Without a look at what was inlined: that takes minutes.
    script.args(["script", "--no-inline", "--input"]).arg(file);
    let mut script = script.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let output = script.stdout.take().context("no standard output")?;
    let mut options = Options::default();
    options.annotate_kernel = true;
    let mut collapsed = Vec::new();
    Folder::from(options).collapse(BufReader::new(output), &mut collapsed)?;
    ensure!(script.wait()?.success(), "perf could not tell what it had recorded");
    let mut stacks = Vec::new();
    for line in collapsed.lines() {
        let line = line?;
        let (stack, count) = line.rsplit_once(' ').with_context(|| format!("not a stack: {line}"))?;
        stacks.push((readable(stack), count.parse()?));
    }
    ensure!(!stacks.is_empty(), "perf recorded nothing");
    Ok(stacks)
}

/// With names as they are in the source, and from the task on: what lies below it is the same everywhere. Without the name of the thread.
fn readable(stack: &str) -> String {
    let frames: Vec<String> =
        stack.split(';').map(|frame| format!("{:#}", rustc_demangle::demangle(frame))).collect();
    let task = frames.iter().rposition(|frame| frame.ends_with("worker::Context::run_task"));
    frames[task.map_or(1, |task| task + 1).min(frames.len() - 1)..].join(";")
}

/// Draws them.
pub(super) fn draw(stacks: &[(String, u64)], title: &str, file: &Path) -> Result<()> {
    let lines: Vec<String> = stacks.iter().map(|(stack, count)| format!("{stack} {count}")).collect();
    let mut options = flamegraph::Options::default();
    options.title = title.to_owned();
    options.min_width = LEAST;
    options.deterministic = true;
    let to = BufWriter::new(File::create(file).with_context(|| file.display().to_string())?);
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), to)?;
    Ok(())
}
