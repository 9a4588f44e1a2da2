//! The same scenarios with messages and rooms in an SQLite file: its appends, trims, backups and restores keep the same
//! guarantees. `CHAT_SIMULATION_SQLITE_SEEDS` changes how many seeds, `CHAT_SIMULATION_START` where they begin.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use chat_simulation::{Plan, StoreKind, run};

const SEEDS: u64 = 100;

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
            let report = run(&Plan::new(seed).with_store(StoreKind::Sqlite));
            assert!(report.stored > 0 && report.applied > 0, "seed {seed} does nothing");
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
