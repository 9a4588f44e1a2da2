//! How sessions and subscriptions end, and what is left of them.

use std::{sync::atomic::Ordering, time::Duration};

use async_trait::async_trait;
use chat_core::{
    Auth, Backend, Chat, ClientMessageId, Clock, Error, Event, JoinRequest, MemberChange, Result,
    Storage as _, SystemClock, Timestamp,
    auth::{AuthError, Credentials, Principal, Revocation, RevocationScope},
    presence::UserPresence,
    session::{CloseReason, LeftReason, SessionEvents},
};

use crate::{
    counting_log::CountingLog,
    world::{World, connect, joined, next, quiet, room, say, user, with_members},
};

#[tokio::test(start_paused = true)]
async fn a_removed_member_hears_no_more_on_any_node() {
    let world = World::new();
    let (a, b) = (world.node(quiet()), world.node(quiet()));
    with_members(&a, &["ann", "bob"]).await;
    let (ann, mut events) = connect(&b, "ann").await;
    ann.join(JoinRequest::new(room())).await.unwrap();
    joined(&mut events).await;
    a.system(user("system")).change_member(&room(), MemberChange::remove(user("ann"))).await.unwrap();
    let left = loop {
        match next(&mut events).await {
            Event::Left { reason, .. } => break reason,
            Event::Notice(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(left, LeftReason::Removed);
    assert!(!ann.has_joined(&room()));
    let refused = ann.actor().unwrap().send_text(&room(), ClientMessageId::generate(), "still here?").await;
    assert!(matches!(refused, Err(Error::NotAMember { .. })), "{refused:?}");
    assert!(matches!(ann.join(JoinRequest::new(room())).await, Err(Error::NotAMember { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_revocation_ends_sessions_on_every_node() {
    let world = World::new();
    let (a, b) = (world.node(quiet()), world.node(quiet()));
    let (_ann, mut events) = connect(&b, "ann").await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let until = Timestamp::from_secs(u64::from(u32::MAX));
    let scope = RevocationScope::IssuedBefore(Timestamp::from_secs(2_000));
    a.revoke(Revocation { user: user("ann"), scope, until }).await.unwrap();
    let Event::Closing(closing) = next(&mut events).await else { panic!() };
    assert_eq!(closing.reason, CloseReason::Revoked);
    assert!(events.next().await.is_none());
    // The credentials open nothing any more.
    let refused = a.connect(&Credentials::token("ann")).await;
    assert!(matches!(refused, Err(Error::Unauthenticated(AuthError::Revoked))), "{refused:?}");
}

#[tokio::test]
async fn a_session_ends_when_its_credentials_expire() {
    let world = World::new();
    let chat = world.node(quiet());
    let expiry = SystemClock.now().after(Duration::from_millis(80));
    let (session, mut events) =
        chat.connect_as(Principal::new(user("ann")).with_expiry(expiry)).await.unwrap();
    assert!(matches!(next(&mut events).await, Event::Expiring { .. }));
    let Event::Closing(closing) = next(&mut events).await else { panic!() };
    assert_eq!(closing.reason, CloseReason::Expired);
    assert!(SystemClock.now() >= expiry);
    assert!(matches!(session.join(JoinRequest::new(room())).await, Err(Error::SessionClosed)));
}

/// Whoever asks is let in for a moment.
#[derive(Debug)]
struct Momentary;

impl Momentary {
    const TIME: Duration = Duration::from_millis(80);
}

#[async_trait]
impl Backend for Momentary {
    fn name(&self) -> &'static str {
        "momentary"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Auth for Momentary {
    async fn authenticate(&self, _: &Credentials) -> Result<Principal> {
        Ok(Principal::new(user("ann")).with_expiry(SystemClock.now().after(Self::TIME)))
    }

    async fn revalidate(&self, _: &Principal) -> Result<()> {
        Ok(())
    }
}

/// Long before the next thing that it would look up for.
#[tokio::test]
async fn a_silent_session_ends_with_new_credentials_that_expire_sooner() {
    let chat = World::new().builder(quiet()).auth(Momentary).build().unwrap();
    let (session, mut events) = chat.connect_as(Principal::new(user("ann"))).await.unwrap();
    let waits = tokio::spawn(async move { (next(&mut events).await, next(&mut events).await) });
    tokio::time::sleep(Duration::from_millis(20)).await;
    session.renew(&Credentials::token("ann")).await.unwrap();
    let ends = tokio::time::timeout(Duration::from_secs(5), waits).await.expect("it ends in time").unwrap();
    assert!(
        matches!(&ends, (Event::Expiring { .. }, Event::Closing(closing)) if closing.reason == CloseReason::Expired),
        "{ends:?}"
    );
}

#[tokio::test]
async fn a_busy_session_ends_when_its_credentials_expire() {
    let world = World::new();
    let chat = world.node(quiet());
    with_members(&chat, &["ann"]).await;
    let expiry = SystemClock.now().after(Duration::from_millis(80));
    let (ann, mut events) = chat.connect_as(Principal::new(user("ann")).with_expiry(expiry)).await.unwrap();
    ann.join(JoinRequest::new(room())).await.unwrap();
    ends_while_busy(&chat, &mut events).await;
    assert!(ann.actor().is_err());
}

#[tokio::test]
async fn a_busy_session_ends_with_new_credentials_that_expire_sooner() {
    let chat = World::new().builder(quiet()).auth(Momentary).build().unwrap();
    with_members(&chat, &["ann"]).await;
    let (ann, mut events) = chat.connect_as(Principal::new(user("ann"))).await.unwrap();
    ann.join(JoinRequest::new(room())).await.unwrap();
    joined(&mut events).await;
    ann.renew(&Credentials::token("ann")).await.unwrap();
    ends_while_busy(&chat, &mut events).await;
}

/// There is always something to say, and it ends within moments all the same.
async fn ends_while_busy(chat: &Chat, events: &mut SessionEvents) {
    let service = chat.system(user("service"));
    let latest = SystemClock.now().after(Momentary::TIME + Duration::from_secs(2));
    let closing = loop {
        // Two for one that is taken: it never has to wait.
        say(&service, "more").await;
        say(&service, "more").await;
        match next(events).await {
            Event::Closing(closing) => break closing,
            _ => assert!(SystemClock.now() < latest),
        }
    };
    assert_eq!(closing.reason, CloseReason::Expired);
}

/// Long before a call of the log is given up, or the next heartbeat.
#[tokio::test]
async fn new_credentials_that_expire_sooner_do_not_wait_for_a_log_that_hangs() {
    let world = World::new();
    let mut settings = quiet();
    settings.room_buffer_entries = 2;
    let log = CountingLog::new(world.store.message_log());
    let chat = world.builder(settings).log(log.clone()).auth(Momentary).build().unwrap();
    with_members(&chat, &["ann"]).await;
    let (ann, mut events) = chat.connect_as(Principal::new(user("ann"))).await.unwrap();
    ann.join(JoinRequest::new(room())).await.unwrap();
    joined(&mut events).await;
    let service = chat.system(user("service"));
    for _ in 0..20 {
        say(&service, "faster than ann reads").await;
    }
    log.hangs.store(true, Ordering::Relaxed);
    assert!(matches!(next(&mut events).await, Event::Resync { .. }));
    let waits = tokio::spawn(async move { (next(&mut events).await, next(&mut events).await) });
    tokio::time::sleep(Duration::from_millis(20)).await;
    ann.renew(&Credentials::token("ann")).await.unwrap();
    let ends = tokio::time::timeout(Duration::from_secs(3), waits).await.expect("it ends in time").unwrap();
    assert!(
        matches!(ends.1, Event::Closing(ref closing) if closing.reason == CloseReason::Expired),
        "{ends:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn new_credentials_do_not_have_the_log_read_again() {
    let world = World::new();
    let mut settings = quiet();
    settings.room_buffer_entries = 2;
    let log = CountingLog::new(world.store.message_log());
    let chat = world.node_with(settings, log.clone());
    with_members(&chat, &["ann"]).await;
    let (ann, mut events) = connect(&chat, "ann").await;
    ann.join(JoinRequest::new(room())).await.unwrap();
    joined(&mut events).await;
    let service = chat.system(user("service"));
    for _ in 0..20 {
        say(&service, "faster than ann reads").await;
    }
    log.hangs.store(true, Ordering::Relaxed);
    let before = log.reads.load(Ordering::Relaxed);
    let waits = tokio::spawn(async move { while events.next().await.is_some() {} });
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        ann.renew(&Credentials::token("ann")).await.unwrap();
    }
    assert_eq!(log.reads.load(Ordering::Relaxed), before + 1);
    waits.abort();
}

#[tokio::test(start_paused = true)]
async fn a_revocation_does_not_wait_for_a_log_that_hangs() {
    let world = World::new();
    let mut settings = quiet();
    settings.room_buffer_entries = 2;
    let log = CountingLog::new(world.store.message_log());
    let chat = world.node_with(settings, log.clone());
    with_members(&chat, &["ann"]).await;
    let (ann, mut events) = connect(&chat, "ann").await;
    ann.join(JoinRequest::new(room())).await.unwrap();
    joined(&mut events).await;
    let service = chat.system(user("service"));
    for _ in 0..20 {
        say(&service, "faster than ann reads").await;
    }
    log.hangs.store(true, Ordering::Relaxed);
    assert!(matches!(next(&mut events).await, Event::Resync { .. }));
    let scope = RevocationScope::IssuedBefore(Timestamp::from_secs(2_000));
    let until = Timestamp::from_secs(u64::from(u32::MAX));
    let revoking = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        chat.revoke(Revocation { user: user("ann"), scope, until }).await.unwrap();
        tokio::time::Instant::now()
    };
    let ended = async {
        loop {
            if let Event::Closing(closing) = next(&mut events).await {
                assert_eq!(closing.reason, CloseReason::Revoked);
                break tokio::time::Instant::now();
            }
        }
    };
    let (revoked, ended) = tokio::join!(revoking, ended);
    assert!(ended - revoked < Duration::from_secs(1));
}

#[tokio::test]
async fn new_credentials_let_a_session_go_on() {
    let world = World::new();
    let chat = world.node(quiet());
    let expiry = SystemClock.now().after(Duration::from_millis(80));
    let (session, mut events) =
        chat.connect_as(Principal::new(user("ann")).with_expiry(expiry)).await.unwrap();
    assert!(matches!(session.renew(&Credentials::token("bob")).await, Err(Error::Unauthenticated(_))));
    session.renew(&Credentials::token("ann")).await.unwrap();
    assert!(matches!(next(&mut events).await, Event::Expiring { .. }));
    let quiet = tokio::time::timeout(Duration::from_millis(200), events.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

#[tokio::test(start_paused = true)]
async fn the_oldest_of_too_many_sessions_is_replaced() {
    let world = World::new();
    let mut settings = quiet();
    settings.sessions_per_user = 2;
    let chat = world.node(settings);
    let (_first, mut first) = connect(&chat, "ann").await;
    let _second = connect(&chat, "ann").await;
    let _third = connect(&chat, "ann").await;
    let Event::Closing(closing) = next(&mut first).await else { panic!() };
    assert_eq!(closing.reason, CloseReason::Replaced);
}

async fn presence(chat: &Chat) -> UserPresence {
    tokio::time::sleep(Duration::from_millis(10)).await;
    chat.system(user("s")).presence(&[user("ann")]).await.unwrap().remove(0)
}

#[tokio::test(start_paused = true)]
async fn presence_follows_the_connections() {
    let world = World::new();
    let chat = world.node(quiet());
    let first = connect(&chat, "ann").await;
    let second = connect(&chat, "ann").await;
    let now = presence(&chat).await;
    assert_eq!((now.online, now.connections), (true, 2));
    drop(first);
    assert_eq!(presence(&chat).await.connections, 1);
    drop(second);
    let now = presence(&chat).await;
    assert_eq!((now.online, now.connections), (false, 0));
    assert!(now.last_seen.is_some());
}

#[tokio::test(start_paused = true)]
async fn draining_closes_sessions_with_a_window_and_takes_no_more() {
    let world = World::new();
    let chat = world.node(quiet());
    let (_ann, mut events) = connect(&chat, "ann").await;
    let draining = chat.clone();
    let drained =
        tokio::spawn(async move { draining.drain(Duration::from_secs(10), Duration::from_secs(5)).await });
    let Event::Closing(closing) = next(&mut events).await else { panic!() };
    assert_eq!(closing.reason, CloseReason::Draining);
    assert!(closing.reconnect_after.unwrap() <= Duration::from_secs(10));
    drop(events);
    drained.await.unwrap();
    assert!(matches!(chat.connect(&Credentials::token("bob")).await, Err(Error::Draining)));
    assert_eq!(presence(&chat).await.connections, 0);
}

#[tokio::test]
async fn the_builder_names_every_missing_part() {
    let error = Chat::builder().build().unwrap_err();
    let text = error.to_string();
    for part in ["log", "rooms", "fanout", "presence", "auth"] {
        assert!(text.contains(&format!(".{part}(")), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_engine_ends_with_its_last_handle() {
    let world = World::new();
    let chat = world.node(quiet());
    with_members(&chat, &["ann"]).await;
    let (ann, events) = connect(&chat, "ann").await;
    ann.join(JoinRequest::new(room())).await.unwrap();
    assert!(world.fanout.topics() > 0);
    drop((ann, events, chat));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.fanout.topics(), 0);
}
