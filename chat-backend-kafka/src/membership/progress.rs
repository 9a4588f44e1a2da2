//! Up to where a partition is done.

use std::collections::BTreeSet;

/// Events of one partition are done in any order; what is committed is the first that is not.
#[derive(Debug, Default)]
pub(super) struct Progress {
    under_way: BTreeSet<i64>,
    /// Behind the last that was begun.
    next: Option<i64>,
}

impl Progress {
    pub(super) fn begin(&mut self, offset: i64) {
        self.under_way.insert(offset);
        self.next = Some(offset + 1);
    }

    pub(super) fn done(&mut self, offset: i64) {
        self.under_way.remove(&offset);
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Where a successor begins.
    pub(super) fn committable(&self) -> Option<i64> {
        self.under_way.first().copied().or(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_under_way_is_committed() {
        let mut progress = Progress::default();
        assert_eq!(progress.committable(), None);
        // Offsets have holes: of transactions, and of what was compacted away.
        for offset in [5, 6, 9] {
            progress.begin(offset);
        }
        assert_eq!((progress.committable(), progress.under_way()), (Some(5), 3));
        progress.done(6);
        assert_eq!(progress.committable(), Some(5));
        progress.done(5);
        assert_eq!(progress.committable(), Some(9));
        progress.done(9);
        assert_eq!((progress.committable(), progress.under_way()), (Some(10), 0));
    }
}
