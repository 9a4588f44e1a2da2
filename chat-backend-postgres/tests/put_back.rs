//! A server that was put back on its own disk, beside nodes that live on: they notice before they write. What a copy of the
//! disk would have put back is put back here by hand.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod support;

use chat_core::{AppendOutcome, Authority, Draft, Error, ReadQuery, Refusal};
use chat_test_services::Postgres;
use support::{append, by_hand, connect, draft, make_rooms, read, room, run};

/// Entries of the service itself pass any membership.
fn said(n: usize, id: &str) -> Draft {
    draft(room(n), "system", id).with_authority(Authority::System)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rooms_number_that_is_another_rooms_now_takes_nothing() {
    for exact in [false, true] {
        let database = Postgres::shared().await.unwrap().database().await.unwrap();
        let node = connect(database.url()).await;
        make_rooms(&*node.rooms(), 1, &[]).await;
        let cursor = append(&*node.message_log(), said(0, "first")).await;
        let mut hands = by_hand(database.url()).await;
        run(&mut hands, "UPDATE chat.rooms SET id = 'room-1'").await;
        // A repeat within the batch goes the exact way.
        let batch = if exact { vec![said(0, "x"), said(0, "x")] } else { vec![said(0, "x")] };
        for outcome in node.message_log().append(&batch).await.unwrap() {
            assert_eq!(outcome, AppendOutcome::Refused(Refusal::RoomMissing));
        }
        assert_eq!(read(&*node.message_log(), &room(1)).await.len(), 1);
        let reset = node.message_log().read(&room(1), ReadQuery::after(cursor)).await.unwrap_err();
        assert!(matches!(reset, Error::CursorReset { .. }), "{reset:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_went_back_begins_a_new_epoch() {
    for exact in [false, true] {
        let database = Postgres::shared().await.unwrap().database().await.unwrap();
        let node = connect(database.url()).await;
        make_rooms(&*node.rooms(), 1, &[]).await;
        append(&*node.message_log(), said(0, "first")).await;
        let lost = append(&*node.message_log(), said(0, "lost")).await;
        let mut hands = by_hand(database.url()).await;
        run(
            &mut hands,
            "DELETE FROM chat.entries WHERE seq = 2; UPDATE chat.rooms SET head = 1, countable = 1",
        )
        .await;
        let batch = if exact { vec![said(0, "x"), said(0, "x")] } else { vec![said(0, "x")] };
        for outcome in node.message_log().append(&batch).await.unwrap() {
            let position = outcome.stored().unwrap();
            assert_eq!(position.cursor.seq, lost.seq, "it is free again");
            assert_ne!(position.cursor.epoch, lost.epoch);
        }
        let reset = node.message_log().read(&room(0), ReadQuery::after(lost)).await.unwrap_err();
        assert!(matches!(reset, Error::CursorReset { .. }), "{reset:?}");
    }
}
