//! Cases for [`UnreadCache`](crate::unread::UnreadCache).
#![allow(clippy::missing_panics_doc, reason = "a case fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

pub mod keeping;
pub mod racing;
mod watched;
