//! Benchmarks of whole servers: this library's, a bare minimum, and what one would take otherwise, in turns on one machine. Every
//! claim is a ratio within one run. `cargo xtask bench` builds what is needed and runs this.
#![allow(clippy::future_not_send, reason = "one thread does it all")]

mod document;
mod fan_out;
mod group;
mod growth;
mod history;
mod machine;
mod parts;
mod profile;
mod program;
mod returning;
mod shop;
mod systems;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};
use clap::Parser;
use tokio::task::LocalSet;

use crate::{
    document::{Document, Section},
    program::Programs,
};

/// Signs all tokens of a run. Nobody is given one.
pub(crate) const SECRET: &str = "a secret of the benchmarks, and of no use elsewhere";

#[derive(Debug, Parser)]
#[command(about = "Benchmarks of whole servers in one run")]
struct CommandLine {
    /// Which of them: fan-out, return, shop, group, growth, history, parts, profile. All but the last two unless named (with --full: all but the
    /// last).
    names: Vec<String>,
    /// Several rounds, greater numbers, and the benchmarks of the parts: an hour in place of ten minutes.
    #[arg(long)]
    full: bool,
    /// The folder of the built programs.
    #[arg(long)]
    programs: PathBuf,
    /// The folder of the peers that are built.
    #[arg(long)]
    peers: PathBuf,
    /// The workspace.
    #[arg(long)]
    root: PathBuf,
    /// Writes the document there, and its charts into the folder of the same name beside it. What does not run this time stays.
    #[arg(long)]
    write: Option<PathBuf>,
    /// Leaves out what the document had before, such as figures of another machine.
    #[arg(long)]
    anew: bool,
}

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) full: bool,
    /// Turns of each server.
    pub(crate) rounds: usize,
    /// Seconds that count.
    pub(crate) seconds: u64,
}

impl Extent {
    const fn new(full: bool) -> Self {
        if full { Self { full, rounds: 5, seconds: 10 } } else { Self { full, rounds: 1, seconds: 6 } }
    }
}

const NAMES: [&str; 8] = ["fan-out", "return", "shop", "group", "growth", "history", "parts", "profile"];
/// What is left out where nothing is named, because it takes long, or needs programs that few have.
const LONG: &str = "parts";
const SPECIAL: &str = "profile";

fn main() -> ExitCode {
    let command = CommandLine::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let done = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        let tasks = LocalSet::new();
        runtime.block_on(tasks.run_until(run(command)))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: CommandLine) -> Result<()> {
    let CommandLine { names, full, programs, peers, root, write, anew } = command;
    if let Some(name) = names.iter().find(|name| !NAMES.contains(&name.as_str())) {
        bail!("there is no benchmark {name}: {}", NAMES.join(", "));
    }
    let wanted = |name: &str| {
        if names.is_empty() {
            name != SPECIAL && (full || name != LONG)
        } else {
            names.iter().any(|wanted| wanted == name)
        }
    };
    let extent = Extent::new(full);
    let programs = Programs { ours: programs, peers, root };
    let mut document = Document::new(&programs, extent, write, anew)?;
    for name in NAMES.into_iter().filter(|name| wanted(name)) {
        eprintln!("\n== {name}");
        let section: Section = match name {
            "fan-out" => fan_out::run(&programs, extent).await?,
            "return" => returning::run(&programs, extent).await?,
            "shop" => shop::run(&programs, extent).await?,
            "group" => group::run(&programs, extent).await?,
            "growth" => growth::run(&programs, extent, &document).await?,
            "history" => history::run(&programs, extent, &document)?,
            LONG => parts::run(&programs)?,
            _ => profile::run(&programs, &document).await?,
        };
        let section = document.told(section);
        println!("{section}");
        document.add(&section)?;
    }
    Ok(())
}
