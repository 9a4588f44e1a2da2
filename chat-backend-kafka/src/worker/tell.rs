//! From what became of a batch to whoever is to know.

use std::time::Duration;

use chat_core::fanout::Publication;
use rdkafka::message::OwnedHeaders;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{Item, Persisted, Shared, item::Content, metrics, pauses::Pauses, store::Settled};
use crate::{
    KafkaErrorKind,
    producer::Outgoing,
    record::{self, SentName, with_header},
};

/// How often the fan-out is tried. It is a hint: what it does not carry is found in the log.
const FANOUT_TRIES: u32 = 3;

/// A record to be written.
struct Letter {
    /// The place in the batch of what it is about.
    index: usize,
    is_dead: bool,
    key: Vec<u8>,
    payload: Vec<u8>,
    headers: OwnedHeaders,
}

/// Writes what became of each item to the persisted topic, and what cannot be stored to the dead letters, and waits until the brokers
/// have it; and tells the fan-out. It goes on until that is done, or the batch belongs to another worker, which will tell the same.
pub(super) async fn tell(shared: &Shared, items: &[Item], settled: Vec<Option<Settled>>) {
    let (letters, publications) = prepare(shared, items, settled);
    tokio::join!(write(shared, items, letters), publish(shared, &publications));
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
                let headers = dead_headers(shared, item, original.headers(), &reason.to_string());
                let (key, payload) = (original.key.clone(), original.payload.clone());
                letters.push(Letter { index, is_dead: true, key, payload, headers });
                continue;
            }
            (Content::Draft(_), None) => continue,
            (Content::Draft(draft), Some(Settled::Poison(reason))) => {
                let headers = dead_headers(shared, item, OwnedHeaders::new_with_capacity(4), &reason);
                let key = draft.room.as_str().as_bytes().to_vec();
                // It was read from this form.
                let payload = record::encode_draft(draft).unwrap_or_default();
                letters.push(Letter { index, is_dead: true, key, payload, headers });
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
                letters.push(Letter { index, is_dead: false, key, payload, headers });
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

async fn write(shared: &Shared, items: &[Item], mut letters: Vec<Letter>) {
    let mut pauses = Pauses::new(shared.config.first_pause, shared.config.longest_pause);
    let mut losses = shared.losses.subscribe();
    loop {
        losses.borrow_and_update();
        {
            let ledger = shared.ledger();
            letters.retain(|letter| ledger.has(items[letter.index].partition, items[letter.index].term));
        }
        if letters.is_empty() {
            break;
        }
        let records = letters.iter().map(|letter| Outgoing {
            topic: if letter.is_dead { &shared.topics.dead_letters } else { &shared.topics.persisted },
            key: &letter.key,
            payload: &letter.payload,
            headers: letter.headers.clone(),
        });
        let sending = shared.producer.send(records.collect());
        let error = match sending {
            Ok(sending) => match sending.await {
                Ok(()) => break,
                Err(error) => error,
            },
            Err(error) => error,
        };
        let pause = pauses.next();
        tracing::warn!(error = ?error.kind(), records = letters.len(), ?pause, "what was stored is not told and is tried again");
        metrics::retried();
        if error.kind() == KafkaErrorKind::TooLarge {
            // With its reason a dead letter can be larger than what was sent. Where it was, it is still found for a while.
            letters.iter_mut().filter(|letter| letter.is_dead).for_each(|letter| letter.payload.clear());
        }
        shared.telling_trouble(Some(error));
        wait(pause, &mut losses).await;
    }
    metrics::dead_letters(letters.iter().filter(|letter| letter.is_dead).count());
    shared.telling_trouble(None);
}

async fn wait(pause: Duration, losses: &mut watch::Receiver<u64>) {
    tokio::select! {
        biased;
        _ = losses.changed() => {}
        () = sleep(pause) => {}
    }
}

async fn publish(shared: &Shared, publications: &[Publication]) {
    let Some(fanout) = shared.fanout.as_ref().filter(|_| !publications.is_empty()) else { return };
    let mut pauses = Pauses::new(shared.config.first_pause, shared.config.longest_pause);
    for _ in 0..FANOUT_TRIES {
        match timeout(shared.config.append_timeout, fanout.publish(publications)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => {
                tracing::warn!(error = %error.with_causes(), "stored messages are not announced");
                if !error.is_retryable() {
                    return;
                }
            }
            Err(_) => tracing::warn!("stored messages are not announced in time"),
        }
        sleep(pauses.next()).await;
    }
}
