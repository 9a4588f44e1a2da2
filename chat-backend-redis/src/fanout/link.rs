//! The connection over which a node subscribes at one shard.
//!
//! It is put back here and not by the client's own reconnecting, which forgets to say what was lost.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use chat_core::fanout::{Topic, Topics};
use fred::{
    clients::Client,
    interfaces::{ClientInterface as _, ClientLike as _, EventInterface as _, PubsubInterface as _},
    types::{
        ClusterHash, CustomCommand, Message, Value,
        config::{Config, ServerConfig},
    },
};
use futures::{future::join_all, poll};
use tokio::{
    sync::{
        Notify,
        broadcast::{Receiver, error::RecvError},
    },
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};

use super::{
    payload::{Said, Unpacker},
    registry::{Registry, ShardId},
};
use crate::{
    RedisError, RedisErrorKind,
    backend::Shared,
    connect::{Connection, Use},
};

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Payloads that are taken before everything else has its turn.
const AT_MOST: usize = 32;
/// Before a server is asked again that said a channel was not its own.
const REFUSED_PAUSE: Duration = Duration::from_millis(250);
/// Channels that are subscribed to in one go, each by a command of its own: those of one command would have to be of one slot.
const AT_ONCE: usize = 512;

const RECONNECTS: &str = "chat_redis_subscriber_reconnects_total";
const LAGGED: &str = "chat_redis_subscriber_lagged_total";

type Done<T> = Result<T, RedisError>;

pub(super) struct Link {
    pub(super) shared: Arc<Shared>,
    pub(super) server: Config,
    pub(super) shard: ShardId,
    pub(super) registry: Arc<Registry>,
    pub(super) topics: Topics,
    /// Somebody should look whether slots have moved.
    pub(super) moved: Arc<Notify>,
    pub(super) was_connected: bool,
    pub(super) pause: Duration,
}

/// What one connection has heard.
struct Heard {
    unpacker: Mutex<Unpacker>,
    /// The channel to ourselves.
    probe: String,
    probes: Mutex<Probes>,
    /// Some of what came waits to be taken.
    behind: AtomicBool,
}

/// How often we sent something to ourselves, and what came of it.
#[derive(Debug, Default)]
struct Probes {
    sent: u64,
    came: u64,
}

impl Probes {
    fn came_all(&mut self) {
        self.came = self.sent;
    }
}

impl Heard {
    fn unpacker(&self) -> MutexGuard<'_, Unpacker> {
        self.unpacker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn probes(&self) -> MutexGuard<'_, Probes> {
        self.probes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    pub(super) fn new(
        shared: Arc<Shared>,
        server: Config,
        shard: ShardId,
        (registry, topics, moved): (Arc<Registry>, Topics, Arc<Notify>),
    ) -> Self {
        Self { shared, server, shard, registry, topics, moved, was_connected: false, pause: SHORTEST_PAUSE }
    }

    /// Listens until it is dropped.
    pub(super) async fn run(mut self) -> Infallible {
        loop {
            let failure = match self.listen().await {
                Ok(never) => match never {},
                Err(failure) => failure,
            };
            if self.was_connected {
                tracing::warn!(shard = self.shard, error = %failure, "a connection that subscribes was lost");
            } else {
                tracing::debug!(shard = self.shard, error = %failure, "cannot subscribe");
            }
            self.registry.lost(&self.shard, failure);
            self.moved.notify_one();
            // All nodes lose a server at the same time, and need not come back at the same time.
            sleep(self.pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Connects, and listens until the connection is lost.
    async fn listen(&mut self) -> Done<Infallible> {
        let mut connection = Connection::open(&self.shared.config, &self.server, Use::Subscriptions).await?;
        let client = connection.client.clone();
        let messages = client.message_rx();
        let is_ours = |slot| self.registry.carries(&self.shard, slot);
        let probe = self.registry.channels().probe(is_ours);
        let probe =
            probe.ok_or_else(|| RedisError::new(RedisErrorKind::Unavailable, "a shard without slots"))?;
        let heard = Heard {
            unpacker: Mutex::default(),
            probe,
            probes: Mutex::default(),
            behind: AtomicBool::default(),
        };
        subscribe(&client, &heard.probe).await?;
        if std::mem::replace(&mut self.was_connected, true) {
            metrics::counter!(RECONNECTS).increment(1);
        }
        let failure = self.attend(&mut connection, messages, &heard).await;
        if heard.probes().came > 0 {
            self.pause = SHORTEST_PAUSE;
        }
        Err(failure)
    }

    /// Takes what comes, until nothing does any more.
    async fn attend(
        &self,
        connection: &mut Connection,
        mut messages: Receiver<Message>,
        heard: &Heard,
    ) -> RedisError {
        let client = connection.client.clone();
        let mut keeping = pin!(self.keep(&client, heard));
        let mut taken = 0;
        loop {
            let behind = !messages.is_empty();
            heard.behind.store(behind, Ordering::Relaxed);
            // They may come faster than they are taken, for as long as they like.
            if behind && taken >= AT_MOST {
                taken = 0;
                if let Poll::Ready(done) = poll!(&mut keeping) {
                    return gave_up(done);
                }
            }
            tokio::select! {
                biased;
                message = messages.recv() => match message {
                    Ok(message) => {
                        taken += 1;
                        self.take(&message, heard);
                    }
                    Err(RecvError::Lagged(count)) => {
                        metrics::counter!(LAGGED).increment(count);
                        tracing::warn!(shard = self.shard, count, "payloads came faster than they were taken");
                        heard.unpacker().forget_all();
                        // What was dropped may have been our own question. The connection brings more than enough.
                        heard.probes().came_all();
                        self.tell(&self.registry.carried(&self.shard));
                    }
                    Err(RecvError::Closed) => return lost("the client is gone"),
                },
                done = &mut connection.task => return match done {
                    Ok(Err(error)) => error.into(),
                    _ => lost("the server closed the connection"),
                },
                done = &mut keeping => return gave_up(done),
            }
        }
    }

    /// Subscribes to what is wanted, ends what is not, and finds out whether the connection still brings anything.
    async fn keep(&self, client: &Client, heard: &Heard) -> Done<Infallible> {
        let gone = || lost("the shard is not there any more");
        let changed = self.registry.changed(&self.shard).ok_or_else(gone)?;
        let period = self.shared.config.probe;
        let mut tick = interval_at(Instant::now() + period, period);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Nothing may be wanted, and the connection is there all the same.
        self.registry.confirm(&self.shard, &[]);
        let (mut probing, mut short) = (false, false);
        loop {
            let refused = self.subscribe_lacking(client, heard).await?;
            if refused {
                self.moved.notify_one();
            }
            tokio::select! {
                biased;
                // Where slots move, somebody says so when it is known whereto.
                () = changed.notified() => {}
                due = tick.tick() => {
                    // What came meanwhile may wait to be read, here or in the system, where this node has slept.
                    let asleep = heard.behind.load(Ordering::Relaxed) || due.elapsed() > period / 2;
                    // Not sooner: who leaves is often followed by who comes.
                    for topic in self.registry.take_idle(&self.shard) {
                        heard.unpacker().forget(&topic);
                        unsubscribe(client, &self.registry.channels().name(&topic)).await?;
                    }
                    probing = self.probe(heard, probing && !asleep).await?;
                    short = self.count(client, short).await?;
                }
                // Servers may disagree for a while, and we with them.
                () = sleep(REFUSED_PAUSE), if refused => {}
            }
        }
    }

    /// Answers whether the server refused some because they are not its own.
    async fn subscribe_lacking(&self, client: &Client, heard: &Heard) -> Done<bool> {
        loop {
            let lacking = self.registry.lacking(&self.shard, AT_ONCE);
            if lacking.is_empty() {
                return Ok(false);
            }
            lacking.iter().for_each(|topic| heard.unpacker().forget(topic));
            let names: Vec<_> = lacking.iter().map(|topic| self.registry.channels().name(topic)).collect();
            let answers = join_all(names.iter().map(|name| subscribe(client, name))).await;
            let mut carried = Vec::new();
            let mut refused = false;
            for (topic, answer) in lacking.into_iter().zip(answers) {
                match answer {
                    Ok(()) => carried.push(topic),
                    Err(error) if matches!(error.code(), Some("MOVED" | "ASK" | "TRYAGAIN")) => {
                        refused = true
                    }
                    Err(error) => return Err(error),
                }
            }
            self.tell(&self.registry.confirm(&self.shard, &carried));
            if refused {
                return Ok(true);
            }
        }
    }

    /// Publishes to ourselves, and fails if the time before brought nothing. Answers whether something is on its way.
    async fn probe(&self, heard: &Heard, probing: bool) -> Done<bool> {
        let number = {
            let mut probes = heard.probes();
            if probing && probes.came < probes.sent {
                return Err(lost("nothing comes over the connection any more"));
            }
            probes.sent += 1;
            probes.sent
        };
        // A failure says nothing about this connection.
        let sending = self.shared.client()?.spublish::<(), _, _>(heard.probe.as_str(), number.to_string());
        Ok(sending.await.is_ok())
    }

    /// Asks a server of a cluster how many channels it has for this connection, and fails if it is too few for the second time.
    /// Answers whether it is. A slot that left and came back between two looks is where it was, and its subscriptions are not.
    async fn count(&self, client: &Client, short: bool) -> Done<bool> {
        let ServerConfig::Centralized { server } = &self.server.server else { return Ok(false) };
        let Some(id) = client.connection_ids().remove(server) else { return Ok(false) };
        if self.shard.is_empty() {
            return Ok(false);
        }
        let due = self.registry.count(&self.shard) + 1;
        let asked = self.shared.client()?.with_cluster_node(server.clone());
        // Not every server lets everybody ask, and a failure says nothing about this connection.
        let Ok(list) = asked.client_list::<String, ()>(None, Some(vec![id.to_string()])).await else {
            return Ok(false);
        };
        let there =
            list.split_whitespace().find_map(|word| word.strip_prefix("ssub=")?.parse::<usize>().ok());
        let is_short = there.is_some_and(|there| there < due);
        if is_short && short {
            return Err(lost("the server has ended subscriptions"));
        }
        if is_short {
            // Most likely they are another server's now.
            self.moved.notify_one();
        }
        Ok(is_short)
    }

    fn take(&self, message: &Message, heard: &Heard) {
        let text = message.value.as_str();
        if *message.channel == *heard.probe {
            let number = text.and_then(|text| text.parse().ok()).unwrap_or(0);
            let mut probes = heard.probes();
            probes.came = probes.came.max(number);
            return;
        }
        let Some(topic) = self.registry.channels().topic(&message.channel) else { return };
        if !self.topics.contains(&topic) {
            return;
        }
        let said = text.map_or_else(|| vec![Said::Missed], |text| heard.unpacker().unpack(&topic, &text));
        for said in said {
            match said {
                Said::Event(event) => self.topics.deliver(&topic, &event),
                Said::Missed => self.topics.missed(&topic),
            }
        }
    }

    fn tell(&self, missed: &BTreeSet<Topic>) {
        if !missed.is_empty() {
            self.topics.missed_where(|topic| missed.contains(topic));
        }
    }
}

/// Subscribes to one channel. The answer says that it is in force.
async fn subscribe(client: &Client, channel: &str) -> Done<()> {
    // The client's own call for it may not be made again before it is answered.
    let command = CustomCommand::new_static("SSUBSCRIBE", ClusterHash::FirstKey, false);
    let answer: Value = client.custom(command, vec![channel]).await?;
    // The client leaves some answers out, and tells the others apart by their order alone: where the server refuses to end a
    // subscription, all later ones are those to other commands.
    match &answer {
        Value::Array(words) if words.get(1).and_then(Value::as_str).as_deref() == Some(channel) => Ok(()),
        _ => Err(lost("the answers on the connection are out of order")),
    }
}

async fn unsubscribe(client: &Client, channel: &str) -> Done<()> {
    Ok(client.sunsubscribe(channel).await?)
}

fn gave_up(done: Done<Infallible>) -> RedisError {
    match done {
        Ok(never) => match never {},
        Err(failure) => failure,
    }
}

fn lost(why: &'static str) -> RedisError {
    RedisError::new(RedisErrorKind::Connection, why)
}

#[cfg(test)]
mod tests;
