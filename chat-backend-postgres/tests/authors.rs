//! What a node remembers of a room's authors holds only as long as nobody else changed the room.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod support;

use chat_backend_postgres::PostgresBackend;
use chat_core::{AppendOutcome, MemberChange, Refusal, Role};
use chat_test_services::{Database, Postgres};
use support::{append, connect, draft, make_rooms, room, user};

async fn two_nodes() -> (Database, PostgresBackend, PostgresBackend) {
    let database = Postgres::shared().await.unwrap().database().await.unwrap();
    let (one, other) = (connect(database.url()).await, connect(database.url()).await);
    make_rooms(&*one.rooms(), 1, &["ann", "bob"]).await;
    (database, one, other)
}

async fn unread(node: &PostgresBackend, name: &str) -> u64 {
    node.rooms().unread(&user(name), &[room(0)]).await.unwrap()[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_removed_by_another_node_is_refused_at_once() {
    let (_database, one, other) = two_nodes().await;
    for round in 0..3 {
        for n in 0..3 {
            append(&*one.message_log(), draft(room(0), "ann", &format!("{round}-{n}"))).await;
        }
        other.rooms().change_member(&room(0), MemberChange::remove(user("ann"))).await.unwrap();
        let outcomes = one.message_log().append(&[draft(room(0), "ann", "late")]).await.unwrap();
        assert_eq!(outcomes, [AppendOutcome::Refused(Refusal::NotAMember)]);
        other.rooms().change_member(&room(0), MemberChange::add(user("ann"), Role::Member)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ones_own_messages_are_never_unread_whichever_node_took_them() {
    let (_database, one, other) = two_nodes().await;
    let mut sent = [0, 0];
    for round in 0..20 {
        for (node, name, count) in
            [(&one, 0, 2), (&other, 0, 1 + round % 3), (&one, 1, round % 2), (&one, 0, 1)]
        {
            for _ in 0..count {
                sent[name] += 1;
                let id = format!("m-{}", sent[name]);
                append(&*node.message_log(), draft(room(0), ["ann", "bob"][name], &id)).await;
            }
        }
        assert_eq!((unread(&one, "ann").await, unread(&other, "bob").await), (sent[1], sent[0]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_authors_than_are_remembered_count_right() {
    const MANY: usize = 100;
    let (_database, one, _other) = two_nodes().await;
    let names: Vec<String> = (0..MANY).map(|n| format!("user-{n}")).collect();
    for name in &names {
        one.rooms().change_member(&room(0), MemberChange::add(user(name), Role::Member)).await.unwrap();
    }
    for round in 0..3 {
        let drafts: Vec<_> =
            names.iter().map(|name| draft(room(0), name, &format!("{name}-{round}"))).collect();
        for drafts in drafts.chunks(40) {
            let outcomes = one.message_log().append(drafts).await.unwrap();
            assert!(outcomes.iter().all(|outcome| matches!(outcome, AppendOutcome::New(_))), "{outcomes:?}");
        }
        for name in &names {
            assert_eq!(
                unread(&one, name).await,
                (round + 1) * (MANY as u64 - 1),
                "{name}, after round {round}"
            );
        }
    }
}
