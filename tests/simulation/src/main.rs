//! Runs seeds. `cargo run -p chat-simulation -- --seed 17` repeats one and prints what happens.

use std::process::ExitCode;

use chat_simulation::{Plan, StoreKind, run};
use clap::Parser;

/// Simulates several nodes with faults and checks what their clients saw.
#[derive(Debug, Parser)]
struct Arguments {
    /// Run this one seed and print everything.
    #[arg(long)]
    seed: Option<u64>,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    start: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// Where messages and rooms are kept.
    #[arg(long, value_enum, default_value_t)]
    store: StoreKind,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (seeds, verbose) = match arguments.seed {
        Some(seed) => (seed..seed + 1, true),
        None => (arguments.start..arguments.start + arguments.seeds, false),
    };
    let mut failed = 0;
    for seed in seeds {
        let plan = Plan::new(seed).with_store(arguments.store);
        let plan = if verbose { plan.verbose() } else { plan };
        let report = run(&plan);
        if verbose {
            println!("{report:#?}");
        }
        if let Some(first) = report.violations.first() {
            failed += 1;
            println!("seed {seed}: {} violations, first {first}", report.violations.len());
        }
    }
    println!("{failed} seeds failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
