//! Which topics are wanted on this node, and which are subscribed to at which shard: the one registry by which every
//! connection is put back.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chat_core::fanout::{Interest, Topic};
use tokio::sync::Notify;

use super::channel::Channels;
use crate::RedisError;

/// A server that carries channels: host and port in a cluster, and nothing else where there is but one.
pub(super) type ShardId = String;

/// Who carries what: the first slot of each range, with its shard.
pub(super) type Routes = BTreeMap<u16, Option<ShardId>>;

#[derive(Debug)]
pub(super) struct Registry {
    channels: Channels,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    topics: BTreeMap<Topic, Entry>,
    shards: BTreeMap<ShardId, Shard>,
    routes: Routes,
    closed: bool,
}

#[derive(Debug)]
struct Entry {
    slot: u16,
    /// Has a subscriber.
    wanted: bool,
    /// The server has confirmed it.
    in_force: bool,
    /// It was in force at some time, so somebody may have missed something when it is so again.
    interrupted: bool,
    confirmed: Arc<Notify>,
}

#[derive(Debug)]
struct Shard {
    /// Wanted, and not in force.
    lacking: BTreeSet<Topic>,
    /// In force, and wanted no longer.
    idle: BTreeSet<Topic>,
    changed: Arc<Notify>,
    connected: bool,
    /// Why it is not connected.
    failure: Option<RedisError>,
}

impl Registry {
    pub(super) fn new(channels: Channels) -> Self {
        Self { channels, state: Mutex::default() }
    }

    pub(super) fn channels(&self) -> &Channels {
        &self.channels
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A topic got its first subscriber, or lost its last one.
    pub(super) fn note(&self, topic: &Topic, interest: Interest) {
        let mut state = self.state();
        match interest {
            Interest::Begins => state.want(topic, &self.channels),
            Interest::Ends => state.let_go(topic),
        }
    }

    /// Returns once the topic is in force.
    pub(super) async fn in_force(&self, topic: &Topic) -> Result<(), RedisError> {
        loop {
            let confirmed = match self.state().topics.get(topic) {
                Some(entry) => Arc::clone(&entry.confirmed),
                // Its subscriber is gone, or all is.
                None => return Err(RedisError::closed()),
            };
            let mut confirmed = pin!(confirmed.notified());
            confirmed.as_mut().enable();
            {
                let state = self.state();
                if state.closed {
                    return Err(RedisError::closed());
                }
                if state.topics.get(topic).is_some_and(|entry| entry.in_force) {
                    return Ok(());
                }
            }
            confirmed.await;
        }
    }

    /// Who carries what from now on. Topics that have another shard than before are not in force. Answers the shards that
    /// there are.
    pub(super) fn route(&self, routes: Routes) -> BTreeSet<ShardId> {
        let ids: BTreeSet<ShardId> = routes.values().flatten().cloned().collect();
        let mut state = self.state();
        if state.closed {
            return BTreeSet::new();
        }
        let State { topics, shards, routes: known, .. } = &mut *state;
        shards.retain(|id, _| ids.contains(id));
        for id in &ids {
            shards.entry(id.clone()).or_insert_with(Shard::new);
        }
        for (topic, entry) in topics {
            let (before, now) = (shard_of(known, entry.slot), shard_of(&routes, entry.slot));
            if before == now {
                continue;
            }
            if let Some(shard) = before.and_then(|id| shards.get_mut(id)) {
                shard.lacking.remove(topic);
                shard.idle.remove(topic);
            }
            entry.in_force = false;
            if let Some(shard) = now.and_then(|id| shards.get_mut(id)) {
                shard.lacking.insert(topic.clone());
                shard.changed.notify_one();
            }
        }
        *known = routes;
        ids
    }

    /// Whether a shard carries a slot.
    pub(super) fn carries(&self, id: &ShardId, slot: u16) -> bool {
        shard_of(&self.state().routes, slot) == Some(id)
    }

    /// What says that a shard lacks something, most likely.
    pub(super) fn changed(&self, id: &ShardId) -> Option<Arc<Notify>> {
        self.state().shards.get(id).map(|shard| Arc::clone(&shard.changed))
    }

    /// Up to so many topics that a shard should carry and does not.
    pub(super) fn lacking(&self, id: &ShardId, limit: usize) -> Vec<Topic> {
        let mut state = self.state();
        let State { topics, shards, .. } = &mut *state;
        let Some(shard) = shards.get_mut(id) else { return Vec::new() };
        // Those that nobody waits for any more need not be subscribed to.
        shard.lacking.retain(|topic| {
            let wanted = topics.get(topic).is_some_and(|entry| entry.wanted);
            if !wanted {
                topics.remove(topic);
            }
            wanted
        });
        shard.lacking.iter().take(limit).cloned().collect()
    }

    /// Topics that a shard carries and nobody wants. They count as not carried from now on: who comes later waits.
    pub(super) fn take_idle(&self, id: &ShardId) -> Vec<Topic> {
        let mut state = self.state();
        let State { topics, shards, .. } = &mut *state;
        let Some(shard) = shards.get_mut(id) else { return Vec::new() };
        let idle = std::mem::take(&mut shard.idle);
        for topic in &idle {
            topics.remove(topic);
        }
        idle.into_iter().collect()
    }

    /// A shard carries these. Answers those whose subscribers may have missed something.
    pub(super) fn confirm(&self, id: &ShardId, carried: &[Topic]) -> BTreeSet<Topic> {
        let mut state = self.state();
        let State { topics, shards, .. } = &mut *state;
        let mut interrupted = BTreeSet::new();
        let Some(shard) = shards.get_mut(id) else { return interrupted };
        shard.connected = true;
        shard.failure = None;
        for topic in carried {
            // It may be another shard's by now.
            if !shard.lacking.remove(topic) {
                continue;
            }
            let Some(entry) = topics.get_mut(topic) else { continue };
            entry.in_force = true;
            entry.confirmed.notify_waiters();
            if !entry.wanted {
                shard.idle.insert(topic.clone());
            }
            if std::mem::replace(&mut entry.interrupted, true) {
                interrupted.insert(topic.clone());
            }
        }
        interrupted
    }

    /// A shard carries nothing any more.
    pub(super) fn lost(&self, id: &ShardId, failure: RedisError) {
        let mut state = self.state();
        let State { topics, shards, routes, .. } = &mut *state;
        let Some(shard) = shards.get_mut(id) else { return };
        shard.connected = false;
        shard.failure = Some(failure);
        shard.idle.clear();
        topics.retain(|topic, entry| {
            if shard_of(routes, entry.slot) != Some(id) {
                return true;
            }
            entry.in_force = false;
            if entry.wanted {
                shard.lacking.insert(topic.clone());
            } else {
                shard.lacking.remove(topic);
            }
            entry.wanted
        });
    }

    /// The topics that a shard carries.
    pub(super) fn carried(&self, id: &ShardId) -> BTreeSet<Topic> {
        let state = self.state();
        let here = |entry: &Entry| entry.in_force && shard_of(&state.routes, entry.slot) == Some(id);
        state.topics.iter().filter(|(_, entry)| here(entry)).map(|(topic, _)| topic.clone()).collect()
    }

    /// How many topics a shard carries.
    pub(super) fn count(&self, id: &ShardId) -> usize {
        let state = self.state();
        let here = |entry: &&Entry| entry.in_force && shard_of(&state.routes, entry.slot) == Some(id);
        state.topics.values().filter(here).count()
    }

    /// Why a shard is not connected, if one of them is not.
    pub(super) fn failure(&self) -> Option<RedisError> {
        let state = self.state();
        if state.closed {
            return Some(RedisError::closed());
        }
        state.shards.values().filter(|shard| !shard.connected).find_map(|shard| shard.failure.clone())
    }

    /// For good.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.shards.clear();
        for (_, entry) in std::mem::take(&mut state.topics) {
            entry.confirmed.notify_waiters();
        }
    }
}

impl State {
    fn want(&mut self, topic: &Topic, channels: &Channels) {
        let Self { topics, shards, routes, .. } = self;
        let entry = topics.entry(topic.clone()).or_insert_with(|| Entry {
            slot: channels.slot(topic),
            wanted: false,
            in_force: false,
            interrupted: false,
            confirmed: Arc::default(),
        });
        entry.wanted = true;
        let Some(shard) = shard_of(routes, entry.slot).and_then(|id| shards.get_mut(id)) else { return };
        if entry.in_force {
            // What came for nobody was passed over; it is new to who comes now.
            shard.idle.remove(topic);
        } else {
            shard.lacking.insert(topic.clone());
            shard.changed.notify_one();
        }
    }

    fn let_go(&mut self, topic: &Topic) {
        let Self { topics, shards, routes, .. } = self;
        let Some(entry) = topics.get_mut(topic) else { return };
        entry.wanted = false;
        match shard_of(routes, entry.slot).and_then(|id| shards.get_mut(id)) {
            Some(shard) if entry.in_force => drop(shard.idle.insert(topic.clone())),
            // It may be under way: then it is idle as soon as it is confirmed.
            Some(_) => {}
            None => drop(topics.remove(topic)),
        }
    }
}

impl Shard {
    fn new() -> Self {
        Self {
            lacking: BTreeSet::new(),
            idle: BTreeSet::new(),
            changed: Arc::default(),
            connected: false,
            failure: None,
        }
    }
}

fn shard_of(routes: &Routes, slot: u16) -> Option<&ShardId> {
    routes.range(..=slot).next_back().and_then(|(_, shard)| shard.as_ref())
}

#[cfg(test)]
mod tests;
