//! Load on a chat server, from outside: connections that are opened, messages that are sent at a fixed or at the greatest rate, and
//! for each of them who got it, when, how often and in which order. Knows this library's JSON protocol, Socket.IO in any dialect,
//! Centrifugo's JSON protocol, and a bare WebSocket that repeats to all what one says, so that the same load runs against each.
//!
//! [`run`](run::run) is the load, [`storm`](storm::run) has many clients come back at once. What came of it is a
//! [`Report`](report::Report): text, JSON and [charts](chart).

#![allow(clippy::future_not_send, reason = "each thread has its rooms and connections to itself")]

pub mod chart;
mod connection;
mod group;
pub mod http;
mod ledger;
pub mod mark;
pub mod places;
pub mod plan;
pub mod process;
pub mod protocol;
pub mod report;
pub mod run;
mod schedule;
pub mod stats;
pub mod storm;

pub use ledger::Faults;
