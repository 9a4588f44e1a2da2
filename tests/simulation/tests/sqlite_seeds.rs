//! The same scenarios with messages and rooms in an SQLite file: its appends, trims, backups and restores keep the same
//! guarantees. `CHAT_SIMULATION_SQLITE_SEEDS` changes how many seeds, `CHAT_SIMULATION_START` where they begin.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use std::{
    fmt::Write,
    panic::catch_unwind,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use chat_core::Mutation;
use chat_simulation::{Plan, StoreKind, run};

const SEEDS: u64 = 100;

fn plan(seed: u64) -> Plan {
    Plan::new(seed).with_store(StoreKind::Sqlite)
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn every_guarantee_holds_in_every_run_over_sqlite() {
    let start = number("CHAT_SIMULATION_START", 0);
    let end = start + number("CHAT_SIMULATION_SQLITE_SEEDS", SEEDS);
    let next = AtomicU64::new(start);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let worker = || {
        let mut failures = Vec::new();
        let (mut stored, mut applied) = (0, 0);
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                println!("{stored} entries stored, {applied} applied by clients");
                return failures;
            }
            let Ok(report) = catch_unwind(|| run(&plan(seed))) else {
                failures.push(format!("seed {seed}: panicked"));
                continue;
            };
            if report.stored == 0 || report.applied == 0 {
                failures.push(format!("seed {seed}: does nothing"));
            }
            stored += report.stored;
            applied += report.applied;
            if let Some(first) = report.violations.first() {
                failures.push(format!("seed {seed}: {first}"));
            }
        }
    };
    let failures: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let list = failures.iter().take(20).fold(String::new(), |mut list, failure| {
        writeln!(list, "{failure}").unwrap();
        list
    });
    assert!(
        failures.is_empty(),
        "{} of {} seeds failed; repeat one with `cargo run -p chat-simulation -- --seed N --store sqlite`, \
         more than once: what overlaps may end differently\n{list}",
        failures.len(),
        end - start
    );
}

/// The checks see through to the engine here too: what is stored is noted by another way than in memory.
#[test]
fn a_fault_in_the_engine_is_found_over_sqlite() {
    for (mutation, guarantee) in [(Mutation::AckBeforeStore, "G1"), (Mutation::NoGapRepair, "G5")] {
        let found = (0..60).any(|seed| {
            let report = run(&plan(seed).with_mutation(mutation));
            report.violations.iter().any(|violation| violation.guarantee == guarantee)
        });
        assert!(found, "{mutation:?} was not found in 60 seeds");
    }
}
