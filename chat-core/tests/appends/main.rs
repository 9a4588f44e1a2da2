//! The way into the log: batches, bounds, order, dropped callers, failing logs, hooks.
#![allow(clippy::unwrap_used, reason = "what cannot go on says why by panicking")]

mod cancel;
mod group_commit;
mod hooks;
mod support;
