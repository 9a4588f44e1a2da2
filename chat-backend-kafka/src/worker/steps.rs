use std::fmt;

use async_trait::async_trait;

/// Between which steps of a worker a test can stop it. Not for applications.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// A batch was read, and nothing else was done about it.
    Read,
    /// It is stored, and nobody was told.
    Stored,
    /// It is stored and told, and not committed.
    Told,
    /// It is committed.
    Committed,
}

/// Is told of each step, and keeps the worker from the next one until it answers.
#[doc(hidden)]
#[async_trait]
pub trait Steps: fmt::Debug + Send + Sync {
    async fn reached(&self, step: Step);
}
