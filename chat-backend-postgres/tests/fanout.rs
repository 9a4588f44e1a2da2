//! The fan-out keeps the contract, and finds its way back from what networks and servers do.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod live;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use chat_backend_postgres::{PostgresBackend, PostgresConfig};
use chat_core::{
    Authority, ClientMessageId, Content, CustomKind, Draft, Epoch, Error, Fanout, JsonText, MessageId,
    Position, RoomId, Seq, StoredMessage, Timestamp, UserId,
    fanout::{FanoutEvent, FanoutItem, Publication, Subscription, Topic},
    testkit::{FanoutHarness, FanoutInterruptionHarness, FanoutOverflowHarness},
};
use chat_test_services::{Database, Postgres, Proxy};
use futures::{FutureExt as _, StreamExt as _};
use live::{PATIENCE, config, connect, database, execute, until};
use sqlx::postgres::PgListener;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

/// Of the room "tea" in the schema "chat". Nodes of all releases that run side by side agree on it.
const CHANNEL_OF_TEA: &str = "chat_31e06f7d89feb99a_92";
const PROBE: Duration = Duration::from_millis(300);

/// A database of its own for each case, behind a proxy where the case breaks it.
#[derive(Default)]
struct Carrier {
    proxied: bool,
    kept: Mutex<Vec<(Arc<Database>, PostgresBackend)>>,
    proxy: Mutex<Option<Proxy>>,
}

impl Carrier {
    fn breakable() -> Self {
        Self { proxied: true, ..Self::default() }
    }
}

#[async_trait]
impl FanoutHarness for Carrier {
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn Fanout>> {
        let database = database().await;
        let mut url = database.url().to_owned();
        if self.proxied {
            let proxy = Proxy::start(Postgres::shared_without_fsync().await.unwrap().address().unwrap())
                .await
                .unwrap();
            url = database.url_through(&proxy.address().to_string()).unwrap();
            *self.proxy.lock().await = Some(proxy);
        }
        let mut nodes = Vec::new();
        for _ in 0..count {
            let backend = connect(&url).await;
            nodes.push(backend.fanout());
            self.kept.lock().await.push((Arc::clone(&database), backend));
        }
        nodes
    }
}

#[async_trait]
impl FanoutOverflowHarness for Carrier {
    fn overflow(&self) -> usize {
        2 * PostgresConfig::DEFAULT_FANOUT_BUFFER
    }
}

#[async_trait]
impl FanoutInterruptionHarness for Carrier {
    async fn cut(&self) {
        self.proxy.lock().await.as_ref().unwrap().cut().await;
    }

    async fn mend(&self) {
        self.proxy.lock().await.as_ref().unwrap().mend().await;
    }
}

chat_core::fanout_tests!(Carrier::default());
chat_core::fanout_overflow_tests!(Carrier::default());
chat_core::fanout_interruption_tests!(Carrier::breakable());

fn room(name: &str) -> RoomId {
    RoomId::new(name).unwrap()
}

fn topic(name: &str) -> Topic {
    Topic::Room(room(name))
}

fn signal(text: &str) -> FanoutEvent {
    FanoutEvent::Signal {
        room: room("tea"),
        user: UserId::new("ann").unwrap(),
        name: CustomKind::new("note").unwrap(),
        data: JsonText::new(&format!("\"{text}\"")).unwrap(),
    }
}

async fn publish(fanout: &dyn Fanout, to: &str, event: FanoutEvent) {
    fanout.publish(&[Publication::new(topic(to), event)]).await.unwrap();
}

async fn next(subscription: &mut Subscription) -> Option<Arc<FanoutEvent>> {
    match timeout(PATIENCE, subscription.next()).await.unwrap().unwrap().unwrap() {
        FanoutItem::Event(event) => Some(event),
        FanoutItem::Missed => None,
    }
}

/// Publishes until one arrives.
async fn is_live(fanout: &dyn Fanout, to: &str, subscription: &mut Subscription) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        publish(fanout, to, signal("live")).await;
        match next(subscription).await {
            Some(event) if *event == signal("live") => return,
            _ => assert!(Instant::now() < deadline, "no event within {PATIENCE:?}"),
        }
    }
}

async fn missed(subscription: &mut Subscription) {
    assert_eq!(next(subscription).await, None, "not told of a loss");
}

/// Ends the connections that listen to a database, and answers how many there were.
async fn end_listeners(database: &Database) -> i64 {
    execute(
        database.url(),
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE '% listener'",
    )
    .await
}

#[tokio::test]
async fn a_terminated_listener_comes_back_and_tells_every_topic() {
    let database = database().await;
    let (here, there) = (connect(database.url()).await, connect(database.url()).await);
    let (here, there) = (here.fanout(), there.fanout());
    let mut subscriptions = Vec::new();
    for number in 0..40 {
        subscriptions.push(there.subscribe(&topic(&format!("r{number}"))).await.unwrap());
    }
    for _ in 0..3 {
        assert_eq!(end_listeners(&database).await, 1, "one connection per node that subscribes");
        for (number, subscription) in subscriptions.iter_mut().enumerate() {
            missed(subscription).await;
            publish(&*here, &format!("r{number}"), signal("again")).await;
            assert_eq!(next(subscription).await.as_deref(), Some(&signal("again")));
        }
    }
}

#[tokio::test]
async fn a_half_open_connection_is_found_within_twice_the_probe() {
    let database = database().await;
    let proxy =
        Proxy::start(Postgres::shared_without_fsync().await.unwrap().address().unwrap()).await.unwrap();
    let through = database.url_through(&proxy.address().to_string()).unwrap().parse().unwrap();
    // Only the listener goes through the proxy.
    let config = config(database.url()).with_listen_at(through).with_listen_probe(PROBE);
    let backend = PostgresBackend::connect(config).await.unwrap();
    let fanout = backend.fanout();
    let mut subscription = fanout.subscribe(&topic("tea")).await.unwrap();
    is_live(&*fanout, "tea", &mut subscription).await;
    fanout.health().await.unwrap();
    proxy.half_open();
    let found = until("the connection is found to be dead", async || fanout.health().await.is_err()).await;
    assert!(found < PROBE * 2 + Duration::from_millis(700), "{found:?}");
    publish(&*fanout, "tea", signal("lost")).await;
    proxy.mend().await;
    missed(&mut subscription).await;
    is_live(&*fanout, "tea", &mut subscription).await;
    fanout.health().await.unwrap();
}

#[tokio::test]
async fn a_killed_server_is_found_again_and_subscriptions_live_on() {
    let server = Postgres::private().await.unwrap();
    let database = server.database().await.unwrap();
    let backend = connect(database.url()).await;
    let fanout = backend.fanout();
    let mut subscription = fanout.subscribe(&topic("tea")).await.unwrap();
    is_live(&*fanout, "tea", &mut subscription).await;
    server.kill().await.unwrap();
    let lost = fanout.publish(&[Publication::new(topic("tea"), signal("lost"))]).await.unwrap_err();
    assert!(lost.is_retryable(), "{lost:?}");
    // A call that nobody waits for any more leaves nothing behind, and one that is waited for says what is wrong.
    assert!(fanout.subscribe(&topic("other")).now_or_never().is_none());
    let refused = fanout.subscribe(&topic("another")).await.unwrap_err();
    assert!(refused.is_retryable(), "{refused:?}");
    server.start().await.unwrap();
    let back = Instant::now();
    missed(&mut subscription).await;
    is_live(&*fanout, "tea", &mut subscription).await;
    assert!(back.elapsed() < Duration::from_secs(5), "{:?} after the server", back.elapsed());
    drop(fanout.subscribe(&topic("other")).await.unwrap());
    assert!(format!("{fanout:?}").contains("topics: 1"), "{fanout:?}");
    drop(subscription);
    assert!(format!("{fanout:?}").contains("topics: 0"), "{fanout:?}");
}

#[tokio::test]
async fn a_large_signal_arrives_whole_and_a_large_message_as_a_hint() {
    let database = database().await;
    let (here, there) = (connect(database.url()).await, connect(database.url()).await);
    let (here, there) = (here.fanout(), there.fanout());
    let mut subscription = there.subscribe(&topic("tea")).await.unwrap();
    let large = signal(&"🍵\\n".repeat(20_000));
    let small = signal("small");
    let cursor = chat_core::Cursor::new(Epoch::new("e1").unwrap(), Seq::new(7).unwrap());
    let body = Content::text(&"🍵".repeat(2_000));
    let (user, client_id) = (UserId::new("ann").unwrap(), ClientMessageId::new("c1").unwrap());
    let draft = Draft::new(room("tea"), user, client_id, body).with_authority(Authority::Member);
    let position =
        Position { cursor: cursor.clone(), id: MessageId::from_u128(1), created_at: Timestamp::from_secs(1) };
    let message = FanoutEvent::Message(StoredMessage::new(draft, position));
    // Others publish on the same channel meanwhile.
    let other = tokio::spawn({
        let there = Arc::clone(&there);
        async move {
            for _ in 0..50 {
                publish(&*there, "tea", signal("other")).await;
            }
        }
    });
    let events = [large.clone(), message, small.clone(), large.clone()];
    here.publish(&events.map(|event| Publication::new(topic("tea"), event))).await.unwrap();
    other.await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let event = next(&mut subscription).await.expect("nothing gets lost");
        if *event != signal("other") {
            seen.push(event);
        }
    }
    let hint = FanoutEvent::Head { room: room("tea"), cursor };
    assert!([large.clone(), hint, small, large].iter().zip(&seen).all(|(sent, seen)| *sent == **seen));
}

/// The channel and the payload as another release would write them.
#[tokio::test]
async fn what_a_newer_release_publishes_is_passed_over_where_it_is_not_known() {
    let database = database().await;
    let backend = connect(database.url()).await;
    let fanout = backend.fanout();
    let mut subscription = fanout.subscribe(&topic("tea")).await.unwrap();
    let known = serde_json::to_string(&signal("known")).unwrap();
    let payloads = [
        r#"{"v":1,"by":7,"n":1}
[{"to":{"room":"tea"},"event":{"waved":{"with":"both hands"}}}]"#
            .to_owned(),
        format!(
            "{{\"v\":1,\"by\":7,\"n\":2,\"new\":true}}\n[{{\"to\":{{\"room\":\"tea\"}},\"event\":{known},\"new\":1}}]"
        ),
        "{\"v\":2,\"by\":7,\"n\":3}\nnobody knows".to_owned(),
        "not ours at all".to_owned(),
    ];
    for payload in payloads {
        execute(database.url(), format!("SELECT pg_notify('{CHANNEL_OF_TEA}', $${payload}$$)")).await;
    }
    assert_eq!(next(&mut subscription).await.as_deref(), Some(&signal("known")));
    missed(&mut subscription).await;
    is_live(&*fanout, "tea", &mut subscription).await;
}

#[tokio::test]
async fn schemas_of_one_database_do_not_hear_each_other() {
    let database = database().await;
    let one = connect(database.url()).await;
    let other = PostgresBackend::connect(config(database.url()).with_schema("other")).await.unwrap();
    let mut subscription = other.fanout().subscribe(&topic("tea")).await.unwrap();
    publish(&*one.fanout(), "tea", signal("one")).await;
    publish(&*other.fanout(), "tea", signal("other")).await;
    assert_eq!(next(&mut subscription).await.as_deref(), Some(&signal("other")));
}

#[tokio::test]
async fn a_closed_backend_ends_its_subscriptions_with_an_error() {
    let database = database().await;
    let backend = connect(database.url()).await;
    let fanout = backend.fanout();
    let mut subscription = fanout.subscribe(&topic("tea")).await.unwrap();
    backend.close().await;
    let last = timeout(PATIENCE, subscription.next()).await.unwrap().unwrap();
    assert!(last.is_err());
    assert!(subscription.next().await.is_none());
    assert!(fanout.subscribe(&topic("tea")).await.is_err());
    assert!(fanout.publish(&[Publication::new(topic("tea"), signal("late"))]).await.is_err());
    until("the connection that listened is gone", async || end_listeners(&database).await == 0).await;
}

#[tokio::test]
async fn behind_a_pooler_without_an_address_to_listen_at_only_publishing_works() {
    let database = database().await;
    let pooled = PostgresBackend::connect(config(database.url()).with_transaction_pooler()).await.unwrap();
    let direct = connect(database.url()).await;
    let mut subscription = direct.fanout().subscribe(&topic("tea")).await.unwrap();
    let refused = pooled.fanout().subscribe(&topic("tea")).await.unwrap_err();
    assert!(matches!(refused, Error::Unsupported { .. }), "{refused:?}");
    publish(&*pooled.fanout(), "tea", signal("still")).await;
    assert_eq!(next(&mut subscription).await.as_deref(), Some(&signal("still")));
}

/// A burst of calls becomes few notifications, and loses and repeats nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_once_share_notifications() {
    const COUNT: usize = 3_000;
    let database = database().await;
    let backend = PostgresBackend::connect(config(database.url()).with_fanout_buffer(COUNT)).await.unwrap();
    let fanout = backend.fanout();
    let mut subscription = fanout.subscribe(&topic("tea")).await.unwrap();
    let mut bare = PgListener::connect(database.url()).await.unwrap();
    bare.listen(CHANNEL_OF_TEA).await.unwrap();
    let calls: Vec<_> = (0..COUNT)
        .map(|number| {
            let fanout = Arc::clone(&fanout);
            tokio::spawn(async move { publish(&*fanout, "tea", signal(&number.to_string())).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    let mut seen = BTreeSet::new();
    while seen.len() < COUNT {
        match &*next(&mut subscription).await.expect("nothing gets lost") {
            FanoutEvent::Signal { data, .. } => assert!(seen.insert(data.as_str().to_owned()), "twice"),
            other => panic!("{other:?}"),
        }
    }
    publish(&*fanout, "tea", signal("last")).await;
    let mut notifications = 0;
    while !bare.recv().await.unwrap().payload().contains("last") {
        notifications += 1;
    }
    assert!((1..COUNT / 4).contains(&notifications), "{notifications}");
}

#[tokio::test]
async fn three_nodes_hear_each_other_and_themselves() {
    let carrier = Carrier::default();
    let nodes = carrier.nodes(3).await;
    let mut subscriptions = Vec::new();
    for node in &nodes {
        subscriptions.push(node.subscribe(&topic("tea")).await.unwrap());
    }
    for (number, node) in nodes.iter().enumerate() {
        publish(&**node, "tea", signal(&number.to_string())).await;
        for subscription in &mut subscriptions {
            assert_eq!(next(subscription).await.as_deref(), Some(&signal(&number.to_string())));
        }
    }
}
