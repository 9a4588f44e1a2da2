//! What a backend gives the kit, one small trait per role.

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
