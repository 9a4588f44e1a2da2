//! How often a user or a room may do something.

use std::time::Duration;

use async_trait::async_trait;

use crate::{Backend, Result, RoomId, UserId};

/// Whose allowance is used.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RateKey {
    /// One user's sends, on all connections.
    UserSends(UserId),
    /// All sends into one room.
    RoomSends(RoomId),
    /// One user's typing notices and other signals.
    UserSignals(UserId),
    /// One user's reads of history, searches and lists.
    UserReads(UserId),
}

/// The answer to a request for allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateDecision {
    /// Go on.
    Allowed,
    /// Not before this time has passed.
    Limited {
        /// How long.
        retry_after: Duration,
    },
}

/// Allows a steady rate with bursts (GCRA). One node's own memory by default; a store shared by all nodes where one is set.
#[async_trait]
pub trait RateLimiter: Backend {
    /// Takes one unit of `key`'s allowance, if there is one.
    async fn check(&self, key: RateKey) -> Result<RateDecision>;
}
