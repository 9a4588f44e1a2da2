//! A seeded simulation of several nodes over one store: a fan-out that drops, repeats, reorders and delays, a log that fails
//! and times out, nodes that die, clocks that jump, clients that come and go, members that are removed. Whatever clients
//! saw is checked against what was stored.
//!
//! One thread, virtual time, one source of chance: a seed is a run. `cargo run -p chat-simulation -- --seed N` repeats one.
//! With `--store sqlite` messages and rooms are in an SQLite file, and a seed is what is done, not in which order
//! that ends.
#![allow(clippy::unwrap_used, reason = "a simulation that cannot go on says why by panicking")]

mod client;
mod dice;
mod faulty_fanout;
mod faulty_log;
mod faulty_presence;
mod history;
mod node;
mod outbox;
mod scenario;
mod settle;
mod sqlite_parts;
mod sqlite_store;
mod store;
mod world;

pub use self::{
    history::{History, Report, Violation},
    outbox::{Outbox, Outgoing},
    scenario::{Plan, Weakness, run},
    store::StoreKind,
};
