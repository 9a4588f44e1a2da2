//! What partitions there are, and what their leaders say of them: as much as is to be had, as one of them may be away.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    Offset, TopicPartitionList, consumer::Consumer as _, error::KafkaError as Cause,
    types::RDKafkaErrorCode as Code,
};

use super::{places::Place, reader::TailConsumer};
use crate::{KafkaError, KafkaErrorKind};

/// Each partition and the broker that leads it, negative where none does.
pub(super) type Led = BTreeMap<Place, i32>;

/// What is known of partitions, and why it is not known of all that were asked about.
#[derive(Debug)]
pub(super) struct Said<T> {
    pub(super) of: BTreeMap<Place, T>,
    pub(super) trouble: Option<KafkaError>,
}

impl<T> Default for Said<T> {
    fn default() -> Self {
        Self { of: BTreeMap::new(), trouble: None }
    }
}

impl<T> Said<T> {
    fn is_not_of_all(&mut self, why: KafkaError) {
        tracing::debug!(error = %why, "it is not known of all partitions how far they go");
        self.trouble.get_or_insert(why);
    }

    /// # Errors
    /// Nothing is known.
    pub(super) fn or_nothing(self) -> Result<Self, KafkaError> {
        match self.trouble {
            Some(trouble) if self.of.is_empty() => Err(trouble),
            trouble => Ok(Self { trouble, ..self }),
        }
    }
}

/// By whom, about what, and how long one answer may take.
pub(super) struct Questions<'w> {
    pub(super) consumer: &'w TailConsumer,
    pub(super) topics: &'w [String],
    pub(super) patience: Duration,
}

impl Questions<'_> {
    /// The partitions that there are now.
    pub(super) fn partitions(&self) -> Result<Led, KafkaError> {
        let mut places = Led::new();
        for (topic, name) in self.topics.iter().enumerate() {
            let metadata = self.consumer.fetch_metadata(Some(name), self.patience)?;
            let found = metadata.topics().iter().find(|found| found.name() == name);
            if let Some(error) = found.and_then(|found| found.error()) {
                return Err(Cause::MetadataFetch(error.into()).into());
            }
            let found = found.filter(|found| !found.partitions().is_empty());
            let Some(found) = found else { return Err(Cause::MetadataFetch(Code::UnknownTopic).into()) };
            let led = found.partitions().iter();
            places.extend(led.map(|found| (Place { topic, partition: found.id() }, found.leader())));
        }
        Ok(places)
    }

    /// The offset of the next record of each, by one question to each broker: where one fails, librdkafka answers none of what was asked
    /// with it.
    pub(super) fn ends(&self, places: &Led) -> Said<i64> {
        let mut said = Said::default();
        for (leader, places) in by_leader(places) {
            if let Err(why) = self.ends_at(leader, &places, &mut said) {
                said.is_not_of_all(why);
            }
        }
        said
    }

    fn ends_at(&self, leader: i32, places: &[Place], said: &mut Said<i64>) -> Result<(), KafkaError> {
        if leader < 0 {
            return Err(leaderless());
        }
        let mut list = TopicPartitionList::with_capacity(places.len());
        for place in places {
            list.add_partition_offset(self.topic(*place), place.partition, Offset::End)?;
        }
        let list = self.consumer.offsets_for_times(list, self.patience)?;
        for found in list.elements() {
            let topic = self.topics.iter().position(|topic| topic == found.topic());
            match (topic, found.error(), found.offset()) {
                (Some(topic), Ok(()), Offset::Offset(end)) => {
                    said.of.insert(Place { topic, partition: found.partition() }, end);
                }
                (_, Err(why), _) => said.is_not_of_all(why.into()),
                _ => said.is_not_of_all(Cause::OffsetFetch(Code::NoOffset).into()),
            }
        }
        Ok(())
    }

    /// The oldest offset of each and that of the next record. A broker that gives no answer is asked no further; `turn` says with which of
    /// its partitions it is begun, so that one that always fails keeps the others waiting for a while only.
    pub(super) fn bounds(&self, places: &Led, turn: usize) -> Said<(i64, i64)> {
        let mut said = Said::default();
        for (leader, mut places) in by_leader(places) {
            if leader < 0 {
                said.is_not_of_all(leaderless());
                continue;
            }
            let first = turn % places.len().max(1);
            places.rotate_left(first);
            for place in places {
                let bounds =
                    self.consumer.fetch_watermarks(self.topic(place), place.partition, self.patience);
                match bounds.map_err(KafkaError::from) {
                    Ok(bounds) => {
                        said.of.insert(place, bounds);
                    }
                    Err(why) => {
                        let is_away =
                            matches!(why.kind(), KafkaErrorKind::Connection | KafkaErrorKind::Timeout);
                        said.is_not_of_all(why);
                        if is_away {
                            break;
                        }
                    }
                }
            }
        }
        said
    }

    fn topic(&self, place: Place) -> &str {
        self.topics.get(place.topic).map_or("", String::as_str)
    }
}

fn by_leader(places: &Led) -> BTreeMap<i32, Vec<Place>> {
    let mut by_leader: BTreeMap<i32, Vec<Place>> = BTreeMap::new();
    for (place, leader) in places {
        by_leader.entry(*leader).or_default().push(*place);
    }
    by_leader
}

fn leaderless() -> KafkaError {
    Cause::OffsetFetch(Code::LeaderNotAvailable).into()
}
