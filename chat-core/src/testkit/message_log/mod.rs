//! Cases for [`MessageLog`](crate::MessageLog), a file per group.

pub mod dedup;
pub mod membership;
pub mod order;
pub mod paging;
mod reading;
pub mod targets;
