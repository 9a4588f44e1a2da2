//! How much of a session's memory the pages take that it was promised and has not taken yet.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::chat::Settings;

/// So many entries of a session's pages, until this is dropped.
#[derive(Debug)]
pub(crate) struct PageShare {
    waiting: Arc<AtomicUsize>,
    entries: usize,
}

impl PageShare {
    /// Sets aside what a page of `wanted` entries may take, or of the room's share where so many do not fit.
    pub(crate) fn set_aside(waiting: &Arc<AtomicUsize>, wanted: usize, settings: &Settings) -> Self {
        let most = settings.session_page_entries;
        let wanted = wanted.min(most);
        let share = (most / settings.rooms_per_session.max(1)).max(1);
        let granted = |waiting: usize| {
            if waiting.saturating_add(wanted) <= most { wanted } else { wanted.min(share) }
        };
        let before = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
            Some(waiting.saturating_add(granted(waiting)))
        });
        let entries = granted(before.unwrap_or_else(|waiting| waiting));
        Self { waiting: waiting.clone(), entries }
    }

    /// How many entries the page may have.
    pub(crate) const fn entries(&self) -> usize {
        self.entries
    }

    /// Gives back what the page does not need.
    pub(crate) fn shrink_to(&mut self, entries: usize) {
        let unused = self.entries.saturating_sub(entries);
        self.entries -= unused;
        self.waiting.fetch_sub(unused, Ordering::Relaxed);
    }
}

impl Drop for PageShare {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.entries, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(most: usize, rooms: usize) -> Settings {
        Settings { session_page_entries: most, rooms_per_session: rooms, ..Settings::default() }
    }

    #[test]
    fn what_fits_is_granted_and_what_does_not_is_cut_to_a_share() {
        let (waiting, settings) = (Arc::default(), settings(100, 10));
        let mut first = PageShare::set_aside(&waiting, 60, &settings);
        assert_eq!(first.entries(), 60);
        let second = PageShare::set_aside(&waiting, 60, &settings);
        assert_eq!(second.entries(), 10);
        assert_eq!(PageShare::set_aside(&waiting, 5, &settings).entries(), 5);
        first.shrink_to(20);
        assert_eq!(waiting.load(Ordering::Relaxed), 30);
        assert_eq!(PageShare::set_aside(&waiting, 60, &settings).entries(), 60);
        drop((first, second));
        assert_eq!(waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn at_most_twice_the_bound_waits_and_every_room_has_something() {
        for (most, rooms) in [(2_000, 100), (10, 3), (7, 7)] {
            let (waiting, settings) = (Arc::default(), settings(most, rooms));
            let shares: Vec<_> =
                (0..rooms).map(|_| PageShare::set_aside(&waiting, 1_000, &settings)).collect();
            assert!(shares.iter().all(|share| share.entries() > 0));
            assert!(waiting.load(Ordering::Relaxed) <= 2 * most);
        }
    }
}
