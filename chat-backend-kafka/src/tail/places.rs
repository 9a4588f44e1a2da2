//! What becomes of positions: decided here, without a cluster.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// A partition of one of the tail's topics, by the topic's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) topic: usize,
    pub(super) partition: i32,
}

/// What a partition holds, as it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    /// The oldest offset.
    pub(super) from: i64,
    /// The offset of the next record to be written.
    pub(super) to: i64,
    /// We had read beyond that when we asked: what we read is not there any more.
    pub(super) is_cut: bool,
}

impl Held {
    /// `position` is from before the question: what was read since may lie beyond `to`, and nothing is wrong with that.
    pub(super) const fn new((from, to): (i64, i64), position: i64) -> Self {
        Self { from, to, is_cut: position > to }
    }

    /// Of a partition in which nothing was read yet, and of which what comes next is to be read first.
    pub(super) const fn end((_, to): (i64, i64)) -> Self {
        Self { from: to, to, is_cut: false }
    }

    /// Of one that has just been made.
    pub(super) const fn new_partition() -> Self {
        Self { from: 0, to: 0, is_cut: false }
    }

    /// Where to go on. What is older than all that is kept is gone; where the partition was cut, it is not known how far, and
    /// what is written there from now on is what counts.
    pub(super) fn resume(self, position: i64) -> i64 {
        if self.is_cut { self.to } else { position.max(self.from) }
    }
}

/// Since when which records wait to be read.
#[derive(Debug, Default)]
pub(super) struct Behind(BTreeMap<Place, (i64, Instant)>);

impl Behind {
    /// Compares what was read with what is there, and answers whether something has waited for `stall`. That is then told, and
    /// begins anew.
    pub(super) fn note(
        &mut self,
        positions: &BTreeMap<Place, i64>,
        ends: &BTreeMap<Place, i64>,
        stall: Duration,
        now: Instant,
    ) -> bool {
        let mut stalled = false;
        for (place, end) in ends {
            let position = positions.get(place).copied().unwrap_or(*end);
            if let Some((wanted, since)) = self.0.get(place) {
                let has_waited = now.duration_since(*since) >= stall;
                if position < *wanted && !has_waited {
                    continue;
                }
                stalled |= position < *wanted;
                self.0.remove(place);
            }
            if position < *end {
                self.0.insert(*place, (*end, now));
            }
        }
        stalled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Place = Place { topic: 0, partition: 3 };

    #[test]
    fn reading_goes_on_where_it_was_as_far_as_that_is_there() {
        for (held, asked, position, resumed) in [
            ((0, 10), 7, 7, 7),
            ((0, 10), 10, 10, 10),
            ((5, 10), 2, 2, 5),
            ((10, 10), 2, 2, 10),
            // Read further meanwhile.
            ((0, 10), 9, 12, 12),
            // The end of the log is gone, or all of it.
            ((0, 10), 11, 11, 10),
            ((0, 0), 11, 11, 0),
        ] {
            assert_eq!(Held::new(held, asked).resume(position), resumed, "{held:?} {position}");
        }
    }

    #[test]
    fn what_waits_for_too_long_is_told_once_and_again() {
        let begun = Instant::now();
        let stall = Duration::from_secs(10);
        let mut behind = Behind::default();
        let mut note = |position: i64, end: i64, seconds: u64| {
            let (positions, ends) = (BTreeMap::from([(AT, position)]), BTreeMap::from([(AT, end)]));
            behind.note(&positions, &ends, stall, begun + Duration::from_secs(seconds))
        };
        assert!(!note(5, 5, 0));
        // Busy: it is behind each time, of other records.
        for seconds in 1..30 {
            let end = i64::try_from(seconds).unwrap() * 10;
            assert!(!note(end - 1, end, seconds));
        }
        assert!(!note(290, 300, 30));
        assert!(!note(295, 900, 39));
        assert!(note(299, 900, 40), "300 was there ten seconds ago");
        assert!(!note(299, 900, 41));
        assert!(note(899, 900, 50));
        assert!(!note(900, 900, 70));
    }
}
