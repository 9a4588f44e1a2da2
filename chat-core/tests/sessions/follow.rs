//! Joining and following a room.

use std::{sync::atomic::Ordering, time::Duration};

use chat_core::{
    ClientMessageId, Content, Draft, Event, JoinRequest, MessageLog, Retention, Storage as _,
    fanout::FanoutEvent, session::JoinOutcome,
};

use crate::counting_log::CountingLog;
use crate::world::{World, connect, joined, next, next_seq, quiet, room, say, user, with_members};

/// Slow enough for the default rate limit.
const PACE: Duration = Duration::from_millis(120);

#[tokio::test(start_paused = true)]
async fn a_session_joins_and_gets_what_follows_on_every_node() {
    let world = World::new();
    let (a, b) = (world.node(quiet()), world.node(quiet()));
    with_members(&a, &["ann", "bob"]).await;
    let (ann, mut ann_events) = connect(&a, "ann").await;
    let (bob, mut bob_events) = connect(&b, "bob").await;
    say(&ann.actor().unwrap(), "before").await;
    ann.join(JoinRequest::new(room())).await.unwrap();
    bob.join(JoinRequest::new(room())).await.unwrap();
    for events in [&mut ann_events, &mut bob_events] {
        let (outcome, _) = joined(events).await;
        let JoinOutcome::New { page } = outcome else { panic!("{outcome:?}") };
        assert_eq!(page.entries.len(), 1);
    }
    for text in ["one", "two"] {
        say(&bob.actor().unwrap(), text).await;
    }
    for events in [&mut ann_events, &mut bob_events] {
        assert_eq!(next_seq(events).await, 2);
        assert_eq!(next_seq(events).await, 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cursor_brings_exactly_what_was_missed() {
    let world = World::new();
    let chat = world.node(quiet());
    with_members(&chat, &["ann", "bob"]).await;
    let (bob, _bob_events) = connect(&chat, "bob").await;
    for n in 0..500 {
        say(&bob.actor().unwrap(), &n.to_string()).await;
        tokio::time::sleep(PACE).await;
    }
    let epoch = world.store.message_log().heads(&[room()]).await.unwrap().remove(0).unwrap().cursor.epoch;
    // From memory, from the log, and further back than one page of the log.
    for from in [490u64, 300, 3, 0] {
        let (ann, mut events) = connect(&chat, "ann").await;
        let cursor = format!("{epoch}.{from}").parse().unwrap();
        ann.join(JoinRequest::new(room()).after(cursor)).await.unwrap();
        let (outcome, head) = joined(&mut events).await;
        assert!(matches!(outcome, JoinOutcome::Recovered), "{outcome:?}");
        assert_eq!(head.seq.get(), 500);
        for expected in from + 1..=500 {
            assert_eq!(next_seq(&mut events).await, expected);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_cursor_too_far_back_gets_the_newest_page_and_the_hole() {
    let world = World::new();
    let mut settings = quiet();
    settings.replay_limit = 10;
    settings.room_buffer_entries = 5;
    let chat = world.node(settings);
    with_members(&chat, &["ann", "bob"]).await;
    let (bob, _events) = connect(&chat, "bob").await;
    for n in 0..30 {
        say(&bob.actor().unwrap(), &n.to_string()).await;
        tokio::time::sleep(PACE).await;
    }
    let epoch = world.store.message_log().heads(&[room()]).await.unwrap().remove(0).unwrap().cursor.epoch;
    let (ann, mut events) = connect(&chat, "ann").await;
    let at = |seq: u64| format!("{epoch}.{seq}").parse().unwrap();
    ann.join(JoinRequest::new(room()).after(at(3)).with_page(4)).await.unwrap();
    let (JoinOutcome::Limited { page, hole }, cursor) = joined(&mut events).await else { panic!() };
    let seqs: Vec<u64> = page.entries.iter().map(|entry| entry.value().seq().get()).collect();
    assert_eq!(seqs, [27, 28, 29, 30]);
    assert_eq!((hole.after.seq.get(), hole.before.seq.get(), cursor.seq.get()), (3, 27, 30));

    world
        .store
        .message_log()
        .trim(&room(), Retention { max_entries: Some(2), not_before: None })
        .await
        .unwrap();
    ann.join(JoinRequest::new(room()).after(at(24))).await.unwrap();
    assert!(matches!(joined(&mut events).await.0, JoinOutcome::Limited { .. }));
    ann.join(JoinRequest::new(room()).after("other.24".parse().unwrap())).await.unwrap();
    assert!(matches!(joined(&mut events).await.0, JoinOutcome::Reset { .. }));
    ann.join(JoinRequest::new(room()).after(at(31))).await.unwrap();
    assert!(matches!(joined(&mut events).await.0, JoinOutcome::Reset { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_slow_session_is_told_the_hole_and_brought_back_from_the_log() {
    let world = World::new();
    let mut settings = quiet();
    settings.room_buffer_entries = 8;
    let chat = world.node(settings);
    with_members(&chat, &["ann", "bob"]).await;
    let (ann, mut events) = connect(&chat, "ann").await;
    ann.join(JoinRequest::new(room())).await.unwrap();
    joined(&mut events).await;
    let (bob, _bob_events) = connect(&chat, "bob").await;
    say(&bob.actor().unwrap(), "first").await;
    assert_eq!(next_seq(&mut events).await, 1);
    for n in 0..40 {
        say(&bob.actor().unwrap(), &n.to_string()).await;
        tokio::time::sleep(PACE).await;
    }
    let Event::Resync { hole, page: None, .. } = next(&mut events).await else { panic!() };
    assert_eq!(hole.after.seq.get(), 1);
    for expected in 2..=41 {
        assert_eq!(next_seq(&mut events).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_far_behind_is_given_the_newest_page() {
    let world = World::new();
    let mut settings = quiet();
    settings.room_buffer_entries = 8;
    settings.replay_limit = 10;
    let chat = world.node(settings);
    with_members(&chat, &["ann", "bob"]).await;
    let (ann, mut events) = connect(&chat, "ann").await;
    ann.join(JoinRequest::new(room())).await.unwrap();
    joined(&mut events).await;
    let (bob, _bob_events) = connect(&chat, "bob").await;
    for n in 0..40 {
        say(&bob.actor().unwrap(), &n.to_string()).await;
        tokio::time::sleep(PACE).await;
    }
    let Event::Resync { hole, page: Some(page), .. } = next(&mut events).await else { panic!() };
    assert_eq!(hole.after.seq.get(), 0);
    assert_eq!(page.entries.last().unwrap().value().seq().get(), 40);
    say(&bob.actor().unwrap(), "last").await;
    assert_eq!(next_seq(&mut events).await, 41);
}

#[tokio::test(start_paused = true)]
async fn a_restored_log_resets_the_room() {
    let world = World::new();
    let chat = world.node(quiet());
    with_members(&chat, &["ann"]).await;
    let (ann, mut events) = connect(&chat, "ann").await;
    ann.join(JoinRequest::new(room())).await.unwrap();
    joined(&mut events).await;
    say(&ann.actor().unwrap(), "kept").await;
    let backup = world.store.snapshot();
    say(&ann.actor().unwrap(), "lost").await;
    assert_eq!((next_seq(&mut events).await, next_seq(&mut events).await), (1, 2));
    world.store.restore(&backup);
    say(&ann.actor().unwrap(), "after the restore").await;
    let Event::Reset { page, .. } = next(&mut events).await else { panic!() };
    let seqs: Vec<u64> = page.entries.iter().map(|entry| entry.value().seq().get()).collect();
    assert_eq!(seqs, [1, 2]);
    say(&ann.actor().unwrap(), "and on").await;
    assert_eq!(next_seq(&mut events).await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_lost_last_entry_is_found_by_the_head_check() {
    let world = World::new();
    let chat = world.node(quiet());
    with_members(&chat, &["ann"]).await;
    let (ann, mut events) = connect(&chat, "ann").await;
    ann.join(JoinRequest::new(room())).await.unwrap();
    joined(&mut events).await;
    // Stored by somebody who died before telling others.
    let draft = Draft::new(room(), user("ann"), ClientMessageId::generate(), Content::text("lost"));
    world.store.message_log().append(&[draft]).await.unwrap();
    let event = loop {
        let event = tokio::time::timeout(Duration::from_secs(30), events.next()).await.unwrap().unwrap();
        if !matches!(event, Event::Notice(_)) {
            break event;
        }
    };
    let Event::Entry(entry) = event else { panic!("{event:?}") };
    assert_eq!(entry.value().seq().get(), 1);
}

#[tokio::test(start_paused = true)]
async fn typing_reaches_others_and_not_oneself() {
    let world = World::new();
    let chat = world.node(quiet());
    with_members(&chat, &["ann", "bob"]).await;
    let (ann, mut ann_events) = connect(&chat, "ann").await;
    let (bob, mut bob_events) = connect(&chat, "bob").await;
    for (session, events) in [(&ann, &mut ann_events), (&bob, &mut bob_events)] {
        session.join(JoinRequest::new(room())).await.unwrap();
        joined(events).await;
    }
    let is_typing = |event: &Event| matches!(event, Event::Notice(notice) if matches!(notice.value(), FanoutEvent::Typing { active: true, .. }));
    ann.typing(&room(), true).await.unwrap();
    while !is_typing(&next(&mut bob_events).await) {}
    while let Some(event) = ann_events.try_next() {
        assert!(!is_typing(&event));
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_sessions_that_come_back_share_one_read() {
    let world = World::new();
    let chat = world.node(quiet());
    with_members(&chat, &["ann", "bob"]).await;
    let (bob, bob_events) = connect(&chat, "bob").await;
    for n in 0..100 {
        say(&bob.actor().unwrap(), &n.to_string()).await;
        tokio::time::sleep(PACE).await;
    }
    drop((bob, bob_events));
    let epoch = world.store.message_log().heads(&[room()]).await.unwrap().remove(0).unwrap().cursor.epoch;
    let mut settings = quiet();
    settings.sessions_per_user = 2_000;
    let log = CountingLog::new(world.store.message_log());
    let restarted = world.node_with(settings, log.clone());
    let mut sessions = Vec::new();
    for n in 0..1_000u64 {
        let (session, events) = connect(&restarted, "ann").await;
        session
            .join(JoinRequest::new(room()).after(format!("{epoch}.{}", n % 100).parse().unwrap()))
            .await
            .unwrap();
        sessions.push((events, n % 100));
    }
    let catching_up = sessions.into_iter().map(|(mut events, from)| async move {
        assert!(matches!(joined(&mut events).await.0, JoinOutcome::Recovered));
        for expected in from + 1..=100 {
            assert_eq!(next_seq(&mut events).await, expected);
        }
    });
    futures::future::join_all(catching_up).await;
    assert_eq!(log.reads.load(Ordering::Relaxed), 1);
    // The lane's own look when it opened.
    assert_eq!(log.heads.load(Ordering::Relaxed), 1);
}

/// More than memory has, by sessions of which each has everything before the next one comes.
#[tokio::test(start_paused = true)]
async fn sessions_that_come_back_one_after_the_other_share_what_was_read_a_moment_ago() {
    const MISSED: u64 = 600;
    let world = World::new();
    let chat = world.node(quiet());
    with_members(&chat, &["ann", "bob"]).await;
    for n in 0..MISSED {
        say(&chat.system(user("bob")), &n.to_string()).await;
    }
    let epoch = world.store.message_log().heads(&[room()]).await.unwrap().remove(0).unwrap().cursor.epoch;
    let log = CountingLog::new(world.store.message_log());
    let restarted = world.node_with(quiet(), log.clone());
    let come_back = async || {
        let (session, mut events) = connect(&restarted, "ann").await;
        let request = JoinRequest::new(room()).after(format!("{epoch}.0").parse().unwrap());
        session.join(request).await.unwrap();
        assert!(matches!(joined(&mut events).await.0, JoinOutcome::Recovered));
        for expected in 1..=MISSED {
            assert_eq!(next_seq(&mut events).await, expected);
        }
    };
    for _ in 0..20 {
        come_back().await;
    }
    let reads = log.reads.swap(0, Ordering::Relaxed);
    assert!((1..=3).contains(&reads), "{reads}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    come_back().await;
    let reads = log.reads.load(Ordering::Relaxed);
    assert!(reads > 0, "nothing is kept for long");
}

#[tokio::test(start_paused = true)]
async fn a_half_open_connection_does_not_disturb_the_new_one() {
    let world = World::new();
    let (a, b) = (world.node(quiet()), world.node(quiet()));
    with_members(&a, &["ann", "bob"]).await;
    let (old, mut old_events) = connect(&a, "ann").await;
    old.join(JoinRequest::new(room())).await.unwrap();
    let (_, cursor) = joined(&mut old_events).await;
    // The old one's network is gone, and nobody knows yet. The client comes back on another node.
    let (bob, _bob_events) = connect(&b, "bob").await;
    say(&bob.actor().unwrap(), "missed").await;
    let (new, mut new_events) = connect(&b, "ann").await;
    new.join(JoinRequest::new(room()).after(cursor)).await.unwrap();
    assert!(matches!(joined(&mut new_events).await.0, JoinOutcome::Recovered));
    assert_eq!(next_seq(&mut new_events).await, 1);
    // Now the old one times out.
    drop((old, old_events));
    tokio::time::sleep(Duration::from_secs(1)).await;
    say(&bob.actor().unwrap(), "live").await;
    assert_eq!(next_seq(&mut new_events).await, 2);
    let presence = b.system(user("s")).presence(&[user("ann")]).await.unwrap();
    assert_eq!((presence[0].online, presence[0].connections), (true, 1));
}
