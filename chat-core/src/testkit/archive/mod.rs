//! Cases for [`Archive`](crate::tiered::Archive), a file per group.

pub mod effects;
pub mod importing;
pub mod lives;
pub mod lookups;
pub mod racing;
mod world;
