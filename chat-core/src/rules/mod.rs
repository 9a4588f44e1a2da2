//! What every store decides alike, without a store: backends look things up, ask here, and write what comes out.

pub mod batch;
mod changes;
mod membership;
mod paging;
pub mod stored;

pub use changes::Changes;
pub use membership::{Membership, MembershipChange};
pub use paging::Found;
