//! Where a partition is read: what is to come next, what was passed over, and what does not come although it is there.

use std::time::Duration;

use tokio::time::Instant;

/// For so long what is there may not come until it is looked for: a consumer that can reach a broker has it within a second.
const STILL: Duration = Duration::from_secs(10);

/// Of one partition, for as long as a worker has it.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// What is to come: nothing is known before it is known where the partition begins.
    next: Option<i64>,
    /// What was looked for already.
    sought: Option<i64>,
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
    /// end nothing can be said, or is to come.
    pub(super) fn lacks(&mut self, end: Option<i64>) -> Option<i64> {
        let next = self.next.filter(|next| end.is_some_and(|end| *next < end) && self.sought != Some(*next));
        let Some(next) = next else {
            self.still = None;
            return None;
        };
        match self.still.filter(|(then, _)| *then == next) {
            Some((_, since)) if since.elapsed() >= STILL => {
                self.sought = Some(next);
                Some(next)
            }
            Some(_) => None,
            None => {
                self.still = Some((next, Instant::now()));
                None
            }
        }
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
        assert_eq!(reading.lacks(Some(7)), None, "it is not known where it begins");
        reading.begin(5);
        assert_eq!(reading.lacks(Some(5)), None, "there is nothing");
        assert_eq!(reading.lacks(Some(6)), None, "it may be on its way");
        advance(STILL / 2).await;
        assert_eq!(reading.take(5), Came::Next);
        assert_eq!(reading.lacks(Some(8)), None, "that was another one");
        advance(STILL / 2).await;
        assert_eq!(reading.lacks(Some(8)), None);
        advance(STILL / 2).await;
        assert_eq!(reading.lacks(Some(9)), Some(6), "{reading:?}");
        advance(STILL * 2).await;
        assert_eq!(reading.lacks(Some(9)), None);
        assert_eq!(reading.take(6), Came::Next);
        assert_eq!(reading.lacks(Some(9)), None);
        advance(STILL / 2).await;
        assert_eq!(reading.lacks(None), None, "it is paused");
        advance(STILL / 2).await;
        assert_eq!(reading.lacks(Some(9)), None, "its time begins anew");
    }
}
