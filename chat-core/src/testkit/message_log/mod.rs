//! Cases for [`MessageLog`](crate::MessageLog), a file per group.

pub mod dedup;
