#![doc = include_str!("../README.md")]

mod journal;
mod message_log;
mod record;
mod room;
mod rooms;
mod state;
mod store;

pub use self::store::FileStore;
