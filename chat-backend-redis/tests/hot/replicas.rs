use std::time::Duration;

use chat_backend_redis::HotLogConfig;
use chat_core::{
    Error,
    tiered::{HotAppended, HotBatch, HotOutcome},
};
use chat_test_services::Redis;

use super::place::{Base, Place, draft, seq};
use crate::live::{config, until};

#[tokio::test]
async fn an_append_waits_for_replicas() {
    let server = Redis::neighbour().await.unwrap();
    let password = server.url().split(['@', ':']).nth(2).unwrap().to_owned();
    let replica = Redis::neighbour_with(&[
        &format!("replicaof {}", server.address().unwrap().replace(':', " ")),
        &format!("masterauth {password}"),
        "repl-diskless-sync-delay 0",
    ])
    .await
    .unwrap();
    until("the replica follows", async || {
        server.ask("INFO replication").await.unwrap().contains("state=online")
    })
    .await;
    let log = HotLogConfig::new().with_replicas(1, Duration::from_millis(500));
    let place = Place::closed(&config(server.url()), log).await;
    place.begin(Base::at(0)).await;
    let gate = place.gate().await;
    for name in ["a", "b"] {
        let answer = place.append(Some(gate.clone()), vec![draft(name)]).await;
        assert!(matches!(answer, HotAppended::Done(..)), "{answer:?}");
        let there = replica.ask("KEYS *:s:tea").await.unwrap();
        assert_eq!(there.lines().count(), 1, "{there}");
    }
    replica.kill().await.unwrap();
    until("it is gone", async || {
        server.ask("INFO replication").await.unwrap().contains("connected_slaves:0")
    })
    .await;
    let batch = HotBatch { room: place.room.clone(), gate: Some(gate.clone()), drafts: vec![draft("c")] };
    let error = place.log.append(std::slice::from_ref(&batch)).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    replica.start().await.unwrap();
    until("it is back", async || server.ask("INFO replication").await.unwrap().contains("state=online"))
        .await;
    match place.log.append(&[batch]).await.unwrap().remove(0) {
        HotAppended::Done(_, outcomes) => {
            assert!(matches!(outcomes[0], HotOutcome::Known { seq: at, .. } if at == seq(3)), "{outcomes:?}");
        }
        other => panic!("{other:?}"),
    }
}
