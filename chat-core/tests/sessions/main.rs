//! Sessions over the memory backend: join, live, resume, limits, ends.
#![allow(clippy::unwrap_used, reason = "what cannot go on says why by panicking")]

mod bindings;
mod changes;
mod counting_log;
mod ends;
mod follow;
mod leases;
mod lives;
mod page_budget;
mod queued;
mod slow_rooms;
mod world;
