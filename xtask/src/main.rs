//! The project's own tasks: `cargo xtask --help`.

mod bench;
mod chaos;
mod check;
mod examples;
mod install;
mod process;
mod schemathesis;
mod server;
mod services;
mod side_by_side;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::{process::Steps, workspace::Workspace};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The project's own tasks")]
struct CommandLine {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Runs every test: Rust, documentation, the protocol's documents, page, browser.
    Test(TestOptions),
    /// Only the requests that are made from the OpenAPI document.
    Schemathesis,
    /// Looks at the code without running it: format, lints, documentation, features, dependencies.
    Check,
    /// Starts every example server once and stops it again.
    Examples,
    /// Compares whole servers, ours and others', in one run.
    Bench {
        /// Passed on: `fan-out return --full --write`; `-- --help` says all.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Runs a whole cluster under random faults, and compares what its clients saw with what is stored.
    Chaos {
        /// Passed on: `--minutes 10 --seed 1 --pipelines shop,study --write`; `-- --help` says all.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// The servers that tests use.
    Services {
        #[command(subcommand)]
        task: Services,
    },
    /// Everything that has to pass: test, check, examples.
    Ci(TestOptions),
}

#[derive(Debug, Subcommand)]
enum Services {
    /// Starts them, says how tests find them, and leaves them running until Ctrl-C.
    Up {
        /// Which: postgres, redis, kafka. All of them if none is named.
        names: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, Args)]
struct TestOptions {
    /// Leaves out the tests that drive a browser (npm and Chromium are then not installed).
    #[arg(long)]
    no_browser: bool,
    /// Leaves out the requests that are made from the OpenAPI document (and Python with them).
    #[arg(long)]
    no_schemathesis: bool,
}

fn main() -> ExitCode {
    let command = CommandLine::parse();
    let mut steps = Steps::new();
    let result = Workspace::load().and_then(|workspace| match command.task {
        Task::Test(options) => test::run(&mut steps, &workspace, options),
        Task::Schemathesis => test::rest_against_its_document(&mut steps, &workspace),
        Task::Check => check::run(&mut steps, &workspace),
        Task::Examples => examples::run(&mut steps, &workspace),
        Task::Bench { words } => bench::run(&mut steps, &workspace, &words),
        Task::Chaos { words } => chaos::run(&workspace, &words),
        Task::Services { task: Services::Up { names } } => services::up(&workspace, &names),
        Task::Ci(options) => test::run(&mut steps, &workspace, options)
            .and_then(|()| check::run(&mut steps, &workspace))
            .and_then(|()| examples::run(&mut steps, &workspace)),
    });
    steps.summarize();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nfailed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
