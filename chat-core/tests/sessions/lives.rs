//! Sessions over a log that begins another life: who missed nothing notices nothing.

use std::sync::Arc;

use chat_core::{
    Chat, Cursor, Event, JoinRequest, Seq, Session, SessionEvents, Settings, Storage as _,
    memory::MemoryHotLog,
    session::JoinOutcome,
    tiered::{Tiered, TieredSettings},
};

use crate::world::{World, connect, joined, next, quiet, room, say, user, with_members};

struct Tiers {
    hot: MemoryHotLog,
    chat: Chat,
}

async fn tiers(settings: Settings) -> Tiers {
    let (world, hot) = (World::new(), MemoryHotLog::new());
    let mut archiving = TieredSettings::default();
    archiving.workers = 0;
    let tiered = Tiered::start(Arc::new(hot.clone()), world.store.archive(), &world.store, archiving);
    let chat = world.node_of(settings, tiered.message_log(), tiered.rooms());
    with_members(&chat, &["ann", "bob"]).await;
    Tiers { hot, chat }
}

fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

/// The next entry's position, with nothing before it but what need not be told.
async fn next_entry(events: &mut SessionEvents) -> Cursor {
    match telling(events).await {
        Event::Entry(entry) => entry.value().position.cursor.clone(),
        other => panic!("{other:?}"),
    }
}

/// The next event that is about the room's history.
async fn telling(events: &mut SessionEvents) -> Event {
    loop {
        match next(events).await {
            Event::Notice(_) | Event::Heads(_) => {}
            other => return other,
        }
    }
}

async fn join(session: &Session, events: &mut SessionEvents, request: JoinRequest) -> JoinOutcome {
    session.join(request).await.unwrap();
    joined(events).await.0
}

#[tokio::test(start_paused = true)]
async fn sessions_go_on_over_a_failover_that_lost_nothing() {
    let Tiers { hot, chat } = tiers(quiet()).await;
    let (ann, mut at_ann) = connect(&chat, "ann").await;
    join(&ann, &mut at_ann, JoinRequest::new(room())).await;
    say(&chat.system(user("system")), "one").await;
    let first = next_entry(&mut at_ann).await;
    hot.restore(&hot.snapshot());
    say(&chat.system(user("system")), "two").await;
    let second = next_entry(&mut at_ann).await;
    assert_eq!((first.seq, second.seq), (seq(1), seq(2)));
    assert_ne!(first.epoch, second.epoch);
    // Somebody who was away meanwhile has missed one message and nothing else.
    let (bob, mut at_bob) = connect(&chat, "bob").await;
    let outcome = join(&bob, &mut at_bob, JoinRequest::new(room()).after(first)).await;
    assert!(matches!(outcome, JoinOutcome::Recovered), "{outcome:?}");
    assert_eq!(next_entry(&mut at_bob).await, second);
}

#[tokio::test(start_paused = true)]
async fn sessions_start_again_after_one_that_lost_what_they_have_seen() {
    let Tiers { hot, chat } = tiers(quiet()).await;
    let (ann, mut at_ann) = connect(&chat, "ann").await;
    join(&ann, &mut at_ann, JoinRequest::new(room())).await;
    let replica = hot.snapshot();
    say(&chat.system(user("system")), "lost").await;
    let lost = next_entry(&mut at_ann).await;
    hot.restore(&replica);
    say(&chat.system(user("system")), "kept").await;
    match telling(&mut at_ann).await {
        Event::Reset { page, .. } => assert_eq!(page.entries.len(), 1),
        other => panic!("{other:?}"),
    }
    let (bob, mut at_bob) = connect(&chat, "bob").await;
    let outcome = join(&bob, &mut at_bob, JoinRequest::new(room()).after(lost)).await;
    assert!(matches!(outcome, JoinOutcome::Reset { .. }), "{outcome:?}");
}
