//! Running programs and saying how long each step took.

use std::{
    ffi::OsStr,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// What Cargo tells a program that it runs of that program's package.
const OWN: [&str; 2] = ["CARGO_PKG_", "CARGO_MANIFEST_"];

/// The steps so far, with their times.
#[derive(Debug)]
pub(crate) struct Steps {
    started: Instant,
    lines: Vec<String>,
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), lines: Vec::new() }
    }

    /// Runs one step under its name. The caller stops at the first that fails.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> Result<()>) -> Result<()> {
        println!("\n== {name}");
        let started = Instant::now();
        let result = step();
        let word = if result.is_ok() { "ok" } else { "FAILED" };
        let line = format!("{word:<8}{:>9}  {name}", seconds(started.elapsed()));
        println!("== {line}");
        self.lines.push(line);
        result.with_context(|| name.to_owned())
    }

    /// Names what was left out, so that nobody takes it for passed.
    pub(crate) fn leave_out(&mut self, name: &str, why: &str) {
        let line = format!("{:<8}{:>9}  {name} ({why})", "LEFT OUT", "-");
        println!("\n== {line}");
        self.lines.push(line);
    }

    pub(crate) fn summarize(&self) {
        println!("\n== summary, {} in all", seconds(self.started.elapsed()));
        for line in &self.lines {
            println!("   {line}");
        }
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// A call of the Cargo that runs this task, as if somebody had typed it: what Cargo says of this task in the environment would have
/// it build those packages again that look there.
pub(crate) fn cargo<A: AsRef<OsStr>>(root: &Path, arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).args(arguments);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| OWN.iter().any(|own| name.starts_with(own))) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a program to its end, with its output on ours.
pub(crate) fn run(mut command: Command) -> Result<()> {
    let shown = shown(&command);
    println!("$ {shown}");
    let status = command.status().with_context(|| format!("{shown}: could not be started"))?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(())
}

/// Runs a program to its end and answers what it printed.
pub(crate) fn output(mut command: Command) -> Result<String> {
    let shown = shown(&command);
    let output = command.output().with_context(|| format!("{shown}: could not be started"))?;
    if !output.status.success() {
        bail!("{shown}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command as one would type it, without the path of the program.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
