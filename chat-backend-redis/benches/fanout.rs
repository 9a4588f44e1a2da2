//! Delivery from one node to another, against bare publishing and subscribing of the same bytes with the same client, in
//! turns on one server. The fan-out alone; the same events through the hub of the node where they arrive, to a session in each room; and
//! whole chats over one store in memory, from a send on one node to the session on the other, which does everything else that a message
//! needs, too.
//!
//! `cargo bench -p chat-backend-redis --bench fanout`, and `-- 2000` for another number of events in a turn
#![allow(clippy::unwrap_used, reason = "what cannot go on says why by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chat_backend_redis::{RedisBackend, RedisConfig};
use chat_core::{
    Chat, ClientMessageId, CustomKind, Event, JoinRequest, JsonText, MemberChange, NewRoom, Role, RoomId,
    Session, SessionEvents, UserId,
    auth::Credentials,
    fanout::{FanoutEvent, FanoutItem, Publication, Topic},
    memory::MemoryStore,
    rate_limit::{LocalRateLimiter, RateLimits},
    testkit::TokenIsUser,
};
use chat_test_services::Redis;
use fred::{
    interfaces::{ClientLike as _, EventInterface as _, PubsubInterface as _},
    types::{Builder, config::Config},
};
use futures::StreamExt as _;
use tokio::time::timeout;

const ROOMS: usize = 100;
const SENDERS: usize = 256;
const EVENTS: usize = 50_000;
const TURNS: usize = 5;
/// For all events of a turn.
const PATIENCE: Duration = Duration::from_secs(60);
/// What clients take in advance, more than is ever under way: they make all of it when they begin, and many times.
const RECEIVED: usize = RedisConfig::DEFAULT_RECEIVE_BUFFER;
/// What readers of a room may be behind.
const BEHIND: usize = 4_096;
/// Of an event: what a short message takes.
const BYTES: usize = 200;

fn main() {
    let wanted = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(EVENTS);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Redis::shared().await.unwrap();
        println!(
            "{wanted} events of {BYTES} bytes to {ROOMS} rooms, {SENDERS} at once, medians of {TURNS} turns"
        );
        let (mut bares, mut fanouts, mut hubs, mut chats) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..TURNS {
            bares.push(bare(server, wanted).await);
            fanouts.push(fanout(server, wanted).await);
            hubs.push(chat(server, wanted, What::Events).await);
            chats.push(chat(server, wanted, What::Messages).await);
        }
        let bare = rate(bares, wanted);
        for (what, times) in [("fan-out", fanouts), ("through the hub", hubs), ("whole chat", chats)] {
            let rate = rate(times, wanted);
            println!("{what:>15}: {rate:>9.0} /s, bare {bare:>9.0} /s, ratio {:.2}", rate / bare);
        }
    });
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn rate(mut times: Vec<Duration>, events: usize) -> f64 {
    times.sort();
    events as f64 / times[times.len() / 2].as_secs_f64()
}

fn room(number: usize) -> RoomId {
    RoomId::new(&format!("r{}", number % ROOMS)).unwrap()
}

fn event(number: usize) -> FanoutEvent {
    let user = UserId::new("ann").unwrap();
    let data = JsonText::new(&format!("\"{}\"", "x".repeat(BYTES - 90))).unwrap();
    FanoutEvent::Signal { room: room(number), user, name: CustomKind::new("note").unwrap(), data }
}

/// One for each room, as the bare payload is: to make them is not what is measured.
fn publications() -> Arc<[Publication]> {
    (0..ROOMS).map(|number| Publication::new(Topic::Room(room(number)), event(number))).collect()
}

/// Makes so many calls, so many at once.
async fn send<F: Future<Output = ()> + Send + 'static>(
    events: usize,
    call: impl Fn(usize) -> F + Clone + Send + 'static,
) {
    let next = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (next, call) = (Arc::clone(&next), call.clone());
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= events {
                        return;
                    }
                    call(number).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn bare(server: &Redis, events: usize) -> Duration {
    let client = || async {
        let mut builder = Builder::from_config(Config::from_url(server.url()).unwrap());
        builder.with_performance_config(|performance| performance.broadcast_channel_capacity = RECEIVED);
        let client = builder.build().unwrap();
        client.init().await.unwrap();
        client
    };
    let (here, there) = (client().await, client().await);
    let mut messages = there.message_rx();
    let prefix = server.prefix();
    for number in 0..ROOMS {
        there.ssubscribe(format!("{prefix}:{}", room(number))).await.unwrap();
    }
    let text = serde_json::to_string(&event(0)).unwrap();
    let payload = format!("1 0123456789abcdef 100 ff\n[{text}]");
    let channels: Vec<_> = (0..ROOMS).map(|number| format!("{prefix}:{}", room(number))).collect();
    let begun = Instant::now();
    let counting = tokio::spawn(async move {
        for _ in 0..events {
            messages.recv().await.unwrap();
        }
    });
    send(events, move |number| {
        let (here, channel, payload) = (here.clone(), channels[number % ROOMS].clone(), payload.clone());
        async move { here.spublish::<(), _, _>(channel, payload).await.unwrap() }
    })
    .await;
    counting.await.unwrap();
    begun.elapsed()
}

async fn two_nodes(server: &Redis) -> (RedisBackend, RedisBackend) {
    let config = RedisConfig::from_url(server.url()).unwrap().with_prefix(server.prefix());
    let config = config.with_fanout_buffer(BEHIND).with_receive_buffer(RECEIVED);
    let connect = || RedisBackend::connect(config.clone());
    (connect().await.unwrap(), connect().await.unwrap())
}

async fn fanout(server: &Redis, events: usize) -> Duration {
    let (here, there) = two_nodes(server).await;
    let mut readers = Vec::new();
    for number in 0..ROOMS {
        let topic = Topic::Room(room(number));
        readers.push((number, there.fanout().subscribe(&topic).await.unwrap()));
    }
    let (here, publications) = (here.fanout(), publications());
    let begun = Instant::now();
    let readers: Vec<_> = readers
        .into_iter()
        .map(|(number, mut subscription)| {
            tokio::spawn(async move {
                for _ in (0..events).filter(|event| event % ROOMS == number) {
                    match subscription.next().await.unwrap().unwrap() {
                        FanoutItem::Event(_) => {}
                        FanoutItem::Missed => panic!("lost something"),
                    }
                }
            })
        })
        .collect();
    send(events, move |number| {
        let (here, publications) = (Arc::clone(&here), Arc::clone(&publications));
        async move { here.publish(&publications[number % ROOMS..][..1]).await.unwrap() }
    })
    .await;
    for reader in readers {
        reader.await.unwrap();
    }
    begun.elapsed()
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    Events,
    Messages,
}

async fn chat(server: &Redis, events: usize, what: What) -> Duration {
    let (here, there) = two_nodes(server).await;
    let (fanout, publications) = (here.fanout(), publications());
    let store = MemoryStore::new();
    let node = |backend: &RedisBackend| {
        Chat::builder()
            .storage(&store)
            .fanout(backend.fanout())
            .presence(backend.presence())
            .limiter(LocalRateLimiter::new(&RateLimits::unlimited()))
            .auth(TokenIsUser)
            .build()
            .unwrap()
    };
    let (here, there) = (node(&here), node(&there));
    let system = here.system(UserId::new("system").unwrap());
    let mut readers = Vec::new();
    for number in 0..ROOMS {
        system.create_room(NewRoom::new(room(number))).await.unwrap();
        readers.push((number, join(&there, &format!("u{number}"), number).await));
    }
    let begun = Instant::now();
    let readers: Vec<_> = readers
        .into_iter()
        .map(|(number, (session, heard))| {
            let due = (0..events).filter(|event| event % ROOMS == number).count();
            tokio::spawn(async move {
                timeout(PATIENCE, hear(heard, due)).await.expect("something is missing");
                drop(session);
            })
        })
        .collect();
    send(events, move |number| {
        let (system, fanout, publications) = (system.clone(), Arc::clone(&fanout), Arc::clone(&publications));
        async move {
            if what == What::Events {
                fanout.publish(&publications[number % ROOMS..][..1]).await.unwrap();
            } else {
                let text = "x".repeat(BYTES);
                system.send_text(&room(number), ClientMessageId::generate(), &text).await.unwrap();
            }
        }
    })
    .await;
    for reader in readers {
        reader.await.unwrap();
    }
    begun.elapsed()
}

/// A new member's session.
async fn join(chat: &Chat, user: &str, number: usize) -> (Session, SessionEvents) {
    let add = MemberChange::add(UserId::new(user).unwrap(), Role::Member);
    chat.system(UserId::new("system").unwrap()).change_member(&room(number), add).await.unwrap();
    let (session, mut heard) = chat.connect(&Credentials::token(user)).await.unwrap();
    session.join(JoinRequest::new(room(number))).await.unwrap();
    while !matches!(heard.next().await.unwrap(), Event::Joined(_)) {}
    (session, heard)
}

/// So many messages or events.
async fn hear(mut heard: SessionEvents, mut due: usize) {
    while due > 0 {
        match heard.next().await.unwrap() {
            Event::Entry(_) => due -= 1,
            Event::Notice(notice) if matches!(notice.value(), FanoutEvent::Signal { .. }) => due -= 1,
            Event::Resync { page: Some(_), .. } | Event::NoticesLost => {
                panic!("a session that only counts fell behind")
            }
            _ => {}
        }
    }
}
