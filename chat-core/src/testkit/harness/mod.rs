//! What a backend gives the kit, one small trait per role.

mod archive;
mod auth;
mod fanout;
mod log;
mod presence;
mod rate;
mod search;
mod unread;

pub use self::{
    archive::{ArchiveHarness, ArchiveNode},
    auth::{BindingHarness, RevocationHarness},
    fanout::{FanoutHarness, FanoutInterruptionHarness, FanoutOverflowHarness},
    log::{LogHarness, LogNode, Restore, RestoreHarness},
    presence::PresenceHarness,
    rate::RateLimitHarness,
    search::{SearchHarness, SearchNode},
    unread::UnreadCacheHarness,
};
