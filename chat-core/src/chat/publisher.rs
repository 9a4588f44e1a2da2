use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::{
    Cursor, RoomId, StoredMessage,
    chat::Parts,
    fanout::{FanoutEvent, Publication, Topic},
};

/// Batches that may wait for the fan-out. What does not fit is left out: the heads tell other nodes what they missed.
const QUEUE: usize = 256;

/// Hands events to the fan-out one batch after the other, so that a room's order is kept, with nobody waiting for it.
#[derive(Debug)]
pub(crate) struct Publisher {
    queue: mpsc::Sender<Vec<Publication>>,
}

impl Publisher {
    /// Starts the task. It ends, with everything handed on, when this is dropped.
    pub(crate) fn start(parts: &Arc<Parts>) -> Self {
        let (queue, mut batches) = mpsc::channel::<Vec<Publication>>(QUEUE);
        let parts = parts.clone();
        tokio::spawn(async move {
            while let Some(batch) = batches.recv().await {
                if let Err(error) = parts.call("publish", parts.fanout.publish(&batch)).await {
                    warn!(error = %error.with_causes(), events = batch.len(), "live events were not published; other nodes will read the log");
                }
            }
        });
        Self { queue }
    }

    pub(crate) fn publish(&self, messages: Vec<StoredMessage>, heads: Vec<(RoomId, Cursor)>) {
        let messages = messages.into_iter().map(|message| {
            Publication::new(Topic::Room(message.room.clone()), FanoutEvent::Message(message))
        });
        let heads = heads.into_iter().map(|(room, cursor)| {
            Publication::new(Topic::Room(room.clone()), FanoutEvent::Head { room, cursor })
        });
        self.send(messages.chain(heads).collect());
    }

    pub(crate) fn send(&self, batch: Vec<Publication>) {
        if !batch.is_empty() && self.queue.try_send(batch).is_err() {
            debug!("the fan-out is behind; other nodes will read the log");
        }
    }
}
