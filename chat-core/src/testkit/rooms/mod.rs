//! Cases for [`Rooms`](crate::Rooms), a file per group.
#![allow(clippy::missing_panics_doc, reason = "a case fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

pub mod create;
pub mod listing;
pub mod members;
pub mod read;
pub mod unread;
pub mod versions;
