//! Cases for [`MessageLog`](crate::MessageLog), a file per group.

pub mod cancel;
pub mod concurrency;
pub mod dedup;
pub mod epoch;
pub mod membership;
pub mod order;
pub mod paging;
pub mod projection;
pub(super) mod reading;
pub mod retention;
pub mod targets;
