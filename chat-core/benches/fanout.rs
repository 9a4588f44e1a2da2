//! One event for 1,000 sessions of a node, against the bare minimum: a loop of 1,000 bounded `try_send`s of an `Arc`.
//!
//! `cargo bench -p chat-core --bench fanout`. The hub's share is the time of a send with 1,000 sessions less the time of the
//! same send with none; both sides are measured in turns, and the ratio is of their medians.
#![allow(clippy::unwrap_used, reason = "what cannot go on says why by panicking")]

mod support;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chat_core::{
    Broadcast, ClientMessageId, Content, Draft, Event, JoinRequest, SessionEvents, auth::Principal,
    memory::MemoryStore,
};
use tokio::sync::mpsc;

const SESSIONS: usize = 1_000;
const ROUNDS: usize = 300;
/// Events between two times that a session takes what waits for it.
const BURSTS: [usize; 2] = [1, 16];

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        println!(
            "one event for {SESSIONS} local sessions, medians of {ROUNDS} rounds; ratio = hub / bare loop"
        );
        for burst in BURSTS {
            let bare = bare(burst);
            let hub = hub(burst).await;
            print("hand over", burst, bare.0, hub.0);
            print("hand over and take", burst, bare.0 + bare.1, hub.0 + hub.1);
        }
    });
}

fn print(what: &str, burst: usize, bare: Duration, hub: Duration) {
    let per_session = |time: Duration| time.as_nanos() as f64 / (burst * SESSIONS) as f64;
    println!(
        "{what:<20} burst {burst:>2}: bare {:>6.1} ns, hub {:>6.1} ns per session, ratio {:.2}",
        per_session(bare),
        per_session(hub),
        hub.as_secs_f64() / bare.as_secs_f64()
    );
}

/// Times of handing over and of taking, for a bare loop.
fn bare(burst: usize) -> (Duration, Duration) {
    let (senders, mut receivers): (Vec<_>, Vec<_>) = (0..SESSIONS).map(|_| mpsc::channel(64)).unzip();
    let (mut give, mut take) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let events: Vec<_> = (0..burst).map(|n| Arc::new(Broadcast::new(n))).collect();
        give.push(support::timed(|| {
            for event in &events {
                for sender in &senders {
                    sender.try_send(event.clone()).unwrap();
                }
            }
        }));
        take.push(support::timed(|| {
            for receiver in &mut receivers {
                while let Ok(event) = receiver.try_recv() {
                    drop(std::hint::black_box(event));
                }
            }
        }));
    }
    (support::median(give), support::median(take))
}

/// The same for the hub.
async fn hub(burst: usize) -> (Duration, Duration) {
    let store = MemoryStore::new();
    let chat = support::builder(&store).build().unwrap();
    let user = support::user("ann");
    // Room 0 has the sessions, room 1 has none: the difference is the hub's.
    support::rooms(&chat, 2, std::slice::from_ref(&user)).await;
    let mut sessions: Vec<SessionEvents> = Vec::new();
    for _ in 0..SESSIONS {
        let (session, events) = chat.connect_as(Principal::new(user.clone())).await.unwrap();
        session.join(JoinRequest::new(support::room(0))).await.unwrap();
        sessions.push(events);
    }
    drain(&mut sessions);
    let (mut with, mut without, mut take) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (room, times) in [(0, &mut with), (1, &mut without)] {
            let mut time = Duration::ZERO;
            for _ in 0..burst {
                let content = Content::text("a message of an ordinary length, as people write them");
                let draft =
                    Draft::new(support::room(room), user.clone(), ClientMessageId::generate(), content);
                let start = Instant::now();
                chat.append(draft).await.unwrap();
                time += start.elapsed();
            }
            times.push(time);
        }
        let mut taken = 0;
        take.push(support::timed(|| taken = drain(&mut sessions)));
        assert_eq!(taken, burst * SESSIONS);
    }
    let give = support::median(with).saturating_sub(support::median(without));
    (give, support::median(take))
}

/// Takes what waits; counts the entries.
fn drain(sessions: &mut [SessionEvents]) -> usize {
    let mut entries = 0;
    for events in sessions {
        while let Some(event) = events.try_next() {
            entries += usize::from(matches!(std::hint::black_box(event), Event::Entry(_)));
        }
    }
    entries
}
