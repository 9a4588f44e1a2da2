#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod error;
mod topics;

pub use config::{KafkaConfig, KafkaSasl, KafkaTls};
pub use error::{ConnectError, KafkaError, KafkaErrorKind};
pub use topics::{Cleanup, TopicError, TopicNames, TopicSpec, ensure_topics, verify_topics};

/// The name in errors, reports and metrics.
const NAME: &str = "kafka";
