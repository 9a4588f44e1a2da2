//! A fast log in front of a durable one: what was just sent is answered by a [`HotLog`], and moved into an [`Archive`] a
//! moment later.

mod archive;
mod hot;

pub use archive::{
    Admission, Archive, ArchivedRoom, ArchivedTarget, Import, ImportEntry, ImportOutcome, Life, LifeOutcome,
};
pub use hot::{
    Archived, Claim, DeadLetter, Gate, GateState, Hold, HotAppended, HotBatch, HotChange, HotDraft, HotEntry,
    HotFrom, HotLog, HotOutcome, HotPage, HotRoom, HotState, HotWindow, Lag, NameKey, Opening, Pending, Take, Unlearned,
};
