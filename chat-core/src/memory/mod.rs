//! In-memory backend of every trait: for development, for tests, and as the model of the contract that the other
//! backends copy. Nothing outlives the process, and nodes share it only within one process.

mod archive;
mod bindings;
mod entry;
mod fanout;
mod hot_log;
mod message_log;
mod presence;
mod presence_state;
mod revocations;
mod room_log;
mod room_state;
mod rooms;
mod search;
mod store;
#[cfg(test)]
mod test_clock;
#[cfg(test)]
mod tests;
mod unread;

pub use self::{
    archive::MemoryArchive,
    bindings::MemoryBindings,
    fanout::MemoryFanout,
    hot_log::{MemoryHotLog, MemoryHotLogSettings, MemoryHotSnapshot},
    message_log::MemoryLog,
    presence::MemoryPresence,
    revocations::MemoryRevocations,
    rooms::MemoryRooms,
    search::MemorySearch,
    store::{MemorySnapshot, MemoryStore},
    unread::MemoryUnreadCache,
};

/// The name in health reports, metrics and errors.
const NAME: &str = "memory";
