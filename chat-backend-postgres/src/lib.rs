#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod append;
mod archive;
mod backend;
mod config;
mod connect;
mod connections;
mod epoch;
mod error;
mod fanout;
mod lease;
mod membership;
mod message_log;
mod numbers;
mod presence;
mod rooms;
mod rows;
mod schema;
mod search;
mod sql;
mod to_the_end;
mod trim;
mod warm;

pub use backend::PostgresBackend;
pub use config::{PostgresConfig, RetentionPolicy};
pub use connect::ConnectError;
pub use error::{PostgresError, PostgresErrorKind};

/// The name in errors, reports and metrics.
const NAME: &str = "postgres";
