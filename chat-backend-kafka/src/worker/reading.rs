//! Where a partition is read: what is to come next, what was passed over, and what does not come although it is there.

use std::time::Duration;

use tokio::time::Instant;

/// For so long what is there may not come until it is looked for: a consumer that can reach a broker has it within a second.
const STILL: Duration = Duration::from_secs(10);
/// For so long where what was fetched was never all taken: it may only wait for its turn there.
const STILL_BEHIND_OTHERS: Duration = Duration::from_secs(60);

/// Of one partition, for as long as a worker has it.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// What is to come: nothing is known before it is known where the partition begins.
    next: Option<i64>,
    /// What was looked for already since something behind it came.
    sought: Option<i64>,
    /// What was looked for already since nothing came.
    lacked: Option<i64>,
    /// Since when nothing has come although there is more, and what was to come then.
    still: Option<(i64, Instant)>,
}

/// What a record is that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// The next one.
    Next,
    /// The next one since those from this offset on are not kept any more: they were looked for.
    Behind(i64),
    /// It is too early for it: the consumer has passed over what is at this offset, and is to look for it.
    Early(i64),
}

impl Reading {
    /// The partition is read from this offset on.
    pub(super) fn begin(&mut self, first: i64) {
        self.next = Some(first);
    }

    /// A record came.
    pub(super) fn take(&mut self, offset: i64) -> Came {
        let passed = self.next.filter(|next| *next < offset);
        if let Some(next) = passed.filter(|next| self.sought != Some(*next)) {
            self.sought = Some(next);
            return Came::Early(next);
        }
        self.next = Some(offset + 1);
        passed.map_or(Came::Next, Came::Behind)
    }

    /// What is to be looked for, each once, if the partition ends at `end` and what comes before that has not come for long. Without an
    /// end nothing can be said, or is to come. All that was fetched had last been taken at `drained`.
    pub(super) fn lacks(&mut self, end: Option<i64>, drained: Option<Instant>) -> Option<i64> {
        let next = self.next.filter(|next| end.is_some_and(|end| *next < end) && self.lacked != Some(*next));
        let Some(next) = next else {
            self.still = None;
            return None;
        };
        let since = match self.still {
            Some((then, since)) if then == next => since,
            _ => self.still.insert((next, Instant::now())).1,
        };
        let is_long = drained.is_some_and(|drained| drained.duration_since(since) >= STILL)
            || since.elapsed() >= STILL_BEHIND_OTHERS;
        if is_long {
            self.lacked = Some(next);
        }
        is_long.then_some(next)
    }

    /// Whether this is what is to come.
    pub(super) fn awaits(&self, offset: i64) -> bool {
        self.next == Some(offset)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[test]
    fn what_was_passed_over_is_looked_for_once() {
        let mut reading = Reading::default();
        assert_eq!(reading.take(3), Came::Next, "wherever it begins");
        reading.begin(0);
        assert_eq!(reading.take(1), Came::Early(0), "from its first on");
        assert_eq!([reading.take(0), reading.take(1)], [Came::Next; 2]);
        assert_eq!(reading.take(5), Came::Early(2), "and in its midst");
        assert_eq!([reading.take(4), reading.take(5)], [Came::Behind(2), Came::Next], "those were removed");
        assert_eq!(reading.take(5), Came::Next, "repeats are for the store to tell");
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_come_is_looked_for_once() {
        let mut reading = Reading::default();
        let lacks = |reading: &mut Reading, end| reading.lacks(end, Some(Instant::now()));
        assert_eq!(lacks(&mut reading, Some(7)), None, "it is not known where it begins");
        reading.begin(5);
        assert_eq!(lacks(&mut reading, Some(5)), None, "there is nothing");
        assert_eq!(lacks(&mut reading, Some(6)), None, "it may be on its way");
        advance(STILL / 2).await;
        assert_eq!(reading.take(5), Came::Next);
        assert_eq!(lacks(&mut reading, Some(8)), None, "that was another one");
        advance(STILL / 2).await;
        assert_eq!(lacks(&mut reading, Some(8)), None);
        advance(STILL / 2).await;
        assert_eq!(lacks(&mut reading, Some(9)), Some(6), "{reading:?}");
        advance(STILL * 2).await;
        assert_eq!(lacks(&mut reading, Some(9)), None);
        assert_eq!(reading.take(6), Came::Next);
        assert_eq!(lacks(&mut reading, Some(9)), None);
        advance(STILL / 2).await;
        assert_eq!(lacks(&mut reading, None), None, "it is paused");
        advance(STILL / 2).await;
        assert_eq!(lacks(&mut reading, Some(9)), None, "its time begins anew");
    }

    #[tokio::test(start_paused = true)]
    async fn what_follows_what_did_not_come_is_too_early_all_the_same() {
        let mut reading = Reading::default();
        reading.begin(5);
        assert_eq!(reading.lacks(Some(7), None), None);
        advance(STILL).await;
        assert_eq!(reading.lacks(Some(7), Some(Instant::now())), Some(5));
        // It came before the consumer was told to look for what is before it.
        assert_eq!(reading.take(6), Came::Early(5));
        assert!(reading.awaits(5));
        assert_eq!([reading.take(5), reading.take(6)], [Came::Next; 2]);
        assert!(!reading.awaits(5));
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_wait_behind_others_has_longer_to_come() {
        let mut reading = Reading::default();
        reading.begin(5);
        let drained = Instant::now();
        for _ in 0..STILL_BEHIND_OTHERS.as_secs() {
            assert_eq!(reading.lacks(Some(7), Some(drained)), None);
            advance(Duration::from_secs(1)).await;
        }
        assert_eq!(reading.lacks(Some(7), Some(drained)), Some(5));
        assert_eq!(reading.take(5), Came::Next);
        assert_eq!(reading.lacks(Some(7), None), None);
        advance(STILL_BEHIND_OTHERS).await;
        assert_eq!(reading.lacks(Some(7), None), Some(6), "also if it never was");
    }
}
