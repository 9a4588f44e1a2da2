//! What keeps a room's lane going: its subscription, the repair of gaps, the comparison with the log.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use tokio::{sync::watch, time::Instant};
use tracing::{debug, warn};

use crate::{
    Error, Head, ReadQuery, Result,
    chat::Parts,
    fanout::{FanoutItem, Subscription, Topic},
    hub::{Hub, Lane},
    mutation::Mutation,
    session::LeftReason,
};

/// Waits between tries while something does not answer: this, doubled each time up to [`LONGEST_PAUSE`], with jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Entries per read while a gap is closed.
const REPAIR_PAGE: usize = 200;

/// Exponential backoff with full jitter.
#[derive(Debug, Default)]
pub(crate) struct Backoff(u32);

impl Backoff {
    pub(crate) fn next(&mut self) -> Duration {
        let ceiling = FIRST_PAUSE.saturating_mul(1 << self.0.min(10)).min(LONGEST_PAUSE);
        self.0 += 1;
        ceiling.mul_f64(fastrand::f64().mul_add(0.5, 0.5))
    }

    pub(crate) fn reset(&mut self) {
        self.0 = 0;
    }
}

pub(crate) struct LaneTask {
    pub(crate) lane: Arc<Lane>,
    pub(crate) parts: Arc<Parts>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) shutdown: watch::Receiver<()>,
}

impl LaneTask {
    pub(crate) async fn run(mut self) {
        let subscription = match self.start().await {
            Ok(subscription) => subscription,
            Err(error) => {
                self.hub.forget(&self.lane);
                return self.lane.fail(error);
            }
        };
        self.follow(subscription).await;
        self.hub.forget(&self.lane);
        self.lane.end_all(LeftReason::Closed);
    }

    /// Subscribes, and only then asks where the room is: what comes in between is seen twice rather than never.
    async fn start(&self) -> Result<Subscription> {
        let subscription = self.subscribe().await?;
        let head = self.head().await?.ok_or_else(|| Error::RoomNotFound { room: self.lane.room.clone() })?;
        self.lane.open(&head, &self.parts);
        Ok(subscription)
    }

    async fn subscribe(&self) -> Result<Subscription> {
        let topic = Topic::Room(self.lane.room.clone());
        self.parts.call("subscribe", self.parts.fanout.subscribe(&topic)).await
    }

    async fn head(&self) -> Result<Option<Head>> {
        let rooms = [self.lane.room.clone()];
        Ok(self.parts.call("heads", self.parts.log.heads(&rooms)).await?.pop().flatten())
    }

    async fn follow(&mut self, subscription: Subscription) {
        let mut subscription = Some(subscription);
        let (mut repair_pause, mut subscribe_pause, mut verify_pause) =
            (Backoff::default(), Backoff::default(), Backoff::default());
        let mut verify_at: Option<Instant> = None;
        let mut repair_at: Option<Instant> = None;
        let mut subscribe_at = Instant::now();
        let mut deserted_since: Option<Instant> = None;
        loop {
            let duties = self.lane.duties();
            if duties.recheck {
                self.hub.recheck_lane(&self.lane);
            }
            if duties.verify && !self.parts.settings.is_mutated(Mutation::NoHeadCheck) {
                verify_at = verify_at.or_else(|| Some(Instant::now()));
            }
            repair_at = match (duties.missing, repair_at) {
                (true, None) => Some(Instant::now() + self.parts.settings.gap_patience),
                (true, set) => set,
                (false, _) => None,
            };
            deserted_since =
                if duties.deserted { deserted_since.or_else(|| Some(Instant::now())) } else { None };
            let close_at = deserted_since.map(|since| since + self.parts.settings.room_linger);

            tokio::select! {
                biased;
                _ = self.shutdown.changed() => return,
                () = self.lane.wake.notified() => {}
                item = next(&mut subscription) => match item {
                    Some(Ok(FanoutItem::Event(event))) => self.lane.event(&event, &self.parts),
                    Some(Ok(FanoutItem::Missed)) => self.lane.missed(),
                    Some(Err(error)) => {
                        // Where nobody is there, as after a drain, it matters to nobody.
                        if duties.deserted {
                            debug!(%error, "the subscription of a room without sessions ended");
                        } else {
                            warn!(error = %error.with_causes(), "a room's subscription ended; subscribing again");
                        }
                        subscription = None;
                        subscribe_at = Instant::now() + subscribe_pause.next();
                    }
                    None => {
                        subscription = None;
                        subscribe_at = Instant::now() + subscribe_pause.next();
                    }
                },
                () = tokio::time::sleep_until(subscribe_at), if subscription.is_none() => {
                    match self.subscribe().await {
                        Ok(new) => {
                            subscription = Some(new);
                            subscribe_pause.reset();
                            self.lane.missed();
                        }
                        Err(error) => {
                            debug!(%error, "a room could not be subscribed to");
                            subscribe_at = Instant::now() + subscribe_pause.next();
                        }
                    }
                }
                () = until(verify_at) => {
                    match self.compare_with_log().await {
                        Ok(()) => {
                            verify_at = None;
                            verify_pause.reset();
                        }
                        Err(error) => {
                            debug!(%error, "the head of a room could not be compared with the log");
                            verify_at = Some(Instant::now() + verify_pause.next());
                        }
                    }
                }
                () = until(repair_at) => {
                    match self.repair().await {
                        Ok(()) => {
                            repair_at = None;
                            repair_pause.reset();
                        }
                        Err(error) => {
                            debug!(%error, "a gap could not be read from the log");
                            repair_at = Some(Instant::now() + repair_pause.next());
                        }
                    }
                }
                () = until(close_at) => {
                    if self.lane.close_if_deserted() {
                        return;
                    }
                }
            }
        }
    }

    /// Learns how far the log is, and whether it is still the same.
    async fn compare_with_log(&self) -> Result<()> {
        let Some(head) = self.head().await? else {
            self.lane.end_all(LeftReason::Closed);
            return Ok(());
        };
        self.lane.reorder(|order| {
            if head.cursor.epoch == order.head().epoch {
                order.hint(&head.cursor);
                false
            } else {
                order.restart(&head);
                true
            }
        });
        Ok(())
    }

    /// Reads what is missing. A gap wider than what is kept in memory is left to the sessions, each from its position.
    async fn repair(&self) -> Result<()> {
        let memory = self.parts.settings.room_buffer_entries;
        while let Some((after, missing)) = self.lane.order(|order| (order.head().clone(), order.missing())) {
            let known = after.seq.plus(missing);
            if missing == 0 {
                break;
            }
            let too_wide = missing > memory as u64;
            let read = async {
                let query = if too_wide {
                    ReadQuery::newest().with_limit(memory)
                } else {
                    ReadQuery::after(after.clone()).with_limit(REPAIR_PAGE)
                };
                self.parts.call("read", self.parts.log.read(&self.lane.room, query)).await
            };
            match read.await {
                Ok(page) if page.head.cursor.epoch != after.epoch => {
                    self.lane.verify();
                    break;
                }
                Ok(page) => self.lane.reorder(|order| {
                    let before = order.head().seq;
                    if too_wide {
                        // Unless what was missing has come by itself meanwhile.
                        if page.head.cursor.seq > before {
                            order.jump(&page.head, page.entries);
                        }
                    } else {
                        page.entries.into_iter().for_each(|entry| {
                            order.offer(entry);
                        });
                        if page.reaches_head
                            && order.head().seq < known
                            && order.head().seq.plus(order.missing()) == known
                        {
                            // What was heard of before this read is not in the log.
                            order.forget_hints();
                        }
                    }
                    order.head().seq > before
                }),
                Err(Error::CursorReset { .. } | Error::CursorExpired { .. }) => {
                    let page = self
                        .parts
                        .call(
                            "read",
                            self.parts.log.read(&self.lane.room, ReadQuery::newest().with_limit(memory)),
                        )
                        .await?;
                    self.lane.reorder(|order| {
                        order.forget_hints();
                        order.jump(&page.head, page.entries);
                        true
                    });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

async fn next(subscription: &mut Option<Subscription>) -> Option<Result<FanoutItem>> {
    match subscription {
        Some(subscription) => subscription.next().await,
        None => std::future::pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
