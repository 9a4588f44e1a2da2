//! What was said last, as far as it fits.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

/// What is asked for is there no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lagged;

/// Keeps the newest items, so many bytes of them and at least one. Whoever is further behind is told so.
#[derive(Debug)]
pub(super) struct Ring<T> {
    kept: Mutex<Kept<T>>,
    /// The number of the next item.
    head: watch::Sender<u64>,
    max_bytes: usize,
}

#[derive(Debug)]
struct Kept<T> {
    items: VecDeque<(Arc<T>, usize)>,
    /// The number of the oldest.
    first: u64,
    bytes: usize,
}

impl<T: Send + Sync> Ring<T> {
    pub(super) fn new(max_bytes: usize) -> Self {
        let kept = Kept { items: VecDeque::new(), first: 0, bytes: 0 };
        Self { kept: Mutex::new(kept), head: watch::Sender::new(0), max_bytes }
    }

    fn lock(&self) -> MutexGuard<'_, Kept<T>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number that the next item will have.
    pub(super) fn head(&self) -> u64 {
        *self.head.borrow()
    }

    pub(super) fn push(&self, item: T, bytes: usize) {
        let mut kept = self.lock();
        kept.items.push_back((Arc::new(item), bytes));
        kept.bytes += bytes;
        while kept.bytes > self.max_bytes && kept.items.len() > 1 {
            if let Some((_, bytes)) = kept.items.pop_front() {
                kept.bytes -= bytes;
                kept.first += 1;
            }
        }
        // Still under the lock, so that numbers do not go back.
        self.head.send_replace(kept.first + kept.items.len() as u64);
    }

    /// The item of this number, once it is there.
    pub(super) async fn next(&self, number: u64) -> Result<Arc<T>, Lagged> {
        let mut head = self.head.subscribe();
        // It does not end before the ring does.
        let _ = head.wait_for(|head| *head > number).await;
        let kept = self.lock();
        let at = number.checked_sub(kept.first).ok_or(Lagged)?;
        let found = usize::try_from(at).ok().and_then(|at| kept.items.get(at));
        found.map(|(item, _)| item.clone()).ok_or(Lagged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_no_longer_fits_is_gone_and_said_to_be() {
        let ring = Ring::new(10);
        for item in 0..5 {
            ring.push(item, 4);
        }
        assert_eq!(ring.next(2).await, Err(Lagged));
        assert_eq!((*ring.next(3).await.unwrap(), *ring.next(4).await.unwrap()), (3, 4));
        // One that is larger than everything stays alone.
        ring.push(5, 100);
        assert_eq!(ring.next(4).await, Err(Lagged));
        assert_eq!((*ring.next(5).await.unwrap(), ring.head()), (5, 6));
    }

    #[tokio::test]
    async fn who_is_at_the_head_waits() {
        let ring = Arc::new(Ring::new(10));
        let waiting = tokio::spawn({
            let ring = ring.clone();
            async move { ring.next(0).await }
        });
        tokio::task::yield_now().await;
        ring.push("a", 1);
        assert_eq!(waiting.await.unwrap(), Ok(Arc::new("a")));
    }
}
