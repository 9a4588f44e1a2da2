//! Why brokers do not let a client in, or it does not trust them.

use std::sync::{Mutex, PoisonError};

use rdkafka::error::KafkaError as Cause;

use crate::{KafkaError, KafkaErrorKind};

/// What librdkafka last said of it. Its calls only find that no broker is in reach, since every connection fails, and say nothing of a
/// password or a certificate.
#[derive(Debug, Default)]
pub(crate) struct Denial(Mutex<Option<KafkaError>>);

impl Denial {
    /// Takes note of what a client tells of itself. The reason names broker and mechanism, and no secret.
    pub(crate) fn note(&self, error: &Cause, reason: &str) {
        let kind = error.rdkafka_error_code().map(KafkaErrorKind::of_code);
        if kind == Some(KafkaErrorKind::Denied) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(KafkaError::new(KafkaErrorKind::Denied, reason));
        }
    }

    /// What is behind the error of a call. librdkafka says it once in half a minute, so it holds until a call succeeds.
    pub(crate) fn behind(&self, error: KafkaError) -> KafkaError {
        match error.kind() {
            KafkaErrorKind::Connection | KafkaErrorKind::Timeout => {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or(error)
            }
            _ => error,
        }
    }

    /// A call has succeeded.
    pub(crate) fn is_over(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::types::RDKafkaErrorCode as Code;

    use super::*;

    #[test]
    fn a_call_that_finds_no_broker_says_that_they_do_not_let_it_in() {
        let denial = Denial::default();
        let behind = |code| denial.behind(KafkaError::from(Cause::MetadataFetch(code))).kind();
        denial.note(&Cause::Global(Code::BrokerTransportFailure), "gone");
        assert_eq!(behind(Code::BrokerTransportFailure), KafkaErrorKind::Connection);
        denial.note(&Cause::Global(Code::Authentication), "invalid credentials");
        assert_eq!(behind(Code::UnknownTopic), KafkaErrorKind::TopicMissing);
        assert_eq!(behind(Code::BrokerTransportFailure), KafkaErrorKind::Denied);
        assert_eq!(behind(Code::OperationTimedOut), KafkaErrorKind::Denied);
        denial.is_over();
        assert_eq!(behind(Code::OperationTimedOut), KafkaErrorKind::Timeout);
    }
}
