//! Cases for [`MessageLog`](crate::MessageLog), a file per group.

pub mod dedup;
pub mod order;
mod reading;
