//! Presence answers as the model does, and stands what servers and many callers at once do.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod live;

use std::{sync::Arc, time::Duration};

use chat_core::{
    ConnectionId, NodeId, Presence,
    memory::MemoryPresence,
    presence::{Incarnation, LeaseStatus, NodeLease, PresenceChange, PresenceConnection, UserPresence},
};
use chat_test_services::Redis;
use futures::future::join_all;
use live::{Place, Servers, config, connect, fresh, until, user};
use tokio::time::sleep;

const LONG: Duration = Duration::from_secs(3_600);

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
    for (seed, place) in (0..6).zip([Place::Single, Place::Cluster].into_iter().cycle()) {
        let mut dice = fastrand::Rng::with_seed(seed);
        let (model, servers) = (MemoryPresence::new(), Servers::at(place));
        let store = servers.backends(1).await[0].presence();
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

#[tokio::test]
async fn after_a_crash_of_the_server_nodes_start_anew_and_register_again() {
    let server = Redis::private().await.unwrap();
    let presence = connect(&config(server.url())).await.presence();
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

/// A promoted replica may lack the last connections, and nothing else would say so. Its history has another name.
#[tokio::test]
async fn after_a_promotion_nodes_register_everything_again() {
    let (old, new) = (Redis::neighbour().await.unwrap(), Redis::neighbour().await.unwrap());
    let password = fred::types::config::Config::from_url(old.url()).unwrap().password.unwrap();
    new.ask(&format!("CONFIG SET masterauth {password}")).await.unwrap();
    new.ask(&format!("REPLICAOF {}", old.address().unwrap().replace(':', " "))).await.unwrap();
    until("the replica follows", async || {
        new.ask("INFO replication").await.unwrap().contains("master_link_status:up")
    })
    .await;
    let before = connect(&config(old.url())).await.presence();
    let n1 = lease("n1", 1);
    let (ann, bob) = (connection("ann", "c1", 1, &n1), connection("bob", "c2", 1, &n1));
    before.renew(&n1, LONG).await.unwrap();
    before.connected(&ann).await.unwrap();
    assert_eq!(before.renew(&n1, LONG).await.unwrap(), LeaseStatus::Renewed);
    until("the replica has ann", async || {
        new.ask("EXISTS {chat:presence}:users").await.is_ok_and(|answer| answer == "1")
    })
    .await;
    new.ask("REPLICAOF NO ONE").await.unwrap();
    before.connected(&bob).await.unwrap();
    let after = connect(&config(new.url())).await.presence();
    assert!(after.presence(&[user("ann")]).await.unwrap()[0].online, "what arrived holds until then");
    assert_eq!(after.renew(&n1, LONG).await.unwrap(), LeaseStatus::Started);
    for device in [&ann, &bob] {
        after.connected(device).await.unwrap();
    }
    assert_eq!(after.renew(&n1, LONG).await.unwrap(), LeaseStatus::Renewed);
    let now = after.presence(&[user("ann"), user("bob")]).await.unwrap();
    assert!(now.iter().all(|presence| presence.connections == 1), "{now:?}");
    assert_eq!(swept(&*after).await, [], "nobody was told that anybody went");
}

async fn crowd(presence: &Arc<dyn Presence>, lease: &NodeLease, count: usize) {
    let connections: Vec<_> =
        (0..count).map(|number| connection(&format!("u{number}"), &format!("c{number}"), 1, lease)).collect();
    for part in connections.chunks(500) {
        for done in join_all(part.iter().map(|connection| presence.connected(connection))).await {
            assert_eq!(done.unwrap(), PresenceChange::CameOnline);
        }
    }
}

#[tokio::test]
async fn a_node_with_thousands_of_users_ends_and_each_of_them_is_swept_once() {
    let config = fresh(Redis::shared().await.unwrap());
    let (here, there) = (connect(&config).await.presence(), connect(&config).await.presence());
    let n1 = lease("n1", 1);
    here.renew(&n1, LONG).await.unwrap();
    crowd(&here, &n1, 4_000).await;
    here.release(&n1).await.unwrap();
    let (ours, theirs) = tokio::join!(here.sweep(Duration::ZERO), there.sweep(Duration::ZERO));
    let mut gone = [ours.unwrap(), theirs.unwrap(), here.sweep(Duration::ZERO).await.unwrap()].concat();
    assert!(gone.iter().all(|presence| !presence.online && presence.last_seen.is_some()));
    gone.sort_unstable_by(|a, b| a.user.cmp(&b.user));
    let count = gone.len();
    gone.dedup_by(|a, b| a.user == b.user);
    assert_eq!((count, gone.len()), (4_000, 4_000));
    assert_eq!(swept(&*here).await, []);
}

#[tokio::test]
async fn thousands_of_users_are_told_in_their_order_with_all_their_connections() {
    let presence = connect(&fresh(Redis::shared().await.unwrap())).await.presence();
    let n1 = lease("n1", 1);
    presence.renew(&n1, LONG).await.unwrap();
    crowd(&presence, &n1, 1_000).await;
    presence.connected(&connection("u7", "another", 1, &n1)).await.unwrap();
    let asked: Vec<_> = (0..2_500).rev().map(|number| user(&format!("u{number}"))).collect();
    let told = presence.presence(&asked).await.unwrap();
    assert_eq!(told.len(), asked.len());
    for (user, told) in asked.iter().zip(&told) {
        let connections = match user.as_str()[1..].parse().unwrap() {
            7 => 2,
            0..1_000 => 1,
            _ => 0,
        };
        assert_eq!((&told.user, told.connections), (user, connections));
    }
}

/// A guest account, say: its cost may not grow with its connections.
#[tokio::test]
async fn one_user_may_have_thousands_of_connections() {
    let server = Redis::private().await.unwrap();
    let presence = connect(&config(server.url())).await.presence();
    let n1 = lease("n1", 1);
    presence.renew(&n1, LONG).await.unwrap();
    let connections: Vec<_> =
        (0..5_000).map(|number| connection("guest", &format!("c{number}"), 1, &n1)).collect();
    for part in connections.chunks(500) {
        for done in join_all(part.iter().map(|connection| presence.connected(connection))).await {
            done.unwrap();
        }
    }
    let told = presence.presence(&[user("guest")]).await.unwrap();
    assert_eq!(told[0].connections, 5_000);
    // Of one and of thousands there is the same to read.
    let length = server.ask("HSTRLEN {chat:presence}:users guest").await.unwrap();
    assert!(length.parse::<u32>().unwrap() < 100, "{length}");
    for connection in &connections[..10] {
        presence.disconnected(connection).await.unwrap();
    }
    assert_eq!(presence.presence(&[user("guest")]).await.unwrap()[0].connections, 4_990);
}

/// Keys by name, and how many entries each of them has.
async fn sizes(server: &Redis) -> Vec<(&'static str, String)> {
    let mut sizes = Vec::new();
    for (command, names) in [
        ("HLEN", ["nodes", "connections", "users"].as_slice()),
        ("ZCARD", ["lives", "held", "leaving", "seen", "ended", "forgettable"].as_slice()),
    ] {
        for name in names {
            sizes.push((*name, server.ask(&format!("{command} {{chat:presence}}:{name}")).await.unwrap()));
        }
    }
    sizes.retain(|(_, size)| size != "0");
    sizes
}

#[tokio::test]
async fn what_ended_long_ago_leaves_nothing_but_when_users_were_last_seen_and_that_not_for_ever() {
    let server = Redis::private().await.unwrap();
    let kept = Duration::from_secs(3);
    let presence = connect(&config(server.url()).with_last_seen_kept(kept)).await.presence();
    let n1 = lease("n1", 1);
    presence.renew(&n1, LONG).await.unwrap();
    for number in 0..3 {
        let gone = connection(&format!("u{number}"), &format!("c{number}"), 1, &n1);
        presence.connected(&gone).await.unwrap();
        if number > 0 {
            presence.disconnected(&gone).await.unwrap();
        }
    }
    presence.release(&n1).await.unwrap();
    // Ends are remembered for as long as the longest lease: an hour, were it not for this.
    server.ask("HSET {chat:presence}:state memory 1").await.unwrap();
    for number in 1..3 {
        server.ask(&format!("ZADD {{chat:presence}}:ended 1 c{number}")).await.unwrap();
    }
    server.ask("ZADD {chat:presence}:forgettable 1 n1").await.unwrap();
    assert_eq!(swept(&*presence).await.len(), 3);
    let left = sizes(&server).await;
    assert_eq!(left, [("seen", "3".to_owned())]);
    assert!(presence.presence(&[user("u1")]).await.unwrap()[0].last_seen.is_some());
    sleep(kept + Duration::from_millis(500)).await;
    swept(&*presence).await;
    assert_eq!(sizes(&server).await, []);
    assert_eq!(presence.presence(&[user("u1")]).await.unwrap(), [UserPresence::never(user("u1"))]);
}

/// As a heartbeat does: whatever the node holds.
#[tokio::test]
async fn a_heartbeat_is_one_command() {
    let server = Redis::private().await.unwrap();
    let presence = connect(&config(server.url())).await.presence();
    let n1 = lease("n1", 1);
    presence.renew(&n1, LONG).await.unwrap();
    crowd(&presence, &n1, 1_000).await;
    let evaluated = async || {
        let stats = server.ask("INFO commandstats").await.unwrap();
        let line = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap();
        line.split(['=', ',']).nth(1).unwrap().parse::<u32>().unwrap()
    };
    let before = evaluated().await;
    for _ in 0..10 {
        presence.renew(&n1, LONG).await.unwrap();
    }
    assert_eq!(evaluated().await - before, 10);
}

/// For services that look into a key per user.
#[tokio::test]
async fn each_connection_is_listed_in_its_users_key_until_it_goes_or_runs_out() {
    let server = Redis::shared().await.unwrap();
    let config = fresh(server);
    let prefix = format!("{}:user:", server.prefix());
    let key = format!("{prefix}ann");
    let listed = async |what: &str| server.ask(&format!("{what} {key}")).await.unwrap();
    let is_there = async |id: &str| server.ask(&format!("HEXISTS {key} {id}")).await.unwrap() == "1";
    let [here, there] = [connect(&config).await, connect(&config).await];
    let [here, there] = [here.listed_presence(&*prefix), there.listed_presence(&*prefix)];
    let (n1, n2, short) = (lease("n1", 1), lease("n2", 1), Duration::from_secs(1));
    here.renew(&n1, LONG).await.unwrap();
    there.renew(&n2, short).await.unwrap();
    let (phone, desk) = (connection("ann", "phone", 1, &n1), connection("ann", "desk", 1, &n2));
    here.connected(&phone).await.unwrap();
    there.connected(&desk).await.unwrap();
    assert_eq!(listed("HLEN").await, "2");
    let entry = server.ask(&format!("HGET {key} phone")).await.unwrap();
    let entry: serde_json::Value = serde_json::from_str(&entry).unwrap();
    assert_eq!(entry["server"], "n1");
    assert_eq!(
        entry["expiresAt"].as_u64().unwrap().abs_diff(entry["connectedAt"].as_u64().unwrap()) / 60_000,
        60
    );
    assert!(listed("PTTL").await.parse::<u64>().unwrap() > 3_500_000);
    // The other node died: its entry goes with the next renewal of one that is alive.
    sleep(short + Duration::from_millis(100)).await;
    here.renew(&n1, short).await.unwrap();
    assert!(is_there("phone").await && !is_there("desk").await);
    // Renewed, ended, and not back with what comes too late.
    sleep(short / 2).await;
    here.renew(&n1, short).await.unwrap();
    sleep(short * 3 / 4).await;
    assert!(is_there("phone").await);
    here.disconnected(&phone).await.unwrap();
    assert_eq!(listed("EXISTS").await, "0");
    assert_eq!(here.connected(&phone).await.unwrap(), PresenceChange::Stale);
    here.renew(&n1, short).await.unwrap();
    assert_eq!(listed("EXISTS").await, "0");
    // A crash of all needs nobody's word.
    here.connected(&connection("ann", "tablet", 1, &n1)).await.unwrap();
    assert_eq!(listed("EXISTS").await, "1");
    until("the entries run out", async || listed("EXISTS").await == "0").await;
    // A release takes everything with it.
    here.renew(&n1, LONG).await.unwrap();
    here.connected(&connection("ann", "watch", 1, &n1)).await.unwrap();
    here.release(&n1).await.unwrap();
    assert_eq!(listed("EXISTS").await, "0");
}

/// Such as one whose end did not come through.
#[tokio::test]
async fn what_is_not_registered_anew_after_a_lease_began_anew_is_not_listed_any_more() {
    let server = Redis::shared().await.unwrap();
    let config = fresh(server);
    let prefix = format!("{}:user:", server.prefix());
    let entry = async |name: &str, id: &str| server.ask(&format!("HGET {prefix}{name} {id}")).await.unwrap();
    let told = |entry: &str, field: &str| {
        serde_json::from_str::<serde_json::Value>(entry).unwrap()[field].as_u64().unwrap()
    };
    let node = connect(&config).await.listed_presence(&*prefix);
    let [first, second] = [lease("n1", 1), lease("n1", 2)];
    let phone = |lease| connection("ann", "phone", 1, lease);
    assert_eq!(node.renew(&first, LONG).await.unwrap(), LeaseStatus::Started);
    node.connected(&phone(&first)).await.unwrap();
    node.connected(&connection("bob", "ghost", 1, &first)).await.unwrap();
    let [ann, bob] = [entry("ann", "phone").await, entry("bob", "ghost").await];
    sleep(Duration::from_millis(20)).await;
    // Writes nothing by itself: this takes no longer however many there are.
    assert_eq!(node.renew(&second, LONG).await.unwrap(), LeaseStatus::Started);
    assert_eq!([entry("ann", "phone").await, entry("bob", "ghost").await], [&*ann, &*bob]);
    node.connected(&phone(&second)).await.unwrap();
    assert_eq!(node.renew(&second, LONG).await.unwrap(), LeaseStatus::Renewed);
    let again = entry("ann", "phone").await;
    assert!(told(&again, "expiresAt") > told(&ann, "expiresAt"), "{again}");
    assert_eq!(told(&again, "connectedAt"), told(&ann, "connectedAt"));
    assert_eq!(entry("bob", "ghost").await, bob);
    // What goes before it is registered anew is taken out at once.
    node.renew(&lease("n1", 3), LONG).await.unwrap();
    node.disconnected(&phone(&second)).await.unwrap();
    assert_eq!(server.ask(&format!("EXISTS {prefix}ann")).await.unwrap(), "0");
}
