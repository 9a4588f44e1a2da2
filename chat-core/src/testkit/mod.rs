//! The conformance kit: the whole contract of each trait, as cases that any backend runs.
//!
//! A backend implements one small harness per trait it has, and lists the groups it promises:
//!
//! ```ignore
//! #[derive(Default)]
//! struct MyStore;
//!
//! #[async_trait::async_trait]
//! impl chat_core::testkit::LogHarness for MyStore {
//!     async fn nodes(&self, count: usize) -> Vec<chat_core::testkit::LogNode> { /* … */ }
//! }
//!
//! chat_core::message_log_dedup_tests!(MyStore::default());
//! chat_core::message_log_order_tests!(MyStore::default());
//! ```
//!
//! Each case runs in a Tokio runtime of its own, on a fresh and empty namespace, within [`run::DEADLINE`]. A backend
//! without a guarantee leaves that group's line out, and its README says so.

pub mod archive;
pub mod binding;
pub mod fanout;
pub mod fixtures;
mod harness;
mod macros;
pub mod message_log;
pub mod presence;
pub mod rate_limit;
pub mod revocation;
pub mod rooms;
pub mod run;
pub mod search;
mod token_is_user;
pub mod unread_cache;

pub use harness::{
    ArchiveHarness, ArchiveNode, BindingHarness, FanoutHarness, FanoutInterruptionHarness,
    FanoutOverflowHarness, LogHarness, LogNode, PresenceHarness, RateLimitHarness, Restore, RestoreHarness,
    RevocationHarness, SearchHarness, SearchNode, UnreadCacheHarness,
};
pub use token_is_user::TokenIsUser;
