//! Three gateways with sessions, queues and workers between them: every session gets every message of its rooms once and in
//! order, whatever carries the news, and while the broker is killed.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod live;
mod log;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chat_backend_kafka::{
    KafkaConfig, MembershipConfig, MembershipConsumer, MembershipEvent, MembershipRecord, QueueConfig,
    QueuedLog, StoredMessages, TopicNames, TopicSpec, Worker, ensure_topics,
};
use chat_backend_redis::{RedisBackend, RedisConfig};
use chat_core::{
    Auth, Backend, BoxError, Chat, ClientMessageId, Content, Event, Fanout, JoinRequest, MemberChange,
    NewRoom, ReadQuery, Result, Role, RoomId, RoomKey, Session, SessionEvents, StoredMessage, UserId,
    auth::{AuthError, Credentials, Principal},
    memory::{MemoryPresence, MemoryStore},
    rate_limit::{LocalRateLimiter, RateLimits},
};
use chat_test_services::{Kafka, Redis};
use live::{PATIENCE, produce, producer, room, until, user};
use log::{Stage, history::Told, quick};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

const ROOMS: usize = 4;
const MESSAGES: usize = 150;

/// Sessions are let in by the test itself.
#[derive(Debug)]
struct Nobody;

#[async_trait]
impl Backend for Nobody {
    fn name(&self) -> &'static str {
        "nobody"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Auth for Nobody {
    async fn authenticate(&self, _: &Credentials) -> Result<Principal> {
        Err(AuthError::Missing.into())
    }

    async fn revalidate(&self, _: &Principal) -> Result<()> {
        Ok(())
    }
}

/// Everything but who works for it.
struct Gateways {
    stage: Stage,
    store: MemoryStore,
    presence: MemoryPresence,
    nodes: Vec<(Chat, Arc<QueuedLog>)>,
}

impl Gateways {
    async fn on(kafka: &Kafka) -> Self {
        let config = KafkaConfig::new(kafka.url()).with_topics(TopicNames::with_prefix(&kafka.prefix()));
        ensure_topics(&config, &config.topics().specs(3, 1)).await.unwrap();
        let store = MemoryStore::new();
        let stage = Stage::over(config, &store, 3).await;
        for number in 0..ROOMS {
            let of = room(&format!("r{number}"));
            stage.rooms.create(NewRoom::new(of.clone())).await.unwrap();
            for member in 0..6 {
                let change = MemberChange::add(user(&format!("u{member}")), Role::Member);
                stage.rooms.change_member(&of, change).await.unwrap();
            }
        }
        Self { stage, store, presence: MemoryPresence::new(), nodes: Vec::new() }
    }

    async fn add(&mut self, fanout: Arc<dyn Fanout>) {
        let log = Arc::new(self.stage.queue(QueueConfig::new()).await);
        let chat = Chat::builder()
            .storage(&self.store)
            .log(Arc::clone(&log))
            .fanout(fanout)
            .presence(self.presence.clone())
            .limiter(LocalRateLimiter::new(&RateLimits::unlimited()))
            .auth(Nobody)
            .build()
            .unwrap();
        self.nodes.push((chat, log));
    }

    async fn join(&self, node: usize, member: usize) -> (Session, SessionEvents) {
        let principal = Principal::new(user(&format!("u{member}")));
        let (session, events) = self.nodes[node].0.connect_as(principal).await.unwrap();
        for number in 0..ROOMS {
            session.join(JoinRequest::new(room(&format!("r{number}")))).await.unwrap();
        }
        (session, events)
    }

    /// Two writers for each room, at different gateways, each of which repeats what it is not sure of.
    fn write(&self) -> JoinSet<Vec<Sent>> {
        let mut writers = JoinSet::new();
        for writer in 0..2 * ROOMS {
            let (of, from) = (room(&format!("r{}", writer % ROOMS)), user(&format!("u{}", writer % 6)));
            let actor = self.nodes[writer % 3].0.actor(Principal::new(from.clone()));
            writers.spawn(async move {
                let mut sent = Vec::new();
                for number in 0..MESSAGES {
                    let name = ClientMessageId::new(&format!("w{writer}-{number}")).unwrap();
                    let text = Content::text(&number.to_string());
                    while let Err(error) = actor.send(&of, name.clone(), text.clone()).await {
                        assert!(error.is_retryable(), "{error:?}");
                        sleep(Duration::from_millis(50)).await;
                    }
                    sent.push((of.clone(), from.clone(), name));
                    sleep(Duration::from_millis(10)).await;
                }
                sent
            });
        }
        writers
    }
}

/// A message that somebody was told is accepted.
type Sent = (RoomId, UserId, ClientMessageId);

/// Reads until each room has all of its messages, and answers what was read.
async fn follow((session, mut events): (Session, SessionEvents)) -> (UserId, Vec<StoredMessage>) {
    let (mut seen, mut given) = ([0; ROOMS], Vec::new());
    while seen.iter().any(|seen| *seen < 2 * MESSAGES as u64) {
        match timeout(PATIENCE, events.next()).await.expect("an event in time").unwrap() {
            Event::Entry(entry) => {
                let entry = entry.value();
                let of: usize = entry.room.as_str()[1..].parse().unwrap();
                assert_eq!(entry.seq().get(), seen[of] + 1, "in {}", entry.room);
                seen[of] += 1;
                given.push(entry.clone());
            }
            Event::Closing(closing) => panic!("{closing:?} after {seen:?}"),
            _ => {}
        }
    }
    (session.user().clone(), given)
}

/// Two sessions at each gateway; the broker is killed meanwhile.
async fn everybody_gets_everything(kafka: &Kafka, gateways: &Gateways) {
    let mut readers = JoinSet::new();
    for member in 0..6 {
        readers.spawn(follow(gateways.join(member % 3, member).await));
    }
    let writers = gateways.write();
    sleep(Duration::from_secs(1)).await;
    kafka.kill().await.unwrap();
    sleep(Duration::from_secs(1)).await;
    kafka.start().await.unwrap();
    let (sent, given) = (writers.join_all().await, readers.join_all().await);
    let told = Told::of(&*gateways.stage.log, (0..ROOMS).map(|number| room(&format!("r{number}")))).await;
    sent.iter().flatten().for_each(|(of, from, name)| told.accepted(of, from, name));
    given.iter().for_each(|(user, entries)| told.given(user, entries));
    told.holds();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_session_gets_every_message_once_from_the_workers_topic() {
    let kafka = Kafka::private().await.unwrap();
    let mut gateways = Gateways::on(&kafka).await;
    for _ in 0..3 {
        let fanout = live::quick().with_stored_messages(StoredMessages::FromWorkers);
        let fanout = live::connect(&gateways.stage.config, fanout).await;
        gateways.add(fanout).await;
    }
    let worker = gateways.stage.worker();
    everybody_gets_everything(&kafka, &gateways).await;
    worker.shutdown(PATIENCE).await.unwrap();
}

/// As larger clusters do it: a gateway hears of the rooms that its sessions are in, and of no others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_session_gets_every_message_once_through_redis() {
    let (kafka, redis) = (Kafka::private().await.unwrap(), Redis::shared().await.unwrap());
    let mut gateways = Gateways::on(&kafka).await;
    let config = RedisConfig::from_url(redis.url()).unwrap().with_prefix(redis.prefix());
    let mut backends = Vec::new();
    for _ in 0..3 {
        let backend = RedisBackend::connect(config.clone()).await.unwrap();
        gateways.add(backend.fanout()).await;
        backends.push(backend);
    }
    let teller = RedisBackend::connect(config).await.unwrap();
    let Stage { config, log, .. } = &gateways.stage;
    let worker = Worker::start(config, quick(config), Arc::clone(log), Some(teller.fanout())).unwrap();
    everybody_gets_everything(&kafka, &gateways).await;
    worker.shutdown(PATIENCE).await.unwrap();
}

/// `<room key> <user>`
fn decode(record: &MembershipRecord<'_>) -> std::result::Result<Option<MembershipEvent>, BoxError> {
    let text = std::str::from_utf8(record.value.ok_or("no value")?)?;
    let (key, member) = text.split_once(' ').ok_or("no user")?;
    let change = MemberChange::add(UserId::new(member)?, Role::Member).with_version(1);
    Ok(Some(MembershipEvent::new(NewRoom::for_key(RoomKey::new(key)?), change)))
}

/// A chat tells its sessions, and writes it into the room.
#[tokio::test]
async fn a_member_by_an_event_is_seen_by_who_is_there() {
    let kafka = Kafka::shared().await.unwrap();
    let mut gateways = Gateways::on(kafka).await;
    let fanout = live::quick().with_stored_messages(StoredMessages::FromWorkers);
    let fanout = live::connect(&gateways.stage.config, fanout).await;
    gateways.add(fanout).await;
    let worker = gateways.stage.worker();
    let chat = gateways.nodes[0].0.clone();
    let prefix = kafka.prefix();
    let membership =
        MembershipConfig::new().with_topic(format!("{prefix}members")).with_group(format!("{prefix}group"));
    let topics = [TopicSpec::new(membership.topic(), 1), membership.dead_letters_spec(1)];
    ensure_topics(&gateways.stage.config, &topics).await.unwrap();
    let consumer =
        MembershipConsumer::start(&gateways.stage.config, membership.clone(), chat.clone(), decode);
    let consumer = consumer.await.unwrap();
    let events = producer(kafka.url());
    produce(&events, membership.topic(), "ann", "study/1 ann").await;
    let rooms = &gateways.stage.rooms;
    let key = RoomKey::new("study/1").unwrap();
    until("the room is there", async || rooms.room_by_key(&key).await.unwrap().is_some()).await;
    let study = rooms.room_by_key(&key).await.unwrap().unwrap().id;
    let (session, mut seen) = chat.connect_as(Principal::new(user("ann"))).await.unwrap();
    until("she is a member", async || session.join(JoinRequest::new(study.clone())).await.is_ok()).await;
    produce(&events, membership.topic(), "bob", "study/1 bob").await;
    let told = async {
        loop {
            if let Event::Entry(entry) = seen.next().await.unwrap()
                && entry.value().content == (Content::Join { user: user("bob") })
            {
                break;
            }
        }
    };
    timeout(PATIENCE, told).await.unwrap();
    let page = gateways.stage.log.read(&study, ReadQuery::newest()).await.unwrap();
    assert_eq!(page.entries.len(), 2, "{page:?}");
    consumer.shutdown(PATIENCE).await.unwrap();
    worker.shutdown(PATIENCE).await.unwrap();
}
