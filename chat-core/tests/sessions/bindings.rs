//! What a session is bound to has one session at a time, on all nodes together.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chat_core::{
    Backend, Chat, ConnectionId, Error, Event, Fanout, Principal, Result, Retry, Session, SessionEvents,
    Settings,
    auth::{AuthError, Binding, BindingClaim, BindingPolicy, SessionBindings},
    fanout::{Publication, Subscription, Topic},
    memory::{MemoryBindings, MemoryFanout},
    session::CloseReason,
};
use tokio::time::{Instant, sleep, timeout};

use crate::world::{World, quiet, user};

fn bound(name: &str, to: &str) -> Principal {
    Principal::new(user(name)).with_binding(to)
}

fn nodes(world: &World, settings: &Settings) -> [Chat; 2] {
    let bindings = MemoryBindings::new();
    [(); 2].map(|()| world.builder(settings.clone()).bindings(bindings.clone()).build().unwrap())
}

async fn connect(chat: &Chat, principal: Principal) -> (Session, SessionEvents) {
    chat.connect_as(principal).await.unwrap()
}

/// Lets everything happen that does not wait for a timer.
async fn settle() {
    sleep(Duration::from_millis(50)).await;
}

async fn closing(events: &mut SessionEvents) -> CloseReason {
    loop {
        // Longer than until the next time that sessions are asked about.
        match timeout(Duration::from_secs(60), events.next()).await.expect("an event in time").unwrap() {
            Event::Closing(closing) => return closing.reason,
            Event::Notice(_) | Event::NoticesLost | Event::Heads(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn stays_open(events: &mut SessionEvents) {
    let open = timeout(Duration::from_secs(2), closing(events)).await;
    assert!(open.is_err(), "ended as {open:?}");
}

fn older_stays() -> Settings {
    let mut settings = quiet();
    settings.binding_policy = BindingPolicy::OlderStays;
    settings
}

#[tokio::test(start_paused = true)]
async fn the_newer_of_two_sessions_with_one_binding_ends_the_older_within_a_second_on_any_node() {
    let world = World::new();
    let [a, b] = nodes(&world, &quiet());
    let (_first, mut first) = connect(&a, bound("ann", "p1")).await;
    let (_other, mut other) = connect(&a, bound("ann", "p2")).await;
    let (_bob, mut bob) = connect(&b, bound("bob", "p1")).await;
    let (_plain, mut plain) = connect(&a, Principal::new(user("ann"))).await;
    settle().await;
    // From the other node, and then from the same.
    for node in [&b, &b] {
        let begun = Instant::now();
        let (_session, newer) = connect(node, bound("ann", "p1")).await;
        assert_eq!(closing(&mut first).await, CloseReason::Superseded);
        assert!(begun.elapsed() < Duration::from_secs(1));
        assert!(first.next().await.is_none());
        first = newer;
        settle().await;
    }
    stays_open(&mut first).await;
    stays_open(&mut other).await;
    stays_open(&mut bob).await;
    stays_open(&mut plain).await;
}

#[tokio::test(start_paused = true)]
async fn where_the_older_stays_the_newer_is_refused_until_it_ends() {
    let world = World::new();
    let [a, b] = nodes(&world, &older_stays());
    let (_first, mut first) = connect(&a, bound("ann", "p1")).await;
    settle().await;
    for node in [&a, &b] {
        let refused = node.connect_as(bound("ann", "p1")).await;
        assert!(matches!(refused, Err(Error::Unauthenticated(AuthError::InUse))), "{refused:?}");
    }
    // Held for as long as it lasts, however long that is.
    sleep(Duration::from_secs(600)).await;
    assert!(b.connect_as(bound("ann", "p1")).await.is_err());
    assert!(first.try_next().is_none_or(|event| !matches!(event, Event::Closing(_))));
    drop(first);
    settle().await;
    let (_second, second) = connect(&b, bound("ann", "p1")).await;
    // Whoever is asked to come back elsewhere is let in there.
    let drained = tokio::spawn(async move { closing_of(second).await });
    b.drain(Duration::ZERO, Duration::from_secs(5)).await;
    assert_eq!(drained.await.unwrap(), CloseReason::Draining);
    connect(&a, bound("ann", "p1")).await;
}

async fn closing_of(mut events: SessionEvents) -> CloseReason {
    closing(&mut events).await
}

/// Carries nothing.
#[derive(Debug)]
struct Deaf(MemoryFanout);

#[async_trait]
impl Backend for Deaf {
    fn name(&self) -> &'static str {
        "deaf"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Fanout for Deaf {
    async fn publish(&self, _: &[Publication]) -> Result<()> {
        Ok(())
    }

    async fn subscribe(&self, topic: &Topic) -> Result<Subscription> {
        self.0.subscribe(topic).await
    }
}

#[tokio::test(start_paused = true)]
async fn an_older_session_that_nobody_told_finds_out_when_it_asks() {
    let (world, bindings) = (World::new(), MemoryBindings::new());
    let node = || {
        let fanout = Deaf(MemoryFanout::new());
        world.builder(quiet()).fanout(fanout).bindings(bindings.clone()).build().unwrap()
    };
    let (a, b) = (node(), node());
    let (_first, mut first) = connect(&a, bound("ann", "p1")).await;
    settle().await;
    let (_second, mut second) = connect(&b, bound("ann", "p1")).await;
    let begun = Instant::now();
    assert_eq!(closing(&mut first).await, CloseReason::Superseded);
    assert!(begun.elapsed() <= quiet().recheck_interval + Duration::from_secs(1), "{:?}", begun.elapsed());
    stays_open(&mut second).await;
}

/// Fails as told.
#[derive(Debug)]
struct Failing(MemoryBindings, Arc<AtomicBool>);

#[async_trait]
impl Backend for Failing {
    fn name(&self) -> &'static str {
        "failing"
    }

    async fn health(&self) -> Result<()> {
        if self.1.load(Ordering::Relaxed) {
            return Err(Error::backend("failing", "test", Retry::Later, "down"));
        }
        Ok(())
    }
}

#[async_trait]
impl SessionBindings for Failing {
    async fn claim(
        &self,
        binding: &Binding,
        connection: &ConnectionId,
        policy: BindingPolicy,
        time_to_live: Duration,
    ) -> Result<BindingClaim> {
        self.health().await?;
        self.0.claim(binding, connection, policy, time_to_live).await
    }

    async fn release(&self, binding: &Binding, connection: &ConnectionId) -> Result<()> {
        self.health().await?;
        self.0.release(binding, connection).await
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_store_nobody_with_a_binding_is_let_in_and_nobody_is_put_out() {
    let (world, down) = (World::new(), Arc::new(AtomicBool::new(false)));
    let bindings = Failing(MemoryBindings::new(), down.clone());
    let chat = world.builder(older_stays()).bindings(bindings).build().unwrap();
    let (_ann, mut ann) = connect(&chat, bound("ann", "p1")).await;
    down.store(true, Ordering::Relaxed);
    let refused = chat.connect_as(bound("bob", "p2")).await;
    assert!(matches!(refused, Err(Error::Backend { backend: "failing", .. })), "{refused:?}");
    let health = chat.health().await;
    let parts: Vec<_> = health.parts.iter().filter(|part| part.error.is_some()).collect();
    assert!(parts.len() == 1 && parts[0].part == "bindings", "{health:?}");
    connect(&chat, Principal::new(user("cy"))).await;
    sleep(Duration::from_secs(600)).await;
    stays_open(&mut ann).await;
    down.store(false, Ordering::Relaxed);
    // Renewed before anybody else can take it.
    sleep(quiet().recheck_interval).await;
    assert!(chat.connect_as(bound("ann", "p1")).await.is_err());
    assert_eq!(chat.session_count(), 1, "those who were refused left nothing");
}
