//! What is done with one event: apply it, try again, or put it aside.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt as _;
use rdkafka::message::{Message as _, OwnedHeaders, OwnedMessage};
use tokio::{
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};

use super::{
    MembershipConfig,
    event::{MembershipDecoder, MembershipEvent, MembershipRecord, Memberships},
};
use crate::{
    KafkaError, KafkaErrorKind,
    producer::{Outgoing, Producer},
    record::{ORIGINAL_OFFSET, ORIGINAL_PARTITION, ORIGINAL_TOPIC, REASON, with_header},
};

/// Header of a dead letter that is too long for its topic: its value is only in the original one.
const VALUE_OMITTED: &str = "value-omitted";

/// A reason in a header is at most this long.
const MAX_REASON_CHARS: usize = 1_000;

/// Between attempts to write a dead letter: nothing is passed over, so there is no last one.
const LETTER_PAUSE: Duration = Duration::from_secs(1);

const EVENTS: &str = "chat_kafka_membership_events_total";
const RETRIES: &str = "chat_kafka_membership_retries_total";

/// What all partitions have in common.
pub(super) struct Work {
    memberships: Arc<dyn Memberships>,
    decoder: Box<dyn MembershipDecoder>,
    producer: Producer,
    max_at_once: usize,
    topic: String,
    dead_letters: String,
    retries: Vec<Duration>,
    attempt_timeout: Duration,
}

/// Whether work is to end: whoever is at an attempt ends it, whoever waits for one gives up.
pub(super) type Stop = watch::Receiver<bool>;

/// It was told to stop.
struct Stopped;

impl Work {
    pub(super) fn new(
        config: &MembershipConfig,
        memberships: Arc<dyn Memberships>,
        decoder: Box<dyn MembershipDecoder>,
        producer: Producer,
    ) -> Self {
        Self {
            memberships,
            decoder,
            producer,
            max_at_once: config.max_at_once,
            topic: config.topic.clone(),
            dead_letters: config.dead_letters(),
            retries: config.retries.clone(),
            attempt_timeout: config.attempt_timeout,
        }
    }

    pub(super) const fn attempt_timeout(&self) -> Duration {
        self.attempt_timeout
    }

    /// The permits of one partition: one whose store hangs holds up no other.
    pub(super) fn permits(&self) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(self.max_at_once))
    }

    pub(super) const fn producer(&self) -> &Producer {
        &self.producer
    }

    /// What the record means, or why that is not known.
    pub(super) fn decode(&self, record: &OwnedMessage) -> Result<Option<MembershipEvent>, String> {
        let read = MembershipRecord::new(record.key(), record.payload(), record.partition(), record.offset());
        let decoded = std::panic::catch_unwind(AssertUnwindSafe(|| self.decoder.decode(&read)));
        match decoded {
            Ok(decoded) => decoded.map_err(|error| chain(&*error)),
            Err(_) => Err("the decoder panicked".to_owned()),
        }
    }

    /// Sees an event through. Answers whether that is done, and not left for a successor because it was told to stop.
    pub(super) async fn settle(
        &self,
        record: OwnedMessage,
        event: Result<MembershipEvent, String>,
        permits: &Semaphore,
        mut stop: Stop,
    ) -> bool {
        let reason = match event {
            Ok(event) => match self.apply(&event, permits, &mut stop).await {
                Ok(Ok(())) => {
                    metrics::counter!(EVENTS, "outcome" => "applied").increment(1);
                    return true;
                }
                Ok(Err(reason)) => reason,
                Err(Stopped) => return false,
            },
            Err(reason) => reason,
        };
        tracing::warn!(
            reason,
            partition = record.partition(),
            offset = record.offset(),
            "an event of membership becomes a dead letter"
        );
        if self.put_aside(&record, &reason, &mut stop).await.is_err() {
            return false;
        }
        metrics::counter!(EVENTS, "outcome" => "dead_lettered").increment(1);
        true
    }

    async fn apply(
        &self,
        event: &MembershipEvent,
        permits: &Semaphore,
        stop: &mut Stop,
    ) -> Result<Result<(), String>, Stopped> {
        let mut retries = self.retries.iter();
        loop {
            let permit = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Err(Stopped),
                permit = permits.acquire() => permit,
            };
            let attempt = AssertUnwindSafe(self.memberships.apply(event.clone())).catch_unwind();
            let failure = match timeout(self.attempt_timeout, attempt).await {
                Ok(Ok(Ok(_))) => return Ok(Ok(())),
                Ok(Ok(Err(error))) => chain(&error),
                Ok(Err(_)) => "applying it panicked".to_owned(),
                Err(_) => format!("no outcome within {:?}", self.attempt_timeout),
            };
            drop(permit);
            let Some(pause) = retries.next() else { return Ok(Err(failure)) };
            tracing::debug!(failure, ?pause, "an event of membership is tried again");
            metrics::counter!(RETRIES).increment(1);
            pause_unless(*pause, stop).await?;
        }
    }

    /// Writes a dead letter, and does not go on before the brokers have it. It may be there twice.
    async fn put_aside(&self, record: &OwnedMessage, reason: &str, stop: &mut Stop) -> Result<(), Stopped> {
        let reason: String = reason.chars().take(MAX_REASON_CHARS).collect();
        let mut value = record.payload();
        let mut headers = record.headers().cloned().unwrap_or_else(OwnedHeaders::new);
        for (name, text) in [
            (REASON, reason),
            (ORIGINAL_TOPIC, self.topic.clone()),
            (ORIGINAL_PARTITION, record.partition().to_string()),
            (ORIGINAL_OFFSET, record.offset().to_string()),
        ] {
            headers = with_header(headers, name, &text);
        }
        loop {
            let letter = Outgoing {
                topic: &self.dead_letters,
                key: record.key().unwrap_or_default(),
                payload: value.unwrap_or_default(),
                headers: headers.clone(),
            };
            match self.write(letter).await {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == KafkaErrorKind::TooLarge && value.is_some() => {
                    value = None;
                    headers = with_header(headers, VALUE_OMITTED, "too long");
                }
                Err(error) => {
                    tracing::error!(%error, topic = self.dead_letters, "a dead letter cannot be written");
                    pause_unless(LETTER_PAUSE, stop).await?;
                }
            }
        }
    }

    async fn write(&self, letter: Outgoing<'_>) -> Result<(), KafkaError> {
        let sending = self.producer.send(vec![letter])?;
        sending.await
    }

    pub(super) fn passed_over() {
        metrics::counter!(EVENTS, "outcome" => "passed_over").increment(1);
    }
}

async fn pause_unless(time: Duration, stop: &mut Stop) -> Result<(), Stopped> {
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => Err(Stopped),
        () = sleep(time) => Ok(()),
    }
}

/// An error with its causes.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
