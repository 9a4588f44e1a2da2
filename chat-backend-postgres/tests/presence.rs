//! Presence keeps the contract, answers as the model does, and stands what servers and many callers at once do.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod live;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chat_backend_postgres::PostgresBackend;
use chat_core::{
    ConnectionId, NodeId, Presence, UserId,
    memory::MemoryPresence,
    presence::{Incarnation, LeaseStatus, NodeLease, PresenceChange, PresenceConnection, UserPresence},
    testkit::PresenceHarness,
};
use chat_test_services::{Database, Postgres};
use live::{PATIENCE, connect, database, execute, until};
use tokio::{sync::Mutex, time::Instant};

const LONG: Duration = Duration::from_secs(3_600);

/// A database of its own for each case.
#[derive(Default)]
struct Server {
    kept: Mutex<Vec<(Arc<Database>, PostgresBackend)>>,
}

#[async_trait]
impl PresenceHarness for Server {
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn Presence>> {
        let database = database().await;
        let mut nodes = Vec::new();
        for _ in 0..count {
            let backend = connect(database.url()).await;
            nodes.push(backend.presence());
            self.kept.lock().await.push((Arc::clone(&database), backend));
        }
        nodes
    }

    fn unit(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

chat_core::presence_tests!(Server::default());
chat_core::presence_lease_tests!(Server::default());
chat_core::presence_race_tests!(Server::default());

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn lease(node: &str, incarnation: u64) -> NodeLease {
    NodeLease { node: NodeId::new(node).unwrap(), incarnation: Incarnation(incarnation) }
}

fn connection(name: &str, id: &str, incarnation: u64, lease: &NodeLease) -> PresenceConnection {
    PresenceConnection {
        user: user(name),
        connection: ConnectionId::new(id).unwrap(),
        incarnation: Incarnation(incarnation),
        lease: lease.clone(),
    }
}

/// All but the times, which two stores take at different moments.
fn timeless(presence: &UserPresence) -> (String, bool, u32, bool, bool) {
    let UserPresence { user, online, connections, since, last_seen } = presence;
    (user.to_string(), *online, *connections, since.is_some(), last_seen.is_some())
}

async fn swept(presence: &dyn Presence) -> Vec<(String, bool, u32, bool, bool)> {
    let mut gone: Vec<_> = presence.sweep(Duration::ZERO).await.unwrap().iter().map(timeless).collect();
    gone.sort_unstable();
    gone
}

/// Few of everything, so that all of it meets.
#[tokio::test]
async fn the_answers_are_those_of_the_model_whatever_comes() {
    for seed in 0..6 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let (model, database) = (MemoryPresence::new(), database().await);
        let backend = connect(database.url()).await;
        let store = backend.presence();
        let users: Vec<_> = (0..4).map(|number| user(&format!("u{number}"))).collect();
        for step in 0..400 {
            let lease = lease(&format!("n{}", dice.u8(..3)), dice.u64(1..4));
            let device = connection(
                users[dice.usize(..4)].as_str(),
                &format!("c{}", dice.u8(..6)),
                dice.u64(1..5),
                &lease,
            );
            let at = format!("seed {seed}, step {step}: {device:?}");
            match dice.u8(..10) {
                0 | 1 => {
                    let expected = model.renew(&lease, LONG).await.unwrap();
                    assert_eq!(store.renew(&lease, LONG).await.unwrap(), expected, "renew, {at}");
                }
                2 if dice.u8(..3) == 0 => {
                    model.release(&lease).await.unwrap();
                    store.release(&lease).await.unwrap();
                }
                2..6 => {
                    let expected = model.connected(&device).await.unwrap();
                    assert_eq!(store.connected(&device).await.unwrap(), expected, "connected, {at}");
                }
                6..9 => {
                    let expected = model.disconnected(&device).await.unwrap();
                    assert_eq!(store.disconnected(&device).await.unwrap(), expected, "disconnected, {at}");
                }
                _ => assert_eq!(swept(&*store).await, swept(&model).await, "sweep, {at}"),
            }
            let now = store.presence(&users).await.unwrap();
            let expected = model.presence(&users).await.unwrap();
            assert_eq!(
                now.iter().map(timeless).collect::<Vec<_>>(),
                expected.iter().map(timeless).collect::<Vec<_>>(),
                "{at}"
            );
        }
    }
}

/// Every call that there is, of many callers, on few rows: none waits in a circle, and in the end all of it is true.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_at_once_never_wait_for_each_other_in_a_circle() {
    let database = database().await;
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(connect(database.url()).await);
    }
    let begun = Instant::now();
    let callers: Vec<_> = (0..12)
        .map(|caller: u64| {
            let store = nodes[usize::try_from(caller % 3).unwrap()].presence();
            tokio::spawn(async move {
                let mut dice = fastrand::Rng::with_seed(caller);
                for _ in 0..150 {
                    let lease = lease(&format!("n{}", dice.u8(..3)), 1);
                    let (name, id) = (format!("u{}", dice.u8(..3)), format!("c{}", dice.u8(..4)));
                    // Connections that change their user, too: they lock two.
                    let device = connection(&name, &id, dice.u64(1..1_000), &lease);
                    match dice.u8(..8) {
                        0 | 1 => drop(store.renew(&lease, Duration::from_millis(20)).await.unwrap()),
                        2 => store.release(&lease).await.unwrap(),
                        3 | 4 => drop(store.connected(&device).await.unwrap()),
                        5 => drop(store.disconnected(&device).await.unwrap()),
                        6 => drop(store.sweep(Duration::ZERO).await.unwrap()),
                        _ => drop(store.presence(&[user("u0"), user("u1"), user("u2")]).await.unwrap()),
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    let store = nodes[0].presence();
    for node in ["n0", "n1", "n2"] {
        store.release(&lease(node, 1)).await.unwrap();
    }
    swept(&*store).await;
    for presence in store.presence(&[user("u0"), user("u1"), user("u2")]).await.unwrap() {
        assert!(!presence.online && presence.since.is_none(), "{presence:?}");
    }
    assert_eq!(swept(&*store).await, [], "nobody is announced any more");
}

#[tokio::test]
async fn after_a_crash_of_the_server_nodes_start_anew_and_register_again() {
    let server = Postgres::private().await.unwrap();
    let database = server.database().await.unwrap();
    let backend = connect(database.url()).await;
    let presence = backend.presence();
    let n1 = lease("n1", 1);
    let device = connection("ann", "c1", 1, &n1);
    assert_eq!(presence.renew(&n1, LONG).await.unwrap(), LeaseStatus::Started);
    assert_eq!(presence.connected(&device).await.unwrap(), PresenceChange::CameOnline);
    server.kill().await.unwrap();
    let error = presence.renew(&n1, LONG).await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    server.start().await.unwrap();
    let mut status = None;
    until("the lease starts anew", async || {
        status = presence.renew(&n1, LONG).await.ok();
        status.is_some()
    })
    .await;
    assert_eq!(status, Some(LeaseStatus::Started));
    assert_eq!(presence.presence(&[user("ann")]).await.unwrap(), [UserPresence::never(user("ann"))]);
    assert_eq!(presence.connected(&device).await.unwrap(), PresenceChange::CameOnline);
    assert!(presence.presence(&[user("ann")]).await.unwrap()[0].online);
}

/// Connects users by the thousand, in one statement.
async fn crowd(database: &Database, count: u32) {
    let statement = format!(
        "SELECT count(chat.presence_connected('u' || i, 'c' || i, 1, 'n1', {})) FROM generate_series(1, {count}) AS i",
        i64::MIN + 1
    );
    assert_eq!(execute(database.url(), statement).await, i64::from(count));
}

#[tokio::test]
async fn a_node_with_thousands_of_users_ends_and_each_of_them_is_swept_once() {
    let database = database().await;
    let (here, there) = (connect(database.url()).await, connect(database.url()).await);
    let n1 = lease("n1", 1);
    here.presence().renew(&n1, LONG).await.unwrap();
    crowd(&database, 12_000).await;
    here.presence().release(&n1).await.unwrap();
    let (ours, theirs) = (here.presence(), there.presence());
    let (ours, theirs) = tokio::join!(ours.sweep(Duration::ZERO), theirs.sweep(Duration::ZERO));
    let mut gone: Vec<_> =
        [ours.unwrap(), theirs.unwrap(), here.presence().sweep(Duration::ZERO).await.unwrap()].concat();
    assert!(gone.iter().all(|presence| !presence.online && presence.last_seen.is_some()));
    gone.sort_unstable_by(|a, b| a.user.cmp(&b.user));
    gone.dedup_by(|a, b| a.user == b.user);
    assert_eq!(gone.len(), 12_000);
    assert_eq!(swept(&*here.presence()).await, []);
}

#[tokio::test]
async fn hundreds_of_users_are_told_in_their_order_with_all_their_connections() {
    let database = database().await;
    let backend = connect(database.url()).await;
    let presence = backend.presence();
    let n1 = lease("n1", 1);
    presence.renew(&n1, LONG).await.unwrap();
    crowd(&database, 2_000).await;
    presence.connected(&connection("u7", "another", 1, &n1)).await.unwrap();
    let asked: Vec<_> = (0..500).rev().map(|number| user(&format!("u{number}"))).collect();
    let told = presence.presence(&asked).await.unwrap();
    for (user, told) in asked.iter().zip(&told) {
        let connections = match user.as_str() {
            "u0" => 0,
            "u7" => 2,
            _ => 1,
        };
        assert_eq!((&told.user, told.connections), (user, connections));
    }
    // The same one twice is answered twice.
    let twice = presence.presence(&[user("u7"), user("u7")]).await.unwrap();
    assert_eq!(twice[0], twice[1]);
}

#[tokio::test]
async fn what_ended_long_ago_leaves_only_when_users_were_last_seen() {
    let database = database().await;
    let backend = connect(database.url()).await;
    let presence = backend.presence();
    let (n1, n2) = (lease("n1", 1), lease("n2", 1));
    for lease in [&n1, &n2] {
        presence.renew(lease, LONG).await.unwrap();
    }
    let gone = connection("ann", "c1", 1, &n1);
    presence.connected(&gone).await.unwrap();
    presence.disconnected(&gone).await.unwrap();
    presence.connected(&connection("bob", "c2", 1, &n1)).await.unwrap();
    presence.connected(&connection("cy", "c3", 1, &n2)).await.unwrap();
    presence.release(&n1).await.unwrap();
    presence.sweep(Duration::ZERO).await.unwrap();
    let rows = async |table: &str| {
        execute(database.url(), format!("SELECT count(*) FROM chat.presence_{table}")).await
    };
    assert_eq!((rows("connections").await, rows("leases").await), (2, 2), "the ends are remembered");
    // Hours later.
    execute(database.url(), "UPDATE chat.presence_connections SET ended_until = 0 WHERE life IS NULL").await;
    execute(database.url(), "UPDATE chat.presence_leases SET ends = 0 WHERE node = 'n1'").await;
    presence.sweep(Duration::ZERO).await.unwrap();
    assert_eq!((rows("connections").await, rows("leases").await), (1, 1));
    let told = presence.presence(&[user("ann"), user("bob"), user("cy")]).await.unwrap();
    assert!(told[0].last_seen.is_some() && told[1].last_seen.is_some() && told[2].online, "{told:?}");
    assert_eq!(presence.connected(&gone).await.unwrap(), PresenceChange::Stale, "its lease is gone");
    presence.renew(&n1, LONG).await.unwrap();
    assert_eq!(presence.connected(&gone).await.unwrap(), PresenceChange::CameOnline, "its end was forgotten");
}
