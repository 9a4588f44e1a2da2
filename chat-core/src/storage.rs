use std::sync::Arc;

use crate::{MessageLog, Rooms, Search};

/// A store that keeps messages, rooms and a search over them together, as databases do.
pub trait Storage {
    /// The log of every room in this store.
    fn message_log(&self) -> Arc<dyn MessageLog>;

    /// The rooms of this store.
    fn rooms(&self) -> Arc<dyn Rooms>;

    /// The search over this store.
    fn search(&self) -> Arc<dyn Search>;
}
