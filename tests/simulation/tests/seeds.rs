//! The simulation over many seeds. `CHAT_SIMULATION_SEEDS` changes how many, `CHAT_SIMULATION_START` where they begin.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use chat_simulation::{Plan, run};

const SEEDS: u64 = 2_000;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn every_guarantee_holds_in_every_run() {
    let start = number("CHAT_SIMULATION_START", 0);
    let end = start + number("CHAT_SIMULATION_SEEDS", SEEDS);
    let next = AtomicU64::new(start);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let failures: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut failures = Vec::new();
                    let (mut stored, mut applied) = (0, 0);
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= end {
                            println!("{stored} entries stored, {applied} applied by clients");
                            return failures;
                        }
                        let report = run(&Plan::new(seed));
                        stored += report.stored;
                        applied += report.applied;
                        if let Some(first) = report.violations.first() {
                            failures.push(format!("seed {seed}: {first}"));
                        }
                    }
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let list = failures.iter().take(20).fold(String::new(), |mut list, failure| {
        writeln!(list, "{failure}").unwrap();
        list
    });
    assert!(
        failures.is_empty(),
        "{} of {} seeds failed; repeat one with `cargo run -p chat-simulation -- --seed N`\n{list}",
        failures.len(),
        end - start
    );
}

#[test]
fn a_seed_is_a_run() {
    for seed in 0..20 {
        let (first, second) = (run(&Plan::new(seed)), run(&Plan::new(seed)));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert!(first.stored > 0 && first.applied > 0, "seed {seed} does nothing");
    }
}
