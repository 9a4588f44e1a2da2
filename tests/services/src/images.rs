//! Which images the servers are taken from, where Docker runs them. `compose.yaml` has the same: a test compares them.

use std::fmt;

use crate::kafka;

/// An image and its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// Such as `postgres`.
    pub name: &'static str,
    /// Such as `17.6`.
    pub tag: &'static str,
}

impl fmt::Display for Image {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.name, self.tag)
    }
}

/// PostgreSQL.
pub const POSTGRES: Image = Image { name: "postgres", tag: "17.6" };

/// Redis.
pub const REDIS: Image = Image { name: "redis", tag: "8.2" };

/// Kafka, of the version that Maven fetches where there is no Docker.
pub const KAFKA: Image = Image { name: "apache/kafka", tag: kafka::VERSION };
