//! What a worker counts. The names are in the README.

use super::Persisted;

const OUTCOMES: &str = "chat_kafka_worker_outcomes_total";
const BATCH: &str = "chat_kafka_worker_batch_messages";
const RETRIES: &str = "chat_kafka_worker_retries_total";
const DEAD_LETTERS: &str = "chat_kafka_worker_dead_letters_total";
const GAPS: &str = "chat_kafka_worker_gaps_total";
const LAG: &str = "chat_kafka_worker_lag_messages";
const PARTITIONS: &str = "chat_kafka_worker_partitions";
const BLOCKED: &str = "chat_kafka_worker_blocked_partitions";

pub(super) fn outcome(persisted: &Persisted) {
    metrics::counter!(OUTCOMES, "outcome" => persisted.kind()).increment(1);
}

#[expect(clippy::cast_precision_loss, reason = "batches are small")]
pub(super) fn batch(messages: usize) {
    metrics::histogram!(BATCH).record(messages as f64);
}

pub(super) fn retried() {
    metrics::counter!(RETRIES).increment(1);
}

pub(super) fn dead_letter() {
    metrics::counter!(DEAD_LETTERS).increment(1);
}

pub(super) fn gap() {
    metrics::counter!(GAPS).increment(1);
}

#[expect(clippy::cast_precision_loss, reason = "2^53 messages behind is far enough")]
pub(super) fn lag(messages: i64) {
    metrics::gauge!(LAG).set(messages as f64);
}

#[expect(clippy::cast_precision_loss, reason = "partitions are few")]
pub(super) fn partitions(count: usize) {
    metrics::gauge!(PARTITIONS).set(count as f64);
}

#[expect(clippy::cast_precision_loss, reason = "partitions are few")]
pub(super) fn blocked(count: usize) {
    metrics::gauge!(BLOCKED).set(count as f64);
}
