#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod client_log;
mod config;
mod denial;
mod error;
mod fanout;
mod forsaken;
mod membership;
mod producer;
mod queue;
mod record;
mod tail;
mod topics;
mod worker;

pub use config::{KafkaConfig, KafkaSasl, KafkaTls};
pub use error::{ConnectError, KafkaError, KafkaErrorKind};
pub use fanout::{FanoutConfig, KafkaFanout, StoredMessages};
pub use membership::{
    MembershipConfig, MembershipConsumer, MembershipDecoder, MembershipEvent, MembershipRecord, Memberships,
};
pub use producer::Compression;
pub use queue::{Ack, QueueConfig, QueuedLog};
pub use record::{InvalidRecord, Persisted, SentName};
pub use topics::{Cleanup, TopicError, TopicNames, TopicSpec, ensure_topics, verify_topics};
#[doc(hidden)]
pub use worker::{Step, Steps};
pub use worker::{Worker, WorkerConfig};

/// The name in errors, reports and metrics.
const NAME: &str = "kafka";
