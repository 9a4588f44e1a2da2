//! What becomes of each record that is read: it waits for its turn, or what came before it is looked for.

use rdkafka::{Message, error::KafkaResult, message::BorrowedMessage};

use super::{Item, Shared, metrics, reading::Came};
use crate::{KafkaError, KafkaErrorKind};

/// What is to be done for the next record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    GoOn,
    /// This partition is to be read from this offset: the consumer has passed over it.
    Seek(i32, i64),
}

/// A record, or what stands in the way of the next one. Fails where this consumer will never read again.
pub(super) fn take(shared: &Shared, message: KafkaResult<BorrowedMessage<'_>>) -> Result<Then, KafkaError> {
    let message = match message {
        Ok(message) => message,
        Err(error) => {
            let error = KafkaError::from(error);
            if error.kind() == KafkaErrorKind::Fatal {
                return Err(error);
            }
            tracing::debug!(error = ?error.kind(), "nothing can be read just now");
            shared.consumer_trouble(Some(error));
            return Ok(Then::GoOn);
        }
    };
    shared.consumer_trouble(None);
    Ok(keep(shared, &message))
}

/// A record waits for its turn, if its partition is this worker's and can be read on.
fn keep(shared: &Shared, message: &impl Message) -> Then {
    let (partition, offset) = (message.partition(), message.offset());
    let taken = shared.ledger().readable(partition).map(|(term, reading)| (term, reading.take(offset)));
    let Some((term, came)) = taken else {
        // One that went to another worker in this instant, or that is blocked; or that is held, and is read from its first once it is not.
        tracing::debug!(partition, offset, "a record cannot be taken now");
        return Then::GoOn;
    };
    match came {
        Came::Next => {}
        Came::Early(expected) => {
            tracing::warn!(partition, expected, offset, "records were passed over, and are looked for");
            return Then::Seek(partition, expected);
        }
        Came::Behind(expected) => {
            metrics::gap();
            tracing::error!(partition, expected, offset, "records were removed before a worker stored them");
        }
    }
    let item = Item::read(message, term);
    let mut ledger = shared.ledger();
    if let Some(version) = item.other_version() {
        // It may be a message that was accepted. A later release reads it again, from what is committed.
        tracing::error!(
            partition,
            offset,
            version,
            "a record is of another version, and its partition waits for another release"
        );
        ledger.block(partition, version);
        metrics::blocked(ledger.blocked().count());
    } else {
        ledger.push(item);
    }
    Then::GoOn
}

#[cfg(test)]
mod tests;
