use std::{fmt, sync::Arc, time::Duration};

use chat_core::{Error, Retry};
use rdkafka::{error::KafkaError as Cause, types::RDKafkaErrorCode as Code};

use crate::TopicError;

/// How long a caller waits for whom there was no room.
const BUSY_RETRY: Duration = Duration::from_millis(200);

/// What went wrong between here and Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KafkaErrorKind {
    /// The brokers are out of reach, or a connection broke: what was under way may have been done.
    Connection,
    /// No answer in time: it may have been done, and may yet be.
    Timeout,
    /// Too much is waiting here already.
    Busy,
    /// A broker starts, a leader is being elected, or too few replicas are in step.
    Unavailable,
    /// There is no such topic or partition.
    TopicMissing,
    /// What was to be read is not kept any more, or never was.
    OffsetLost,
    /// The record is larger than the brokers take.
    TooLarge,
    /// The brokers do not let this user do it, or do not let them in.
    Denied,
    /// The client cannot go on and is made anew.
    Fatal,
    /// What is stored is not what this library wrote or expects.
    Corrupt,
    /// This part was shut down.
    Closed,
    /// A setting that the client or the brokers cannot use.
    Setting,
    /// Anything else.
    Other,
}

impl KafkaErrorKind {
    pub(crate) const fn of_code(code: Code) -> Self {
        match code {
            Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::NetworkException
            | Code::BrokerNotAvailable
            | Code::UnknownBroker => Self::Connection,
            Code::MessageTimedOut | Code::OperationTimedOut | Code::RequestTimedOut | Code::TimedOutQueue => {
                Self::Timeout
            }
            Code::QueueFull => Self::Busy,
            Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::ReplicaNotAvailable
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::ISRInsufficient
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::WaitingForCoordinator
            | Code::WaitCache
            | Code::NotController
            | Code::KafkaStorageError
            | Code::OffsetNotAvailable
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::PreferredLeaderNotAvailable
            | Code::EligibleLeadersNotAvailable
            | Code::RebalanceInProgress
            | Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::UnstableOffsetCommit
            | Code::ConcurrentTransactions
            | Code::ThrottlingQuotaExceeded
            | Code::AssignmentLost
            | Code::Retry
            | Code::State => Self::Unavailable,
            Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopicId => Self::TopicMissing,
            Code::OffsetOutOfRange | Code::AutoOffsetReset | Code::LogTruncation | Code::NoOffset => {
                Self::OffsetLost
            }
            Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => {
                Self::TooLarge
            }
            Code::Authentication
            | Code::SSL
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::UnacceptableCredential => Self::Denied,
            Code::Fatal
            | Code::Fenced
            | Code::ProducerFenced
            | Code::InvalidProducerEpoch
            | Code::OutOfOrderSequenceNumber
            | Code::UnknownProducerId => Self::Fatal,
            Code::BadMessage
            | Code::BadCompression
            | Code::InvalidMessage
            | Code::InvalidRecord
            | Code::InvalidTimestamp => Self::Corrupt,
            Code::DestroyBroker | Code::BrokerDestroy | Code::PurgeQueue | Code::PurgeInflight => {
                Self::Closed
            }
            Code::InvalidArgument
            | Code::InvalidConfig
            | Code::InvalidTopic
            | Code::InvalidPartitions
            | Code::InvalidReplicationFactor
            | Code::InvalidGroupId
            | Code::InvalidSessionTimeout
            | Code::InvalidRequiredAcks
            | Code::InconsistentGroupProtocol
            | Code::UnsupportedVersion
            | Code::UnsupportedFeature
            | Code::UnsupportedCompressionType
            | Code::PolicyViolation => Self::Setting,
            _ => Self::Other,
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn retry(self) -> Retry {
        match self {
            Self::Connection
            | Self::Timeout
            | Self::Busy
            | Self::Unavailable
            | Self::TopicMissing
            | Self::Fatal => Retry::Later,
            Self::OffsetLost
            | Self::TooLarge
            | Self::Denied
            | Self::Corrupt
            | Self::Closed
            | Self::Setting
            | Self::Other => Retry::Never,
        }
    }
}

/// A failure of Kafka: the source of an [`Error::Backend`](chat_core::Error::Backend) of this backend.
#[derive(Debug, Clone)]
pub struct KafkaError {
    kind: KafkaErrorKind,
    cause: Arc<dyn std::error::Error + Send + Sync>,
}

impl KafkaError {
    pub(crate) fn new(
        kind: KafkaErrorKind,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind, cause: Arc::from(cause.into()) }
    }

    pub(crate) fn closed() -> Self {
        Self::new(KafkaErrorKind::Closed, "it was shut down")
    }

    /// What went wrong.
    #[must_use]
    pub const fn kind(&self) -> KafkaErrorKind {
        self.kind
    }

    /// It is not known whether it was done, whatever this says.
    pub(crate) fn unknown(self) -> Self {
        match self.kind {
            KafkaErrorKind::Timeout => self,
            _ => Self::new(KafkaErrorKind::Timeout, self),
        }
    }

    /// What is known of so many records, sent together, of which this became of the first that failed: others of them may be
    /// there. Of one alone it is known that it is not when the brokers found it too large or do not let this user write it.
    /// Everything else may have come of a repeat, after the first try was written.
    pub(crate) fn undelivered(self, records: usize) -> Self {
        match self.kind {
            KafkaErrorKind::TooLarge | KafkaErrorKind::Denied if records == 1 => self,
            _ => self.unknown(),
        }
    }

    /// The error of a call.
    pub(crate) fn during(self, operation: &'static str) -> Error {
        match self.kind {
            KafkaErrorKind::Busy => Error::Busy { retry_after: BUSY_RETRY },
            KafkaErrorKind::Timeout => Error::Timeout { operation },
            KafkaErrorKind::Closed => Error::Draining,
            kind => Error::backend(crate::NAME, operation, kind.retry(), self),
        }
    }
}

impl From<Cause> for KafkaError {
    fn from(error: Cause) -> Self {
        let kind = match &error {
            Cause::Canceled => KafkaErrorKind::Closed,
            Cause::ClientConfig(..) | Cause::ClientCreation(_) | Cause::Nul(_) => KafkaErrorKind::Setting,
            Cause::MessageConsumptionFatal(_) => KafkaErrorKind::Fatal,
            _ => error.rdkafka_error_code().map_or(KafkaErrorKind::Other, KafkaErrorKind::of_code),
        };
        Self { kind, cause: Arc::new(error) }
    }
}

impl fmt::Display for KafkaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            KafkaErrorKind::Connection => "the brokers are out of reach or a connection broke",
            KafkaErrorKind::Timeout => "no answer in time",
            KafkaErrorKind::Busy => "too many records are waiting",
            KafkaErrorKind::Unavailable => "the cluster is not ready",
            KafkaErrorKind::TopicMissing => "there is no such topic or partition",
            KafkaErrorKind::OffsetLost => "the offset is not kept any more",
            KafkaErrorKind::TooLarge => "the record is larger than the brokers take",
            KafkaErrorKind::Denied => "the brokers do not allow it",
            KafkaErrorKind::Fatal => "the client cannot go on",
            KafkaErrorKind::Corrupt => "what is stored is damaged or of another program",
            KafkaErrorKind::Closed => "it was closed",
            KafkaErrorKind::Setting => "a setting cannot be used",
            KafkaErrorKind::Other => "Kafka refused",
        })
    }
}

impl std::error::Error for KafkaError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.cause)
    }
}

/// Why a part of this crate cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A setting is out of its bounds.
    #[error("{setting} {reason}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// What it must be.
        reason: &'static str,
    },
    /// A topic is not as it must be.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The brokers could not be reached or refused.
    #[error("Kafka cannot be used: {0}")]
    Kafka(#[from] KafkaError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_says_whether_to_try_again() {
        for (code, kind, retry) in [
            (Code::BrokerTransportFailure, KafkaErrorKind::Connection, Retry::Later),
            (Code::MessageTimedOut, KafkaErrorKind::Timeout, Retry::Later),
            (Code::QueueFull, KafkaErrorKind::Busy, Retry::Later),
            (Code::NotEnoughReplicas, KafkaErrorKind::Unavailable, Retry::Later),
            (Code::NotLeaderForPartition, KafkaErrorKind::Unavailable, Retry::Later),
            (Code::UnknownTopicOrPartition, KafkaErrorKind::TopicMissing, Retry::Later),
            (Code::Fatal, KafkaErrorKind::Fatal, Retry::Later),
            (Code::OffsetOutOfRange, KafkaErrorKind::OffsetLost, Retry::Never),
            (Code::MessageSizeTooLarge, KafkaErrorKind::TooLarge, Retry::Never),
            (Code::TopicAuthorizationFailed, KafkaErrorKind::Denied, Retry::Never),
            (Code::PurgeQueue, KafkaErrorKind::Closed, Retry::Never),
            (Code::InvalidConfig, KafkaErrorKind::Setting, Retry::Never),
            (Code::Application, KafkaErrorKind::Other, Retry::Never),
        ] {
            let error = KafkaError::from(Cause::MessageProduction(code));
            assert_eq!((error.kind(), error.kind().retry()), (kind, retry), "{code}");
        }
    }

    #[test]
    fn what_may_be_there_is_never_told_as_failed_for_good() {
        for (code, of_one) in [
            (Code::MessageSizeTooLarge, KafkaErrorKind::TooLarge),
            (Code::TopicAuthorizationFailed, KafkaErrorKind::Denied),
            (Code::Application, KafkaErrorKind::Timeout),
            (Code::InvalidRecord, KafkaErrorKind::Timeout),
            (Code::PurgeQueue, KafkaErrorKind::Timeout),
            (Code::Fatal, KafkaErrorKind::Timeout),
            (Code::MessageTimedOut, KafkaErrorKind::Timeout),
        ] {
            let error = KafkaError::from(Cause::MessageProduction(code));
            assert_eq!(error.clone().undelivered(1).kind(), of_one, "{code}");
            let of_two = error.undelivered(2);
            assert_eq!(of_two.kind(), KafkaErrorKind::Timeout, "{code}");
            assert!(matches!(of_two.during("append"), Error::Timeout { operation: "append" }), "{code}");
        }
    }

    #[test]
    fn what_may_yet_be_done_is_told_as_a_timeout() {
        let error = KafkaError::from(Cause::MessageProduction(Code::MessageTimedOut)).during("append");
        assert!(matches!(error, Error::Timeout { operation: "append" }));
        let error = KafkaError::from(Cause::MessageProduction(Code::QueueFull)).during("append");
        assert!(matches!(error, Error::Busy { .. }) && error.is_retryable());
    }
}
