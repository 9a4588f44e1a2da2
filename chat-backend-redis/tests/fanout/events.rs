//! Which events arrive, where, and what is shared and given back.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use chat_backend_redis::{RedisBackend, RedisConfig};
use chat_core::{
    Backend as _, Fanout,
    fanout::{FanoutEvent, Publication},
};
use chat_test_services::Redis;
use fred::{
    interfaces::{EventInterface as _, PubsubInterface as _},
    types::config::Config,
};
use futures::{StreamExt as _, future::join_all};
use tokio::time::timeout;

use crate::{
    by_hand,
    live::{PATIENCE, config, connect, fresh, is_live, missed, next, publish, signal, topic, until},
    shared,
};

#[tokio::test]
async fn others_hear_what_is_published_on_a_channel_of_the_applications_own() {
    let server = Redis::private().await.unwrap();
    let node = connect(&config(server.url())).await;
    let listener = by_hand(server.url()).await;
    let mut heard = listener.message_rx();
    listener.subscribe("other:news").await.unwrap();
    node.publish("other:news", Bytes::from_static(b"{}")).await.unwrap();
    let message = timeout(PATIENCE, heard.recv()).await.unwrap().unwrap();
    assert_eq!((&*message.channel, message.value.as_bytes()), ("other:news", Some(&b"{}"[..])));
    server.kill().await.unwrap();
    assert!(node.publish("other:news", Bytes::new()).await.is_err());
}

#[tokio::test]
async fn events_arrive_whole_up_to_a_bound_and_longer_ones_are_told_as_missed() {
    let (here, there) = {
        let config = fresh(shared().await);
        (connect(&config).await, connect(&config).await)
    };
    let (here, there) = (here.fanout(), there.fanout());
    let mut subscription = there.subscribe(&topic("tea")).await.unwrap();
    let long = signal(&"🍵\\n".repeat(100_000));
    let events = [long.clone(), signal("small"), signal(&"x".repeat(2_000_000)), signal("last")];
    here.publish(&events.map(|event| Publication::new(topic("tea"), event))).await.unwrap();
    assert!(next(&mut subscription).await.is_some_and(|event| *event == long));
    assert_eq!(next(&mut subscription).await.as_deref(), Some(&signal("small")));
    missed(&mut subscription).await;
    assert_eq!(next(&mut subscription).await.as_deref(), Some(&signal("last")));
}

/// The channel and the payload as another release would write them.
#[tokio::test]
async fn what_a_newer_release_publishes_is_passed_over_where_it_is_not_known() {
    let server = shared().await;
    let prefix = format!("{}newer", server.prefix());
    let backend = connect(&config(server.url()).with_prefix(&prefix)).await;
    let fanout = backend.fanout();
    let mut subscription = fanout.subscribe(&topic("tea")).await.unwrap();
    let known = serde_json::to_string(&signal("known")).unwrap();
    let publisher = by_hand(server.url()).await;
    for payload in [
        "1 7 1 0\n[{\"waved\":{\"with\":\"both hands\"}}]".to_owned(),
        format!("1 7 2 1 more words\n[{known}]"),
        "2 7 3 2\nnobody knows".to_owned(),
        "not ours at all".to_owned(),
    ] {
        publisher.spublish::<(), _, _>(format!("{prefix}:room:tea"), payload).await.unwrap();
    }
    assert_eq!(next(&mut subscription).await.as_deref(), Some(&signal("known")));
    missed(&mut subscription).await;
    is_live(&*fanout, "tea", &mut subscription).await;
}

#[tokio::test]
async fn prefixes_on_one_server_do_not_hear_each_other() {
    let server = shared().await;
    let (one, other) = (connect(&fresh(server)).await, connect(&fresh(server)).await);
    let mut subscription = other.fanout().subscribe(&topic("tea")).await.unwrap();
    publish(&*one.fanout(), "tea", signal("one")).await;
    publish(&*other.fanout(), "tea", signal("other")).await;
    assert_eq!(next(&mut subscription).await.as_deref(), Some(&signal("other")));
}

#[tokio::test]
async fn a_closed_backend_ends_its_subscriptions_with_an_error() {
    let server = Redis::private().await.unwrap();
    let backend = connect(&config(server.url())).await;
    let fanout = backend.fanout();
    let mut subscription = fanout.subscribe(&topic("tea")).await.unwrap();
    backend.close().await;
    let last = timeout(PATIENCE, subscription.next()).await.unwrap().unwrap();
    assert!(last.is_err());
    assert!(subscription.next().await.is_none());
    assert!(fanout.subscribe(&topic("tea")).await.is_err());
    assert!(fanout.publish(&[Publication::new(topic("tea"), signal("late"))]).await.is_err());
    assert!(backend.health().await.is_err());
    // Only the one that asks is left.
    until("all connections are gone", async || {
        server.ask("CLIENT LIST").await.unwrap().trim().lines().count() == 1
    })
    .await;
}

#[tokio::test]
async fn a_dropped_backend_leaves_no_connection_and_ends_its_subscriptions() {
    let server = Redis::private().await.unwrap();
    let backend = connect(&config(server.url())).await;
    let mut subscription = backend.fanout().subscribe(&topic("tea")).await.unwrap();
    publish(&*backend.fanout(), "tea", signal("one")).await;
    drop(backend);
    let last = loop {
        match timeout(PATIENCE, subscription.next()).await.unwrap().unwrap() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(!last.is_retryable(), "{last:?}");
    until("all connections are gone", async || {
        server.ask("CLIENT LIST").await.unwrap().trim().lines().count() == 1
    })
    .await;
}

/// A node that has seen thousands of rooms listens to those with sessions.
#[tokio::test]
async fn channels_that_nobody_wants_any_more_are_given_up() {
    let server = Redis::private().await.unwrap();
    let backend = connect(&config(server.url()).with_probe(Duration::from_millis(50))).await;
    let fanout = backend.fanout();
    let topics: Vec<_> = (0..2_000).map(|number| topic(&format!("r{number}"))).collect();
    let subscriptions = join_all(topics.iter().map(|topic| fanout.subscribe(topic))).await;
    let channels = async || {
        let channels = server.ask("PUBSUB SHARDCHANNELS").await.unwrap();
        channels.lines().filter(|channel| channel.contains(":room:")).count()
    };
    assert_eq!(channels().await, 2_000);
    let mut kept = subscriptions.into_iter().map(Result::unwrap).take(3).collect::<Vec<_>>();
    until("the others are given up", async || channels().await == 3).await;
    for (number, subscription) in kept.iter_mut().enumerate() {
        publish(&*fanout, &format!("r{number}"), signal("still")).await;
        assert_eq!(next(subscription).await.as_deref(), Some(&signal("still")));
    }
    let mut again = fanout.subscribe(&topic("r1999")).await.unwrap();
    publish(&*fanout, "r1999", signal("again")).await;
    assert_eq!(next(&mut again).await.as_deref(), Some(&signal("again")));
}

/// A burst of calls becomes few payloads, and loses and repeats nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_once_share_payloads() {
    const COUNT: usize = 3_000;
    let server = shared().await;
    let prefix = format!("{}burst", server.prefix());
    let backend = connect(&config(server.url()).with_prefix(&prefix).with_fanout_buffer(COUNT)).await;
    let fanout = backend.fanout();
    let mut subscription = fanout.subscribe(&topic("tea")).await.unwrap();
    let bare = by_hand(server.url()).await;
    let mut payloads = bare.message_rx();
    bare.ssubscribe(format!("{prefix}:room:tea")).await.unwrap();
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
    let mut count = 0;
    while !payloads.recv().await.unwrap().value.as_string().unwrap().contains("last") {
        count += 1;
    }
    assert!((1..COUNT / 2).contains(&count), "{count}");
}

#[tokio::test]
async fn no_error_says_the_password() {
    let server = Redis::private().await.unwrap();
    let wrong = server.url().replace("redis://:", "redis://:not");
    let refused = RedisBackend::connect(config(&wrong)).await.unwrap_err();
    let text = format!("{refused:?} {refused}");
    let password = Config::from_url(server.url()).unwrap().password.unwrap();
    assert!(!text.contains(&password), "{text}");
    assert!(text.contains("Denied"), "{text}");
    let backend = RedisBackend::connect(RedisConfig::from_url(server.url()).unwrap()).await.unwrap();
    assert!(!format!("{backend:?}").contains(&password), "{backend:?}");
}
