//! What a log's backend gives the kit.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{MessageLog, Rooms};

/// A log with the rooms it checks, as one server holds them.
#[derive(Debug, Clone)]
pub struct LogNode {
    /// The log.
    pub log: Arc<dyn MessageLog>,
    /// The rooms and members that the log checks.
    pub rooms: Arc<dyn Rooms>,
}

/// Gives logs.
#[async_trait]
pub trait LogHarness: Send + Sync {
    /// What `count` servers would hold, all on one fresh, empty namespace that no other case uses.
    async fn nodes(&self, count: usize) -> Vec<LogNode>;
}

/// Gives logs over a store that can be put back to an older copy of itself.
#[async_trait]
pub trait RestoreHarness: LogHarness {
    /// A server on a fresh, empty namespace, and the means to copy its store and to put the copy back.
    async fn node_with_backup(&self) -> (LogNode, Box<dyn Restore>);
}

/// Copies one store, and puts the copy back in the way that its operator would.
#[async_trait]
pub trait Restore: Send + Sync {
    /// Copies what is stored now.
    async fn backup(&mut self);

    /// Puts the last copy back; what was stored since is lost. Answers a server on what is there then. May be called
    /// more than once for one copy.
    async fn restore(&mut self) -> LogNode;
}
