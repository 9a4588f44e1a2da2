#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod backup;
mod config;
mod error;
mod message_log;
mod open;
mod owner;
mod recognise;
mod rooms;
mod rows;
mod schema;
mod search;
mod writer;

pub use backend::SqliteBackend;
pub use config::{RetentionPolicy, SqliteConfig, Synchronous};
pub use error::{OpenError, SqliteError, SqliteErrorKind};

/// The name in health reports, metrics and errors.
const NAME: &str = "sqlite";
