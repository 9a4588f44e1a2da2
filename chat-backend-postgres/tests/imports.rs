//! What is special about imports into PostgreSQL: many rooms in one call, several nodes at once, what is left of a call that
//! fails or is dropped, and a server that was put back.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod support;

use std::time::Duration;

use chat_backend_postgres::PostgresBackend;
use chat_core::{
    Body, ClientMessageId, Content, Draft, Error, MemberChange, MessageId, Place, ReactionKey, ReactionOp,
    ReadFrom, ReadQuery, Role,
    search::SearchQuery,
    tiered::{Import, ImportOutcome, Life, LifeOutcome},
};
use fastrand::Rng;
use futures::future::join_all;
use support::{
    append, by_hand, connect, draft,
    imports::{about, begin, database, id, import, life, living, stored, texts},
    make_rooms, read, room, run, user,
};
use tokio::time::{Instant, sleep, timeout};

async fn unread(node: &PostgresBackend, name: &str) -> u64 {
    node.rooms().unread(&user(name), &[room(0)]).await.unwrap()[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_entries_of_two_hundred_rooms_go_in_one_call_on_two_nodes_at_once() {
    const ROOMS: usize = 200;
    let database = database().await;
    let nodes = [living(database.url(), ROOMS).await, connect(database.url()).await];
    // Three texts, one of which is changed, and one that is put on.
    let key = ReactionKey::new("+1").unwrap();
    let of_room = |n: usize| {
        let mut drafts: Vec<_> = texts(n, 1, 3).entries.into_iter().map(|entry| entry.draft).collect();
        let edit = Content::Edit { target: id(n, 2), body: Body::text("hummingbird") };
        let react = Content::Reaction { target: id(n, 1), key: key.clone(), op: ReactionOp::Add };
        drafts.extend([about(n, "edit", edit), about(n, "react", react)]);
        import(n, 1, drafts)
    };
    let imports: Vec<Import> = (0..ROOMS).map(of_room).collect();
    let backwards: Vec<Import> = imports.iter().rev().cloned().collect();
    let calls = [&imports, &backwards, &imports, &backwards];
    let tasks = calls.into_iter().cloned().enumerate().map(|(n, imports)| {
        let archive = nodes[n % 2].archive();
        tokio::spawn(async move { archive.import(&imports).await })
    });
    for outcomes in join_all(tasks).await {
        assert_eq!(outcomes.unwrap().unwrap(), vec![stored(5); ROOMS]);
    }
    for n in [0, 1, ROOMS - 1] {
        let entries = read(&*nodes[0].message_log(), &room(n)).await;
        assert_eq!(entries.len(), 5);
        assert_eq!(entries[1].content, Content::text("hummingbird"));
        assert_eq!(entries[0].state.reactions[0].count, 1);
    }
    assert_eq!(unread(&nodes[1], "bob").await, 3);
    assert_eq!(unread(&nodes[1], "ann").await, 0);
    let page = nodes[1].rooms().rooms_of(&user("bob"), None, 200).await.unwrap();
    assert_eq!(page.rooms.len(), ROOMS);
    assert!(page.rooms.iter().all(|room| room.unread == 3 && room.activity == id(0, 3).timestamp()));
    nodes[0].settle_search().await.unwrap();
    let mut query = SearchQuery::new(user("bob"), "hummingbird");
    query.limit = 100;
    assert_eq!(nodes[1].search().search(query).await.unwrap().messages.len(), 100);
}

/// What somebody does to one of the five messages that follow the head.
fn any_change(random: &mut Rng, n: usize, head: u64, seq: u64) -> Draft {
    let target = id(n, head + random.u64(1..=5));
    let key = ReactionKey::new(random.choice(["a", "b"]).unwrap()).unwrap();
    let content = match random.u8(..12) {
        0 => Content::Delete { target },
        1..4 => Content::Edit { target, body: Body::text(&format!("changed by {seq}")) },
        4..9 => Content::Reaction { target, key, op: ReactionOp::Add },
        _ => Content::Reaction { target, key, op: ReactionOp::Remove },
    };
    let sender = user(random.choice(["ann", "bob", "cy"]).unwrap());
    Draft::new(room(n), sender, ClientMessageId::new(&format!("change-{seq}")).unwrap(), content)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_come_together_do_what_they_do_one_after_the_other() {
    const CHANGES: u64 = 60;
    let database = database().await;
    let node = living(database.url(), 2).await;
    let (archive, log) = (node.archive(), node.message_log());
    for round in 0..6 {
        let head = round * (5 + CHANGES);
        let seed = fastrand::u64(..);
        let batch = |n: usize| {
            let mut random = Rng::with_seed(seed);
            let mut batch = texts(n, head + 1, head + 5);
            for seq in head + 6..=head + 5 + CHANGES {
                let draft = any_change(&mut random, n, head, seq);
                batch.entries.extend(import(n, seq, vec![draft]).entries);
            }
            batch
        };
        let one_by_one = batch(0);
        for entry in one_by_one.entries {
            let one = Import { room: room(0), life: life("a"), entries: vec![entry] };
            archive.import(&[one]).await.unwrap();
        }
        assert_eq!(archive.import(&[batch(1)]).await.unwrap(), [stored(head + 5 + CHANGES)]);
        let (one, other) = (read(&*log, &room(0)).await, read(&*log, &room(1)).await);
        for (one, other) in one.iter().zip(&other) {
            assert_eq!((one.content.body(), &one.state), (other.content.body(), &other.state), "seed {seed}");
        }
        assert_eq!(one.len(), other.len());
        let counts = node.rooms().unread(&user("bob"), &[room(0), room(1)]).await.unwrap();
        assert_eq!(counts[0], counts[1], "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_taken_fails_the_call_for_good_and_leaves_nothing() {
    let database = database().await;
    let node = living(database.url(), 2).await;
    append(&*node.message_log(), draft(room(0), "ann", "taken")).await;
    let batch =
        [texts(1, 1, 3), import(0, 2, vec![draft(room(0), "ann", "new"), draft(room(0), "ann", "taken")])];
    for _ in 0..2 {
        let error = node.archive().import(&batch).await.unwrap_err();
        assert!(matches!(&error, Error::Invalid { reason, .. } if reason.contains("23505")), "{error:?}");
    }
    assert!(read(&*node.message_log(), &room(1)).await.is_empty());
    let rest = [batch[0].clone(), import(0, 2, vec![draft(room(0), "ann", "new")])];
    assert_eq!(node.archive().import(&rest).await.unwrap(), [stored(3), stored(2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_keep_the_contract_is_refused_for_good() {
    let database = database().await;
    let node = living(database.url(), 2).await;
    let mut gap = texts(0, 1, 3);
    gap.entries.remove(1);
    let mut order = texts(0, 1, 2);
    order.entries[1].id = order.entries[0].id;
    let mut other = texts(0, 1, 1);
    other.room = room(1);
    let mut late = texts(0, 1, 1);
    late.entries[0].id = MessageId::from_u128(u128::MAX);
    let empty = import(0, 1, Vec::new());
    let twice = vec![texts(0, 1, 1), texts(0, 2, 2)];
    for batch in [vec![gap], vec![order], vec![other], vec![late], vec![empty], twice] {
        let error = node.archive().import(&batch).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    }
    assert!(read(&*node.message_log(), &room(0)).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_of_another_log_name_their_entries_and_are_followed_by_greater_ones() {
    let database = database().await;
    let node = living(database.url(), 1).await;
    node.archive().import(&[texts(0, 1, 2)]).await.unwrap();
    let log = node.message_log();
    let query = ReadQuery::new(ReadFrom::After(Place::Id(id(0, 1))));
    let page = log.read(&room(0), query).await.unwrap();
    assert_eq!(page.entries.iter().map(|entry| entry.position.id).collect::<Vec<_>>(), [id(0, 2)]);
    let edit = Content::Edit { target: id(0, 1), body: Body::text("changed") };
    let cursor = append(&*log, about(0, "edit", edit)).await;
    assert_eq!(cursor.seq.get(), 3);
    let entries = read(&*log, &room(0)).await;
    assert_eq!(entries[0].content, Content::text("changed"));
    assert_eq!(entries[2].content.target(), Some(id(0, 1)));
    let archived = node.archive().rooms(&[room(0)]).await.unwrap().remove(0).unwrap();
    assert_eq!(archived.last_id, Some(entries[2].position.id));
}

/// A node remembers of the authors it wrote for how much they sent: what another one imports it must not miss.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ones_own_messages_are_never_unread_whether_imported_or_appended() {
    let database = database().await;
    let nodes = [living(database.url(), 1).await, connect(database.url()).await];
    let mut sent = [0, 0];
    let mut head = 0;
    for round in 0..6 {
        append(&*nodes[0].message_log(), draft(room(0), "ann", &format!("x{round}"))).await;
        append(&*nodes[1].message_log(), draft(room(0), "bob", &format!("y{round}"))).await;
        head += 2;
        let mut drafts =
            vec![draft(room(0), "bob", &format!("i{round}")), draft(room(0), "ann", &format!("j{round}"))];
        drafts.push(draft(room(0), "bob", &format!("k{round}")));
        let mut batch = import(0, head + 1, drafts);
        for (n, entry) in batch.entries.iter_mut().enumerate() {
            entry.id = id(0, 1_000 * (round + 1) + n as u64);
        }
        head += 3;
        // Whoever was removed meanwhile had sent it before.
        let change = if round == 3 {
            nodes[1].rooms().change_member(&room(0), MemberChange::remove(user("bob"))).await.unwrap();
            Some(MemberChange::add(user("bob"), Role::Member))
        } else {
            None
        };
        assert_eq!(nodes[1].archive().import(&[batch]).await.unwrap(), [stored(head)]);
        (sent[0], sent[1]) = (sent[0] + 2, sent[1] + 3);
        if let Some(back) = change {
            nodes[0].rooms().change_member(&room(0), back).await.unwrap();
            sent[0] = 0;
        }
        assert_eq!((unread(&nodes[0], "ann").await, unread(&nodes[1], "bob").await), (sent[1], sent[0]));
    }
}

/// Both wait for the room, whoever has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_and_a_life_wait_for_the_room_and_one_that_is_dropped_is_stored() {
    let database = database().await;
    let nodes = [living(database.url(), 2).await, connect(database.url()).await];
    let mut hands = by_hand(database.url()).await;
    run(&mut hands, "BEGIN; SELECT 1 FROM chat.rooms WHERE id = 'room-0' FOR NO KEY UPDATE").await;
    let dropped = timeout(Duration::from_millis(200), async {
        nodes[0].archive().import(&[texts(0, 1, 2), texts(1, 1, 2)]).await
    });
    assert!(dropped.await.is_err(), "it waits for the lock");
    let beginning = tokio::spawn({
        let node = nodes[1].clone();
        async move { begin(&node, 0, "b").await }
    });
    sleep(Duration::from_millis(200)).await;
    assert!(!beginning.is_finished(), "it waits for the lock");
    run(&mut hands, "COMMIT").await;
    // The import came first, so the life has not seen all of the room.
    assert_eq!(beginning.await.unwrap(), LifeOutcome::Changed);
    let until = Instant::now() + Duration::from_secs(10);
    while read(&*nodes[0].message_log(), &room(1)).await.len() < 2 {
        assert!(Instant::now() < until, "the rest of a dropped call");
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(begin(&nodes[1], 0, "b").await, LifeOutcome::Begun);
    assert_eq!(nodes[0].archive().import(&[texts(0, 1, 3)]).await.unwrap(), [ImportOutcome::Superseded]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_put_back_knows_no_life() {
    let database = database().await;
    let node = living(database.url(), 1).await;
    node.archive().import(&[texts(0, 1, 2)]).await.unwrap();
    let seen = node.archive().rooms(&[room(0)]).await.unwrap().remove(0).unwrap();
    let mut hands = by_hand(database.url()).await;
    run(&mut hands, "DELETE FROM chat.entries WHERE seq = 2; UPDATE chat.rooms SET head = 1, countable = 1")
        .await;
    assert_eq!(node.archive().import(&[texts(0, 2, 3)]).await.unwrap(), [ImportOutcome::Superseded]);
    let now = node.archive().rooms(&[room(0)]).await.unwrap().remove(0).unwrap();
    assert_ne!(now.head.cursor.epoch, seen.head.cursor.epoch);
    assert!(now.lives.is_empty(), "{now:?}");
    let again = Life { epoch: life("b"), base: seen.head.cursor.seq };
    let outcome = node.archive().begin_life(&room(0), &seen, &again).await.unwrap();
    assert_eq!(outcome, LifeOutcome::Changed);
    assert_eq!(begin(&node, 0, "b").await, LifeOutcome::Begun);
    let of_b = Import { life: life("b"), ..texts(0, 2, 3) };
    assert_eq!(node.archive().import(&[of_b]).await.unwrap(), [stored(3)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_an_earlier_release_becomes_an_archive() {
    let database = database().await;
    let node = connect(database.url()).await;
    make_rooms(&*node.rooms(), 1, &["ann"]).await;
    append(&*node.message_log(), draft(room(0), "ann", "before")).await;
    node.close().await;
    let mut hands = by_hand(database.url()).await;
    run(&mut hands, "DROP TABLE chat.lives; DELETE FROM chat.migrations WHERE version = 3").await;
    let node = connect(database.url()).await;
    assert_eq!(begin(&node, 0, "a").await, LifeOutcome::Begun);
    assert_eq!(node.archive().import(&[texts(0, 2, 3)]).await.unwrap(), [stored(3)]);
}
