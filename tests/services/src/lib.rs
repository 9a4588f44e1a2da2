//! A real server for any test, and the faults to put it through.
//!
//! A test asks for a server and a part of it that nobody else uses:
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! let database = chat_test_services::Postgres::shared().await?.database().await?;
//! println!("{}", database.url());
//! # Ok(())
//! # }
//! ```
//!
//! The README says where the server comes from.

#![cfg(unix)]

#[cfg(feature = "docker")]
mod container;
mod database;
mod disk;
mod engine;
mod family;
mod folder;
pub mod images;
mod kafka;
mod pgbouncer;
mod port;
mod postgres;
mod process;
mod proxy;
mod redis;
mod redis_cluster;
mod redis_sentinel;
mod server;
mod source;
mod user;

pub use self::{
    database::Database,
    kafka::{Kafka, KafkaCluster, KafkaService},
    pgbouncer::PgBouncer,
    postgres::{Postgres, PostgresService},
    proxy::{Direction, Proxy},
    redis::{Redis, RedisService},
    redis_cluster::RedisCluster,
    redis_sentinel::RedisSentinel,
    server::Server,
};
