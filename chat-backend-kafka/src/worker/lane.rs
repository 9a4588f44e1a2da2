//! A lane: one batch is stored while the one before it is told.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{
    Item, Shared, Step, metrics,
    store::{self, Settled},
    tell,
};

/// A batch that is stored.
struct Stored {
    items: Vec<Item>,
    settled: Vec<Option<Settled>>,
}

/// Starts a lane. It ends when nothing can come any more and everything is done.
pub(super) fn start(
    shared: &Arc<Shared>,
    lane: usize,
    tasks: &mut tokio::task::JoinSet<()>,
) -> mpsc::Sender<Vec<Item>> {
    let (batches, to_store) = mpsc::channel(1);
    let (stored, to_tell) = mpsc::channel(1);
    tasks.spawn(store_all(Arc::clone(shared), lane, to_store, stored));
    tasks.spawn(tell_all(Arc::clone(shared), to_tell));
    batches
}

async fn store_all(
    shared: Arc<Shared>,
    lane: usize,
    mut batches: mpsc::Receiver<Vec<Item>>,
    stored: mpsc::Sender<Stored>,
) {
    while let Some(items) = batches.recv().await {
        shared.reached(Step::Read).await;
        metrics::batch(items.len());
        let settled = store::store(&shared, lane, &items).await;
        shared.reached(Step::Stored).await;
        if stored.send(Stored { items, settled }).await.is_err() {
            return;
        }
        shared.stored(lane);
    }
}

async fn tell_all(shared: Arc<Shared>, mut stored: mpsc::Receiver<Stored>) {
    while let Some(Stored { items, settled }) = stored.recv().await {
        tell::tell(&shared, &items, settled).await;
        shared.reached(Step::Told).await;
        shared.finish(&items);
    }
}
