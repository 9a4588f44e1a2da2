//! Processes of the quickstart on one PostgreSQL database are one chat, whatever happens to the database, to the network, to a
//! process and to the Redis between them. The server, the processes and the clients are real; what the clients saw is checked by the simulation's own
//! history.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod client;
mod compare;
mod crash;
mod faults;
mod hot_crash;
mod hot_faults;
mod hot_losses;
mod hot_stage;
mod node;
mod notes;
mod redis_faults;
mod redis_stage;
mod redis_together;
mod stage;
mod together;
