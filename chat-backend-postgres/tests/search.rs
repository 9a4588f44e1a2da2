//! The search's copy of the texts, while messages are deleted and trimmed beside whoever fills it.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod support;

use std::time::Duration;

use chat_backend_postgres::{PostgresBackend, PostgresConfig};
use chat_core::{
    AppendOutcome, ClientMessageId, Content, Draft, MessageId, MessageLog, Retention, search::SearchQuery,
};
use chat_test_services::Postgres;
use sqlx::{PgConnection, Row as _};
use support::{by_hand, connect, make_rooms, room, run, user};
use tokio::time::{Instant, sleep};

/// Whoever fills the search is held up between reading and writing.
const SLOW: &str = "
CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN NULL; END';
CREATE TRIGGER slow BEFORE INSERT ON chat.search FOR EACH STATEMENT EXECUTE FUNCTION public.slow()";
const QUICK: &str = "DROP TRIGGER slow ON chat.search";
/// Somebody is held up there.
const HELD_UP: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";

async fn say(log: &dyn MessageLog, n: usize, id: &str, content: Content) -> MessageId {
    let draft = Draft::new(room(n), user("ann"), ClientMessageId::new(id).unwrap(), content);
    match log.append(&[draft]).await.unwrap().remove(0) {
        AppendOutcome::New(position) => position.id,
        other => panic!("{other:?}"),
    }
}

async fn count(hands: &mut PgConnection, query: &'static str) -> i64 {
    sqlx::query(query).fetch_one(hands).await.unwrap().get(0)
}

async fn until(hands: &mut PgConnection, query: &'static str, wanted: i64) {
    let end = Instant::now() + Duration::from_secs(30);
    while count(hands, query).await != wanted {
        assert!(Instant::now() < end, "{query} is not {wanted} in time");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_is_deleted_while_it_is_copied_does_not_stay() {
    let database = Postgres::shared().await.unwrap().database().await.unwrap();
    let mut hands = by_hand(database.url()).await;
    let backend = connect(database.url()).await;
    make_rooms(&*backend.rooms(), 1, &["ann"]).await;
    run(&mut hands, SLOW).await;
    let log = backend.message_log();
    let target = say(&*log, 0, "a", Content::text("secret")).await;
    until(&mut hands, HELD_UP, 1).await;
    // The trigger holds this one up, too.
    say(&*log, 0, "b", Content::Delete { target }).await;
    backend.settle_search().await.unwrap();
    until(&mut hands, HELD_UP, 0).await;
    assert_eq!(count(&mut hands, "SELECT count(*) FROM chat.search WHERE body LIKE '%secret%'").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trim_beside_the_copying_leaves_nothing_that_ends_a_search_early() {
    let database = Postgres::shared().await.unwrap().database().await.unwrap();
    let mut hands = by_hand(database.url()).await;
    let backend = connect(database.url()).await;
    make_rooms(&*backend.rooms(), 2, &["ann"]).await;
    let log = backend.message_log();
    for n in 0..5 {
        say(&*log, 1, &format!("old-{n}"), Content::text("tea, older")).await;
    }
    backend.settle_search().await.unwrap();
    run(&mut hands, SLOW).await;
    for n in 0..20 {
        say(&*log, 0, &format!("new-{n}"), Content::text("tea, newer")).await;
    }
    until(&mut hands, HELD_UP, 1).await;
    log.trim(&room(0), Retention { max_entries: Some(0), not_before: None }).await.unwrap();
    run(&mut hands, QUICK).await;
    backend.settle_search().await.unwrap();
    let orphans = "SELECT count(*) FROM chat.search s WHERE NOT EXISTS (
        SELECT 1 FROM chat.entries e WHERE e.room = s.room AND e.seq = s.seq)";
    until(&mut hands, orphans, 0).await;
    let page = backend.search().search(SearchQuery::new(user("ann"), "tea")).await.unwrap();
    assert_eq!((page.messages.len(), page.next), (5, None));
}

/// Read before the trim, and put there after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_trimmed_since_it_was_read_is_not_copied() {
    let database = Postgres::shared().await.unwrap().database().await.unwrap();
    let mut hands = by_hand(database.url()).await;
    let backend = connect(database.url()).await;
    make_rooms(&*backend.rooms(), 1, &["ann"]).await;
    for n in 0..3 {
        say(&*backend.message_log(), 0, &format!("m-{n}"), Content::text("secret")).await;
    }
    backend.settle_search().await.unwrap();
    let retention = Retention { max_entries: Some(1), not_before: None };
    backend.message_log().trim(&room(0), retention).await.unwrap();
    assert_eq!(count(&mut hands, "SELECT count(*) FROM chat.search").await, 1);
    let late = "SELECT chat.follow(epoch, ARRAY[room], ARRAY[2::bigint], ARRAY[1, 1], ARRAY[1::bigint, 2], ARRAY[1::bigint, 2], \
                ARRAY[1::bigint, 2], ARRAY['secret', 'secret']) FROM chat.rooms, chat.store";
    run(&mut hands, late).await;
    assert_eq!(count(&mut hands, "SELECT count(*) FROM chat.search").await, 1);
    // And positions that were never given out here, as after a failover that lost some, are not taken for known.
    let lost = "SELECT chat.follow(epoch, ARRAY[room], ARRAY[9::bigint], ARRAY[1], ARRAY[1::bigint], ARRAY[1::bigint], \
                ARRAY[9::bigint], ARRAY['lost']) FROM chat.rooms, chat.store";
    run(&mut hands, lost).await;
    assert_eq!(count(&mut hands, "SELECT count(*) FROM chat.search").await, 1);
    assert_eq!(count(&mut hands, "SELECT upto FROM chat.search_places").await, 3);
}

/// As it is between a trim and whoever cleans up after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_without_a_message_are_passed_over() {
    let database = Postgres::shared().await.unwrap().database().await.unwrap();
    let mut hands = by_hand(database.url()).await;
    let backend = connect(database.url()).await;
    make_rooms(&*backend.rooms(), 1, &["ann"]).await;
    say(&*backend.message_log(), 0, "a", Content::text("tea")).await;
    backend.settle_search().await.unwrap();
    run(
        &mut hands,
        "INSERT INTO chat.search (id_high, id_low, room, seq, body)
         SELECT s.id_high + n, 1, s.room, 1000 + n, 'tea' FROM chat.search s, generate_series(1, 200) n",
    )
    .await;
    let page = backend.search().search(SearchQuery::new(user("ann"), "tea")).await.unwrap();
    assert_eq!((page.messages.len(), page.next), (1, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_cannot_be_copied_stops_no_other() {
    let database = Postgres::shared().await.unwrap().database().await.unwrap();
    let mut hands = by_hand(database.url()).await;
    let backend = connect(database.url()).await;
    make_rooms(&*backend.rooms(), 2, &["ann"]).await;
    run(
        &mut hands,
        "CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN IF NEW.body = ''bad'' THEN RAISE EXCEPTION ''no''; END IF; RETURN NEW; END';
         CREATE TRIGGER no BEFORE INSERT ON chat.search FOR EACH ROW EXECUTE FUNCTION public.no()",
    )
    .await;
    let log = backend.message_log();
    say(&*log, 0, "a", Content::text("bad")).await;
    say(&*log, 1, "b", Content::text("good")).await;
    until(&mut hands, "SELECT count(*) FROM chat.search", 1).await;
    run(&mut hands, "DROP TRIGGER no ON chat.search").await;
    until(&mut hands, "SELECT count(*) FROM chat.search", 2).await;
}

/// Making the index is neither for every role nor for two at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_together_all_find_the_trigram_index() {
    let server = Postgres::shared().await.unwrap();
    let database = server.database().await.unwrap();
    let mut hands = by_hand(database.url()).await;
    run(&mut hands, "CREATE EXTENSION pg_trgm").await;
    for round in 0..6 {
        let starts: Vec<_> = (0..6)
            .map(|_| {
                let config = PostgresConfig::from_url(database.url()).unwrap();
                let config = config.with_schema(format!("chat_{round}")).with_max_connections(2);
                tokio::spawn(PostgresBackend::connect(config))
            })
            .collect();
        for start in starts {
            let backend = start.await.unwrap().unwrap();
            assert!(backend.search_is_indexed());
            backend.close().await;
        }
    }
}
