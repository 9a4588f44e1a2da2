//! A whole cluster on this machine under random faults. The README says how to run it and what it does.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test says why by panicking"))]

mod check;
mod chronicle;
mod client;
mod cluster;
mod fault;
mod guardian;
mod http;
mod inject;
mod node;
mod notes;
mod pipeline;
mod presence;
mod programs;
mod recovery;
mod report;
mod run;
mod sabotage;
mod settle;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, ValueEnum as _};

use crate::{chronicle::Chronicle, pipeline::Kind, run::Run, sabotage::Sabotage};

/// Runs a whole cluster on this machine, does random faults to it, and compares what clients saw with what is stored.
#[derive(Debug, Clone, Parser)]
#[command(name = "chat-chaos")]
struct Options {
    /// For how long faults are done
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    minutes: u64,

    /// Chooses faults, places and times; the same ones again with the same number
    #[arg(long)]
    seed: Option<u64>,

    /// Which pipelines, with commas; all of them unless given
    #[arg(long, value_enum, value_delimiter = ',')]
    pipelines: Vec<Kind>,

    /// Only kinds of faults whose name has one of these in it, such as `Redis` or `kill`; with commas
    #[arg(long, value_delimiter = ',')]
    faults: Vec<String>,

    /// Keep the processes' logs, also where nothing was found
    #[arg(long)]
    keep: bool,

    /// Write the report into this file
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,

    /// Where the example servers' programs are; beside this one unless given
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,

    /// Where logs go; `chaos` beside the programs' folder unless given
    #[arg(long, value_name = "FOLDER")]
    logs: Option<PathBuf>,

    /// Falsifies what one client of each protocol noted, to see that it is found
    #[arg(long, value_enum, hide = true)]
    sabotage: Option<Sabotage>,
}

impl Options {
    fn kinds(&self) -> Vec<Kind> {
        let mut kinds =
            if self.pipelines.is_empty() { Kind::value_variants().to_vec() } else { self.pipelines.clone() };
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    fn programs(&self) -> Result<PathBuf> {
        match &self.programs {
            Some(folder) => Ok(folder.clone()),
            None => {
                let own = std::env::current_exe()?;
                Ok(own.parent().context("a program without a folder")?.to_owned())
            }
        }
    }

    fn logs(&self, seed: u64) -> Result<PathBuf> {
        let parent = match &self.logs {
            Some(folder) => folder.clone(),
            None => self.programs()?.parent().context("no folder beside the programs")?.join("chaos"),
        };
        let folder = parent.join(format!("seed-{seed}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(folder)
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = runtime.context("no runtime").and_then(|runtime| runtime.block_on(chaos(&options)));
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos could not be done: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// True where nothing was found.
async fn chaos(options: &Options) -> Result<bool> {
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let logs = options.logs(seed)?;
    println!("seed {seed}; logs in {}", logs.display());
    let run = Run::open(options, seed, logs.clone()).await?;
    let outcome = run.go(options).await?;
    ensure!(!outcome.chronicle.records.is_empty(), "it ended before the first fault, and says nothing");
    let report = report::text(&outcome);
    println!("\n{report}");
    let Chronicle { findings, .. } = &outcome.chronicle;
    let well = findings.is_empty();
    if let Some(file) = &options.write {
        std::fs::write(file, &report).with_context(|| file.display().to_string())?;
        println!("written to {}", file.display());
    }
    if well && !options.keep {
        let _ = std::fs::remove_dir_all(&logs);
    } else {
        println!("the processes' logs are in {}", logs.display());
    }
    Ok(well)
}
