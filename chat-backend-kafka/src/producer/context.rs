//! What a producer's client tells, on its own thread.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use rdkafka::{
    ClientContext, Message as _, Statistics,
    config::RDKafkaLogLevel,
    error::KafkaError as Cause,
    producer::{DeliveryResult, ProducerContext},
    types::RDKafkaErrorCode as Code,
};

use super::batch::Batch;
use crate::{KafkaError, KafkaErrorKind, client_log, forsaken::Forsaken};

/// Hears what became of each record, on the client's own thread.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    pub(super) fatal: Arc<AtomicBool>,
    forsaken: Forsaken,
    /// What it was asked last failed, be it long ago: it needs a broker although nothing is on its way.
    pub(super) troubled: AtomicBool,
}

impl Deliveries {
    pub(super) fn fail(&self) {
        self.fatal.store(true, Ordering::Relaxed);
    }

    /// The client is to be made anew.
    pub(super) fn is_dead(&self) -> bool {
        self.fatal.load(Ordering::Relaxed) || self.forsaken.is()
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client_log::pass_on(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        let needs = statistics.msg_cnt > 0 || self.troubled.load(Ordering::Relaxed);
        self.forsaken.note_statistics(&statistics, needs);
    }

    fn error(&self, error: Cause, reason: &str) {
        if error.rdkafka_error_code() == Some(Code::Fatal) {
            self.fail();
        }
        tracing::debug!(%error, reason, "a producer's connection failed");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Batch>;

    fn delivery(&self, result: &DeliveryResult<'_>, batch: Arc<Batch>) {
        self.troubled.store(result.is_err(), Ordering::Relaxed);
        if let Err((error, record)) = result {
            let error = KafkaError::from(error.clone());
            tracing::debug!(error = ?error.kind(), topic = record.topic(), "a record was not delivered");
            if error.kind() == KafkaErrorKind::Fatal {
                self.fail();
            }
            batch.fail(error);
        }
    }
}
