use std::collections::BTreeSet;

use chat_backend_redis::HotLogConfig;
use chat_core::{
    View,
    tiered::{Archived, HotAppended, HotBatch, HotFrom, HotPage, HotState},
};
use chat_test_services::RedisCluster;

use super::place::{Base, Place, all, draft, names, seq, seqs};
use crate::live::{config, until};

const ROOMS: usize = 60;

#[tokio::test]
async fn rooms_are_spread_over_a_cluster_and_those_of_a_server_that_died_are_closed() {
    let cluster = RedisCluster::private().await.unwrap();
    let place =
        Place::closed(&config(&cluster.url().unwrap()), HotLogConfig::new().with_partitions(24)).await;
    let places: Vec<Place> = (0..ROOMS).map(|number| place.beside(&format!("r{number}"))).collect();
    let rooms: Vec<_> = places.iter().map(|place| place.room.clone()).collect();
    let mut batches = Vec::new();
    for place in &places {
        place.begin(Base::at(0)).await;
        let drafts = names(1..=3).map(|name| draft(&name)).collect();
        batches.push(HotBatch { room: place.room.clone(), gate: Some(place.gate().await), drafts });
    }
    for server in 0..3 {
        let keys = cluster.ask(server, "DBSIZE").await.unwrap();
        assert!(keys.parse::<u64>().unwrap() > 20, "server {server} has {keys} keys");
    }
    for answer in place.log.append(&batches).await.unwrap() {
        assert!(matches!(answer, HotAppended::Done(_, outcomes) if outcomes.len() == 3));
    }
    match places[7].log.page(&rooms[7], HotFrom::Newest, View::Log, 9).await.unwrap() {
        HotPage::Here(window) => assert_eq!(seqs(&window.entries), [1, 2, 3]),
        other => panic!("{other:?}"),
    }
    let hold = place.log.hold(&rooms[0]).await.unwrap();
    place.log.release(&rooms[0], &hold).await.unwrap();

    let taken = place.log.take("one", all()).await.unwrap();
    let of: BTreeSet<_> = taken.iter().map(|pending| pending.room.clone()).collect();
    assert_eq!(of, rooms.iter().cloned().collect());
    let done: Vec<_> = taken
        .into_iter()
        .map(|pending| Archived {
            room: pending.room,
            life: pending.life.unwrap(),
            upto: seq(3),
            ticket: pending.ticket,
        })
        .collect();
    place.log.archived(&done).await.unwrap();
    assert!(place.log.pending_rooms().await.unwrap().is_empty());

    cluster.servers()[1].kill().await.unwrap();
    cluster.servers()[1].start().await.unwrap();
    cluster.whole().await.unwrap();
    until("all is reached again", async || place.log.rooms(&rooms).await.is_ok()).await;
    let states = place.log.rooms(&rooms).await.unwrap();
    let open = states.iter().filter(|state| matches!(state, HotState::Open(_))).count();
    assert!((ROOMS / 3..ROOMS - 5).contains(&open), "{open} of {ROOMS} are open");
    for (place, state) in places.iter().zip(&states) {
        if *state == HotState::Absent {
            place.begin(Base::at(3)).await;
        }
    }
    assert!(place.log.rooms(&rooms).await.unwrap().iter().all(|state| matches!(state, HotState::Open(_))));
}

/// No step is done by half where keys have gone ahead to another server.
#[tokio::test]
async fn a_slot_on_its_way_takes_nothing_until_it_has_arrived() {
    let cluster = RedisCluster::private().await.unwrap();
    let place = Place::closed(&config(&cluster.url().unwrap()), HotLogConfig::new().with_partitions(1)).await;
    place.begin(Base::at(0)).await;
    place.fill(names(1..=2)).await;
    let gate = place.gate().await;
    let slot = cluster.ask(0, "CLUSTER KEYSLOT {chat:hot:0}:m").await.unwrap();
    let from = usize::from(slot.parse::<u16>().unwrap() / 5_462);
    let to = (from + 1) % 3;
    let ids =
        [cluster.ask(from, "CLUSTER MYID").await.unwrap(), cluster.ask(to, "CLUSTER MYID").await.unwrap()];
    cluster.ask(to, &format!("CLUSTER SETSLOT {slot} IMPORTING {}", ids[0])).await.unwrap();
    cluster.ask(from, &format!("CLUSTER SETSLOT {slot} MIGRATING {}", ids[1])).await.unwrap();
    let batch = HotBatch { room: place.room.clone(), gate: Some(gate), drafts: vec![draft("m3")] };
    let error = place.log.append(std::slice::from_ref(&batch)).await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    cluster.ask(from, &format!("CLUSTER SETSLOT {slot} STABLE")).await.unwrap();
    cluster.ask(to, &format!("CLUSTER SETSLOT {slot} STABLE")).await.unwrap();
    match place.log.append(&[batch]).await.unwrap().remove(0) {
        HotAppended::Done(_, outcomes) => assert_eq!(super::place::new(&outcomes[0]).0, seq(3)),
        other => panic!("{other:?}"),
    }
}
