//! Sends payloads: one at a time per topic, with all that came for it while the one before was under way. What goes to
//! different topics is under way at the same time, and goes together where one server has all topics: a command for each would cost
//! this node more than all else that it does for a message.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock},
};

use chat_core::{
    Result,
    fanout::{Publication, Topic},
};
use fred::{
    bytes_utils::Str,
    interfaces::{ClientLike as _, PubsubInterface as _},
    types::Value,
};
use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::{mpsc, oneshot};

use super::{
    channel::Channels,
    payload::{self, Packer},
};
use crate::{RedisError, RedisErrorKind, backend::Shared, script::Script};

static PUBLISH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../scripts/publish.lua")));

/// Calls that wait to be looked at; later ones wait for a place.
const WAITING: usize = 1_024;
/// Text that waits here for its turn; while there is more, no call is looked at.
const MAX_HELD: usize = 16 << 20;
/// Text that is gathered for one payload.
const GATHERED: usize = 256 * 1_024;
/// Payloads that go together, of as much text as one may have.
const TOGETHER: usize = 64;

const BATCH: &str = "chat_redis_publish_events";

type Done<T> = std::result::Result<T, RedisError>;

/// What one call publishes, in its order.
struct Call {
    events: Vec<(Topic, String)>,
    done: oneshot::Sender<Done<()>>,
}

#[derive(Debug, Clone)]
pub(super) struct Publisher {
    calls: mpsc::Sender<Call>,
}

impl Publisher {
    /// Starts the task that sends. It ends with the last handle.
    pub(super) fn start(shared: Arc<Shared>) -> Self {
        let (calls, waiting) = mpsc::channel(WAITING);
        let channels = Channels::new(shared.keys.prefix());
        let sender = Sender {
            shared,
            channels,
            packer: Packer::new(fastrand::u64(..)),
            lanes: HashMap::new(),
            calls: BTreeMap::new(),
            next_call: 0,
            held: 0,
            flights: FuturesUnordered::new(),
        };
        tokio::spawn(sender.run(waiting));
        Self { calls }
    }

    /// Returns once the servers have the payloads.
    pub(super) async fn publish(&self, events: &[Publication]) -> Result<()> {
        let published = async {
            let encode = |event: &Publication| Ok((event.topic.clone(), payload::encode(&event.event)?));
            let events = events.iter().map(encode).collect::<Done<_>>()?;
            let (done, answer) = oneshot::channel();
            let gone = |_| RedisError::closed();
            self.calls.send(Call { events, done }).await.map_err(|_| RedisError::closed())?;
            answer.await.map_err(gone)?
        };
        published.await.map_err(|error: RedisError| error.during("publish"))
    }
}

/// What waits for a topic while a payload of it is under way.
#[derive(Default)]
struct Lane {
    events: Vec<(u64, String)>,
}

/// A call that waits for its events to be sent.
struct Open {
    left: usize,
    done: oneshot::Sender<Done<()>>,
    failure: Option<RedisError>,
}

/// A payload that is sent: its topic, and how many events of which calls are in it.
struct Flight {
    topic: Topic,
    calls: Vec<(u64, usize)>,
    size: usize,
}

/// Payloads that were sent together.
struct Landed {
    flights: Vec<Flight>,
    done: Done<()>,
}

struct Sender {
    shared: Arc<Shared>,
    channels: Channels,
    packer: Packer,
    /// The topics with a payload under way.
    lanes: HashMap<Topic, Lane>,
    calls: BTreeMap<u64, Open>,
    next_call: u64,
    held: usize,
    flights: FuturesUnordered<BoxFuture<'static, Landed>>,
}

impl Sender {
    async fn run(mut self, mut waiting: mpsc::Receiver<Call>) {
        loop {
            tokio::select! {
                biased;
                Some(landed) = self.flights.next(), if !self.flights.is_empty() => self.landed(landed),
                call = waiting.recv(), if self.held < MAX_HELD => match call {
                    Some(call) => self.take(call),
                    None => break,
                },
            }
        }
        while let Some(landed) = self.flights.next().await {
            self.landed(landed);
        }
    }

    fn take(&mut self, call: Call) {
        let number = self.next_call;
        self.next_call += 1;
        if call.events.is_empty() {
            // Who does not wait any more does not want to know.
            let _ = call.done.send(Ok(()));
            return;
        }
        self.calls.insert(number, Open { left: call.events.len(), done: call.done, failure: None });
        // Those that can go at once, when all of the call is in its place: what is of one topic goes together.
        let mut ready = Vec::new();
        for (topic, text) in call.events {
            self.held += text.len();
            let lane = self.lanes.entry(topic.clone()).or_insert_with(|| {
                ready.push(topic);
                Lane::default()
            });
            lane.events.push((number, text));
        }
        self.send_all(ready);
    }

    /// Sends what waits for these topics, each as far as it goes into one payload.
    fn send_all(&mut self, topics: Vec<Topic>) {
        // On a cluster each of them may be at another server.
        let most = match self.shared.client() {
            Ok(client) if !client.is_clustered() => TOGETHER,
            _ => 1,
        };
        let (mut flights, mut payloads, mut size) = (Vec::new(), Vec::new(), 0);
        for topic in topics {
            let Some((flight, channel, payload)) = self.pack(topic) else { continue };
            if flights.len() >= most || size > 0 && size + payload.len() > GATHERED {
                self.launch(std::mem::take(&mut flights), std::mem::take(&mut payloads));
                size = 0;
            }
            size += payload.len();
            flights.push(flight);
            payloads.push((Str::from(channel), Str::from(payload)));
        }
        if !flights.is_empty() {
            self.launch(flights, payloads);
        }
    }

    fn launch(&mut self, flights: Vec<Flight>, payloads: Vec<(Str, Str)>) {
        let shared = Arc::clone(&self.shared);
        self.flights.push(Box::pin(async move {
            let done = send(&shared, &payloads).await;
            Landed { flights, done }
        }));
    }

    /// Puts together what waits for a topic, as far as it goes into one payload: with the channel it goes to.
    fn pack(&mut self, topic: Topic) -> Option<(Flight, String, String)> {
        let lane = self.lanes.get_mut(&topic)?;
        let mut size = 0;
        let fits = |(_, text): &&(u64, String)| {
            let fits = size == 0 || size + text.len() <= GATHERED;
            size += text.len();
            fits
        };
        let count = lane.events.iter().take_while(fits).count();
        let events: Vec<_> = lane.events.drain(..count).collect();
        let size = events.iter().map(|(_, text)| text.len()).sum();
        let mut calls: Vec<(u64, usize)> = Vec::new();
        for (call, _) in &events {
            match calls.last_mut() {
                Some((last, count)) if last == call => *count += 1,
                _ => calls.push((*call, 1)),
            }
        }
        #[allow(clippy::cast_precision_loss, reason = "for a graph")]
        metrics::histogram!(BATCH).record(events.len() as f64);
        let payload = self.packer.pack(&topic, events.iter().map(|(_, text)| text.as_str()));
        let channel = self.channels.name(&topic);
        Some((Flight { topic, calls, size }, channel, payload))
    }

    fn landed(&mut self, landed: Landed) {
        let mut ready = Vec::new();
        for Flight { topic, calls, size } in landed.flights {
            self.held -= size;
            for (number, count) in calls {
                let Some(call) = self.calls.get_mut(&number) else { continue };
                call.left -= count;
                if let Err(error) = &landed.done {
                    call.failure = Some(error.clone());
                }
                if call.left == 0
                    && let Some(call) = self.calls.remove(&number)
                {
                    let _ = call.done.send(call.failure.map_or(Ok(()), Err));
                }
            }
            if self.lanes.get(&topic).is_some_and(|lane| lane.events.is_empty()) {
                self.lanes.remove(&topic);
            } else {
                ready.push(topic);
            }
        }
        self.send_all(ready);
    }
}

/// Tries once more when the connection broke: listeners know a payload that comes twice by its number, and one that
/// never comes by its gap.
async fn send(shared: &Shared, payloads: &[(Str, Str)]) -> Done<()> {
    let error = match send_once(shared, payloads).await {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    if error.kind() != RedisErrorKind::Connection {
        tracing::warn!(%error, "events were not published");
        return Err(error);
    }
    send_once(shared, payloads).await.inspect_err(|error| tracing::warn!(%error, "events were not published"))
}

async fn send_once(shared: &Shared, payloads: &[(Str, Str)]) -> Done<()> {
    let client = shared.client()?;
    if let [(channel, payload)] = payloads {
        return Ok(client.spublish::<(), _, _>(channel.clone(), payload.clone()).await?);
    }
    let text = |text: &Str| Value::String(text.clone());
    let arguments: Vec<Value> =
        payloads.iter().flat_map(|(channel, payload)| [text(channel), text(payload)]).collect();
    PUBLISH.call(client, &[], arguments).await.map(drop)
}
