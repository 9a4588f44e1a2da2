//! The simulation notices when the engine is broken: each fault put in on purpose is found within a few hundred seeds.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use chat_core::Mutation;
use chat_simulation::{Plan, Weakness, run};

/// Seeds until the fault is found; a fault that needs more is as good as hidden.
const MOST: u64 = 300;

fn is_found(mutation: Mutation, guarantees: &[&str]) {
    search(&format!("{mutation:?}"), |plan| plan.with_mutation(mutation), guarantees);
}

fn is_found_in_a_backend(weakness: Weakness, guarantees: &[&str]) {
    search(&format!("{weakness:?}"), |plan| plan.with_weakness(weakness), guarantees);
}

fn search(name: &str, plan: impl Fn(Plan) -> Plan, guarantees: &[&str]) {
    for seed in 0..MOST {
        let report = run(&plan(Plan::new(seed)));
        if let Some(violation) = report.violations.iter().find(|found| guarantees.contains(&found.guarantee))
        {
            println!("{name}: seed {seed}: {violation}");
            return;
        }
    }
    panic!("{name} was not found in {MOST} seeds");
}

#[test]
fn a_gap_that_is_not_repaired() {
    is_found(Mutation::NoGapRepair, &["G5"]);
}

#[test]
fn a_head_that_is_never_compared() {
    is_found(Mutation::NoHeadCheck, &["G5"]);
}

#[test]
fn a_repeat_that_is_handed_on() {
    is_found(Mutation::KeepRepeats, &["G5"]);
}

#[test]
fn a_page_that_is_read_before_registering() {
    is_found(Mutation::ReadBeforeRegister, &["G5"]);
}

#[test]
fn an_epoch_that_is_not_noticed() {
    is_found(Mutation::IgnoreEpoch, &["G4", "G5"]);
}

#[test]
fn a_session_that_is_moved_on_without_a_word() {
    is_found(Mutation::SkipWhenBehind, &["G5"]);
}

#[test]
fn a_removal_that_does_not_end_the_subscription() {
    is_found(Mutation::IgnoreRemoval, &["G6"]);
}

#[test]
fn a_revocation_that_does_not_end_the_session() {
    is_found(Mutation::IgnoreExpiry, &["G6"]);
}

#[test]
fn an_answer_before_the_log_has_answered() {
    is_found(Mutation::AckBeforeStore, &["G1"]);
}

#[test]
fn an_answer_for_a_batch_that_failed() {
    is_found(Mutation::AckOnError, &["G1"]);
}

#[test]
fn connections_that_are_not_registered_again() {
    is_found(Mutation::NoReregistration, &["G7"]);
}

#[test]
fn a_log_that_stores_a_repeat_again() {
    is_found_in_a_backend(Weakness::NoDedup, &["G2"]);
}

#[test]
fn a_log_that_does_not_look_at_memberships() {
    is_found_in_a_backend(Weakness::NoMembershipCheck, &["G6"]);
}

#[test]
fn a_presence_that_takes_a_late_word_of_an_ended_connection() {
    is_found_in_a_backend(Weakness::StaleIncarnation, &["G7"]);
}
