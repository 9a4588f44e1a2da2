//! From what became of a batch to whoever is to know.

use std::time::Duration;

use chat_core::fanout::Publication;
use rdkafka::message::OwnedHeaders;
use tokio::time::{sleep, timeout};

use super::{Item, Persisted, Shared, item::Content, metrics, pauses::Pauses, store::Settled};
use crate::{
    KafkaError, KafkaErrorKind, TopicNames,
    producer::Outgoing,
    record::{self, SentName, with_header},
};

/// For so long the fan-out is tried. It is a hint: what it does not carry is found in the log.
const ANNOUNCE: Duration = Duration::from_secs(1);

/// A reason is at most this long where it is told.
const MAX_REASON_CHARS: usize = 1_000;
/// A longer key is left out where the record would be too large.
const MAX_KEY: usize = 1_024;

/// Headers of a record that would be too large: what of it was left out.
const VALUE_OMITTED: &str = "value-omitted";
const HEADERS_OMITTED: &str = "headers-omitted";
const KEY_OMITTED: &str = "key-omitted";

/// A record to be written.
#[derive(Debug)]
struct Letter {
    /// The place in the batch of what it is about.
    index: usize,
    is_dead: bool,
    key: Vec<u8>,
    payload: Vec<u8>,
    headers: OwnedHeaders,
    /// The headers without those of the original, where it had some.
    own_headers: Option<OwnedHeaders>,
}

impl Letter {
    fn outgoing<'l>(&'l self, topics: &'l TopicNames) -> Outgoing<'l> {
        Outgoing {
            topic: if self.is_dead { &topics.dead_letters } else { &topics.persisted },
            key: &self.key,
            payload: &self.payload,
            headers: self.headers.clone(),
        }
    }

    /// Leaves something out: the value, which is found for a while where the record was; of an outcome it is in the log, and the
    /// room's sessions are told that they missed something. Then what else came from elsewhere. Answers whether there was anything.
    fn shorten(&mut self) -> bool {
        let omitted = |headers: &OwnedHeaders, name| with_header(headers.clone(), name, "too long");
        if !self.payload.is_empty() {
            self.payload = Vec::new();
            self.headers = omitted(&self.headers, VALUE_OMITTED);
            self.own_headers = self.own_headers.as_ref().map(|own| omitted(own, VALUE_OMITTED));
            return true;
        }
        if let Some(own) = self.own_headers.take() {
            self.headers = omitted(&own, HEADERS_OMITTED);
            return true;
        }
        let has_long_key = self.key.len() > MAX_KEY;
        if has_long_key {
            self.key = Vec::new();
            self.headers = omitted(&self.headers, KEY_OMITTED);
        }
        has_long_key
    }
}

/// Writes what became of each item to the persisted topic, and what cannot be stored to the dead letters, and waits until the brokers
/// have it; and tells the fan-out. It goes on until that is done, or the batch belongs to another worker, which will tell the same.
pub(super) async fn tell(shared: &Shared, items: &[Item], settled: Vec<Option<Settled>>) {
    let (letters, publications) = prepare(shared, items, settled);
    tokio::join!(write(shared, items, letters), publish(shared, items, &publications));
}

fn prepare(
    shared: &Shared,
    items: &[Item],
    settled: Vec<Option<Settled>>,
) -> (Vec<Letter>, Vec<Publication>) {
    let mut letters = Vec::with_capacity(items.len());
    let mut publications = Vec::new();
    for (index, (item, settled)) in items.iter().zip(settled).enumerate() {
        let persisted = match (&item.content, settled) {
            (Content::Unreadable { reason, original }, _) => {
                tracing::error!(
                    %reason, partition = item.partition, offset = item.offset,
                    "a record cannot be read and becomes a dead letter"
                );
                let reason = shortened(&reason.to_string());
                let headers = dead_headers(shared, item, original.headers(), &reason);
                let own = dead_headers(shared, item, OwnedHeaders::new_with_capacity(5), &reason);
                let (key, payload) = (original.key.clone(), original.payload.clone());
                letters.push(Letter { index, is_dead: true, key, payload, headers, own_headers: Some(own) });
                continue;
            }
            (Content::Draft(_), None) => continue,
            (Content::Draft(draft), Some(Settled::Poison(reason))) => {
                let reason = shortened(&reason);
                let headers = dead_headers(shared, item, OwnedHeaders::new_with_capacity(4), &reason);
                let key = draft.room.as_str().as_bytes().to_vec();
                // It was read from this form.
                let payload = record::encode_draft(draft).unwrap_or_default();
                letters.push(Letter { index, is_dead: true, key, payload, headers, own_headers: None });
                Persisted::DeadLettered { sent: SentName::of(draft), reason }
            }
            (Content::Draft(draft), Some(Settled::Outcome(outcome))) => {
                // What a log only accepts, it tells itself.
                let Some(persisted) = Persisted::new(draft, outcome) else { continue };
                persisted
            }
        };
        metrics::outcome(&persisted);
        match persisted.encode() {
            Ok(payload) => {
                let mut headers =
                    with_header(OwnedHeaders::new_with_capacity(2), record::OUTCOME, persisted.kind());
                if let Some(request) = &item.request {
                    headers = with_header(headers, record::REQUEST, request);
                }
                let key = persisted.room().as_str().as_bytes().to_vec();
                letters.push(Letter { index, is_dead: false, key, payload, headers, own_headers: None });
            }
            // Nothing of it has a form that JSON lacks.
            Err(error) => tracing::error!(%error, "what became of a message cannot be written"),
        }
        if shared.fanout.is_some() {
            publications.push(persisted.into_publication());
        }
    }
    (letters, publications)
}

fn shortened(reason: &str) -> String {
    reason.chars().take(MAX_REASON_CHARS).collect()
}

fn dead_headers(shared: &Shared, item: &Item, headers: OwnedHeaders, reason: &str) -> OwnedHeaders {
    [
        (record::REASON, reason),
        (record::ORIGINAL_TOPIC, &shared.topics.messages),
        (record::ORIGINAL_PARTITION, &item.partition.to_string()),
        (record::ORIGINAL_OFFSET, &item.offset.to_string()),
    ]
    .into_iter()
    .fold(headers, |headers, (key, value)| with_header(headers, key, value))
}

/// Writes them until the brokers have each, or it is not this worker's to write.
async fn write(shared: &Shared, items: &[Item], mut letters: Vec<Letter>) {
    let mut pauses = Pauses::new(shared.config.first_pause, shared.config.longest_pause);
    let mut losses = shared.losses.subscribe();
    loop {
        losses.borrow_and_update();
        {
            let ledger = shared.ledger();
            letters.retain(|letter| ledger.has(items[letter.index].partition, items[letter.index].term));
        }
        let failure;
        (letters, failure) = send(shared, letters).await;
        let Some(error) = failure else { break };
        let pause = pauses.next();
        tracing::warn!(error = ?error.kind(), records = letters.len(), ?pause, "what was stored is not told and is tried again");
        metrics::retried();
        shared.telling_trouble(Some(error));
        tokio::select! {
            biased;
            _ = losses.changed() => {}
            () = sleep(pause) => {}
        }
    }
    shared.telling_trouble(None);
}

/// Writes each once, in their order. Answers those that the brokers do not have, and why not.
async fn send(shared: &Shared, letters: Vec<Letter>) -> (Vec<Letter>, Option<KafkaError>) {
    let mut failure = None;
    let mut sendings = Vec::with_capacity(letters.len());
    for letter in &letters {
        match shared.producer.send(vec![letter.outgoing(&shared.topics)]) {
            Ok(sending) => sendings.push(Ok(sending)),
            Err(error) if error.kind() == KafkaErrorKind::TooLarge => sendings.push(Err(error)),
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    let mut letters = letters.into_iter();
    let (mut left, mut too_large) = (Vec::new(), Vec::new());
    for (sending, letter) in sendings.into_iter().zip(letters.by_ref()) {
        let sent = async { sending?.await }.await;
        match sent {
            Ok(()) => written(&letter),
            Err(error) if error.kind() == KafkaErrorKind::TooLarge => too_large.push(letter),
            Err(error) => {
                failure = Some(error);
                left.push(letter);
            }
        }
    }
    left.extend(letters);
    // The brokers may have said so of several that came together.
    for letter in too_large {
        if let Err((letter, error)) = send_alone(shared, letter).await {
            failure = Some(error);
            left.push(letter);
        }
    }
    left.sort_by_key(|letter| letter.index);
    (left, failure)
}

/// Writes one, as much of it as the brokers take.
async fn send_alone(shared: &Shared, mut letter: Letter) -> Result<(), (Letter, KafkaError)> {
    loop {
        let sent = async { shared.producer.send(vec![letter.outgoing(&shared.topics)])?.await }.await;
        match sent {
            Ok(()) => {
                written(&letter);
                return Ok(());
            }
            Err(error) if error.kind() == KafkaErrorKind::TooLarge && letter.shorten() => {
                tracing::error!(
                    is_dead = letter.is_dead,
                    "a record is too large for its topic, and a part of it is left out"
                );
            }
            Err(error) => return Err((letter, error)),
        }
    }
}

fn written(letter: &Letter) {
    if letter.is_dead {
        metrics::dead_letter();
    }
}

/// Tells the fan-out, as long as something of the batch is this worker's, and not for long: the next batch waits for it.
async fn publish(shared: &Shared, items: &[Item], publications: &[Publication]) {
    let Some(fanout) = shared.fanout.as_ref().filter(|_| !publications.is_empty()) else { return };
    let mut losses = shared.losses.subscribe();
    let lost = async {
        let has = |item: &Item| shared.ledger().has(item.partition, item.term);
        while items.iter().any(has) && losses.changed().await.is_ok() {}
    };
    let announced = async {
        let mut pauses = Pauses::new(shared.config.first_pause, shared.config.longest_pause);
        while let Err(error) = fanout.publish(publications).await {
            tracing::warn!(error = %error.with_causes(), "stored messages are not announced");
            if !error.is_retryable() {
                return;
            }
            sleep(pauses.next()).await;
        }
    };
    tokio::select! {
        biased;
        () = lost => {}
        announced = timeout(ANNOUNCE, announced) => {
            if announced.is_err() {
                tracing::warn!("stored messages are not announced in time");
            }
        }
    }
}

#[cfg(test)]
mod tests;
