#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod bindings;
mod config;
mod connect;
mod credentials;
mod error;
mod fanout;
mod hot;
mod keys;
mod listed;
mod pause;
mod presence;
mod rate_limit;
mod revocations;
mod script;
mod unread;
mod url;
mod watch;

pub use backend::RedisBackend;
pub use config::RedisConfig;
pub use connect::ConnectError;
pub use credentials::RedisCached;
pub use error::{RedisError, RedisErrorKind};
pub use hot::HotLogConfig;
pub use url::InvalidUrl;

/// The name in errors, reports and metrics.
const NAME: &str = "redis";
