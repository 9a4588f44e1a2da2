//! A chat on two nodes whose live events go over Redis, and every tenth of them is lost on the way without a word: nobody misses
//! anything, gets anything twice or in another order.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod live;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chat_core::{
    Backend, Chat, ClientMessageId, Content, Event, Fanout, MemberChange, NewRoom, Result, Role, RoomId,
    Session, SessionEvents, Settings,
    auth::Credentials,
    fanout::{FanoutItem, Publication, Subscription, Topic},
    memory::MemoryStore,
    rate_limit::RateLimits,
    session::{JoinOutcome, JoinRequest},
    testkit::TokenIsUser,
};
use chat_test_services::Redis;
use futures::{
    StreamExt as _,
    future::{join_all, ready},
};
use live::{connect, fresh, room, until, user};
use tokio::time::{Instant, sleep};

const SEED: u64 = 0x6c6f_7373_7901;
/// Of what comes in, one of so many is lost.
const LOSS: u64 = 10;
const SESSIONS: usize = 1_000;
const ROOMS: usize = 40;
/// Rooms that each session joins.
const JOINED: usize = 2;
/// Messages in each room.
const MESSAGES: usize = 20;
const HEAD_CHECK: Duration = Duration::from_secs(2);
/// For the machine to hand out what a look at the heads has found.
const PATIENCE: Duration = Duration::from_secs(2);

/// Loses what comes in from a fan-out, by a seed, and does not say so.
#[derive(Debug)]
struct Lossy {
    fanout: Arc<dyn Fanout>,
    dice: Arc<Mutex<fastrand::Rng>>,
    passed: Arc<AtomicUsize>,
    lost: Arc<AtomicUsize>,
}

#[async_trait]
impl Backend for Lossy {
    fn name(&self) -> &'static str {
        self.fanout.name()
    }

    async fn health(&self) -> Result<()> {
        self.fanout.health().await
    }
}

#[async_trait]
impl Fanout for Lossy {
    async fn publish(&self, events: &[Publication]) -> Result<()> {
        self.fanout.publish(events).await
    }

    async fn subscribe(&self, topic: &Topic) -> Result<Subscription> {
        let (dice, passed, lost) = (self.dice.clone(), self.passed.clone(), self.lost.clone());
        let items = self.fanout.subscribe(topic).await?;
        Ok(Subscription::new(items.filter(move |item| {
            let is_lost = matches!(item, Ok(FanoutItem::Event(_))) && dice.lock().unwrap().u64(..LOSS) == 0;
            if is_lost { &lost } else { &passed }.fetch_add(1, Ordering::Relaxed);
            ready(!is_lost)
        })))
    }
}

/// What one session was given: the positions by room, in the order of their coming.
type Given = Arc<Mutex<BTreeMap<RoomId, Vec<u64>>>>;

async fn listen(mut events: SessionEvents, given: Given, count: Arc<AtomicUsize>) {
    while let Some(event) = events.next().await {
        match event {
            Event::Entry(entry) => {
                let entry = entry.value();
                given.lock().unwrap().entry(entry.room.clone()).or_default().push(entry.seq().get());
                count.fetch_add(1, Ordering::Relaxed);
            }
            Event::Joined(joined) => assert!(matches!(joined.outcome, JoinOutcome::New { .. }), "{joined:?}"),
            // What was missed follows from the log.
            Event::Resync { page: None, .. } | Event::Notice(_) | Event::NoticesLost | Event::Heads(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn rooms_of(session: usize) -> [RoomId; JOINED] {
    [session % ROOMS, (session + 1 + session / ROOMS % (ROOMS - 1)) % ROOMS]
        .map(|n| room(&format!("room-{n}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_fan_out_loses_reaches_all_of_1000_sessions_once_and_in_order() {
    let (config, store) = (fresh(Redis::shared().await.unwrap()), MemoryStore::new());
    let (passed, lost) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut settings = Settings::default();
    settings.head_check_interval = HEAD_CHECK;
    settings.announce_members = false;
    let mut nodes: Vec<Chat> = Vec::new();
    for seed in [SEED, SEED + 1] {
        let backend = connect(&config).await;
        let fanout = Lossy {
            fanout: backend.fanout(),
            dice: Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))),
            passed: passed.clone(),
            lost: lost.clone(),
        };
        let chat = Chat::builder()
            .storage(&store)
            .fanout(fanout)
            .presence(backend.presence())
            .limiter(backend.rate_limiter(RateLimits::unlimited()))
            .auth(TokenIsUser)
            .settings(settings.clone());
        nodes.push(chat.build().unwrap());
    }

    let system = nodes[0].system(user("system"));
    for n in 0..ROOMS {
        system.create_room(NewRoom::new(room(&format!("room-{n}")))).await.unwrap();
    }
    let count = Arc::new(AtomicUsize::new(0));
    let mut sessions: Vec<(Session, Given)> = Vec::new();
    for n in 0..SESSIONS {
        let name = format!("user-{n}");
        let (session, events) =
            nodes[(n + n / ROOMS) % 2].connect(&Credentials::token(name.as_str())).await.unwrap();
        let given = Given::default();
        tokio::spawn(listen(events, given.clone(), count.clone()));
        for room in rooms_of(n) {
            system.change_member(&room, MemberChange::add(user(&name), Role::Member)).await.unwrap();
            session.join(JoinRequest::new(room)).await.unwrap();
        }
        sessions.push((session, given));
    }

    // The messages of a room come from both nodes in turn.
    let begun = Instant::now();
    for round in 0..MESSAGES {
        let said =
            (0..ROOMS).map(|n| {
                let session = &sessions[n + ROOMS * round].0;
                let text = Content::text(&format!("number {round}"));
                let room = room(&format!("room-{n}"));
                async move {
                    session.actor().unwrap().send(&room, ClientMessageId::generate(), text).await.unwrap()
                }
            });
        join_all(said).await;
    }
    let sent = Instant::now();
    let wanted = SESSIONS * JOINED * MESSAGES;
    until("everybody has everything", async || count.load(Ordering::Relaxed) >= wanted).await;
    let took = sent.elapsed();
    // Nothing comes twice later.
    sleep(HEAD_CHECK + Duration::from_millis(200)).await;
    let whole: Vec<u64> = (1..=MESSAGES as u64).collect();
    for (n, (session, given)) in sessions.iter().enumerate() {
        let expected: BTreeMap<RoomId, Vec<u64>> = rooms_of(n).map(|room| (room, whole.clone())).into();
        assert_eq!(*given.lock().unwrap(), expected, "{}, seed {SEED:#x}", session.user());
    }
    let (passed, lost) = (passed.load(Ordering::Relaxed), lost.load(Ordering::Relaxed));
    println!(
        "{lost} of {} events were lost; {wanted} deliveries were whole {took:.1?} after the last of {} sends in {:.1?}",
        passed + lost,
        ROOMS * MESSAGES,
        sent - begun
    );
    assert!(lost * 20 > passed, "{lost} lost, {passed} passed");
    assert!(took <= HEAD_CHECK + PATIENCE, "{took:?}, seed {SEED:#x}");
}
