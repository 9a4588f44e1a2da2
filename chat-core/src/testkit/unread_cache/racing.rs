//! Counts that are asked for while everything they depend on changes.

use std::sync::Arc;

use super::watched::Watched;
use crate::{
    AppendOutcome, Content, MemberChange, MessageId, MessageLog as _, NewRoom, Retention, Role, RoomId,
    Rooms as _, UserId,
    testkit::{
        UnreadCacheHarness,
        fixtures::{about, draft, room, user},
    },
    unread::{CachedUnread, UnreadCache},
};

const USERS: [&str; 3] = ["ann", "bob", "cy"];
const ROOMS: [&str; 2] = ["r", "s"];
/// Each story is another one.
const STORIES: u64 = 40;
const STEPS: usize = 30;

type Node = Arc<CachedUnread<Arc<dyn UnreadCache>>>;

async fn world(caches: Vec<Arc<dyn UnreadCache>>) -> (Arc<Watched>, Vec<Node>) {
    let users: Vec<UserId> = USERS.map(user).to_vec();
    let watched = Arc::new(Watched::new(users, ROOMS.map(room).to_vec()));
    for name in ROOMS {
        watched.create(NewRoom::new(room(name))).await.unwrap();
        for member in USERS {
            let change = MemberChange::add(user(member), Role::Member);
            watched.change_member(&room(name), change).await.unwrap();
        }
    }
    let node = |cache| Arc::new(CachedUnread::new(watched.clone(), watched.clone(), cache));
    let nodes = caches.into_iter().map(node).collect();
    (watched, nodes)
}

async fn say(watched: &Watched, in_room: &str, sender: &str, client: &str) -> Option<MessageId> {
    let draft = draft(in_room, sender, client, "hello");
    match watched.append(&[draft]).await.unwrap().remove(0) {
        AppendOutcome::New(position) => Some(position.id),
        // They have left meanwhile.
        AppendOutcome::Refused(_) => None,
        other => panic!("{other:?}"),
    }
}

/// Says something, and takes some of it back, or has it trimmed.
async fn write(watched: Arc<Watched>, sender: &'static str, mut random: fastrand::Rng) {
    let mut said = Vec::new();
    for step in 0..STEPS {
        let of = ROOMS[random.usize(..ROOMS.len())];
        match random.u8(..8) {
            0..=4 => {
                let id = say(&watched, of, sender, &format!("{sender}{step}")).await;
                said.extend(id.map(|id| (of, id)));
            }
            5 | 6 if !said.is_empty() => {
                let (of, target) = said.swap_remove(random.usize(..said.len()));
                let delete = about(of, sender, &format!("{sender}-d{step}"), Content::Delete { target });
                watched.append(&[delete]).await.unwrap();
            }
            _ => {
                let retention = Retention { max_entries: Some(random.u64(5..15)), not_before: None };
                watched.trim(&room(of), retention).await.unwrap();
            }
        }
    }
}

/// Marks up to somewhere.
async fn mark(watched: Arc<Watched>, node: Node, reader: &'static str, mut random: fastrand::Rng) {
    for _ in 0..STEPS {
        let of = room(ROOMS[random.usize(..ROOMS.len())]);
        let mut cursor = watched.heads(std::slice::from_ref(&of)).await.unwrap().remove(0).unwrap().cursor;
        for _ in 0..random.u8(..3) {
            cursor.seq = cursor.seq.previous();
        }
        // They may have left.
        let _ = node.mark_read(&of, &user(reader), &cursor).await;
    }
}

async fn come_and_go(node: Node, who: &'static str, mut random: fastrand::Rng) {
    for step in 0..STEPS / 2 {
        let of = room(ROOMS[random.usize(..ROOMS.len())]);
        let change = match step % 2 {
            0 => MemberChange::remove(user(who)),
            _ => MemberChange::add(user(who), Role::Member),
        };
        node.change_member(&of, change).await.unwrap();
        tokio::task::yield_now().await;
    }
    for of in ROOMS {
        node.change_member(&room(of), MemberChange::add(user(who), Role::Member)).await.unwrap();
    }
}

/// Asks, and looks whether each count was right at some instant since it asked.
async fn ask(watched: Arc<Watched>, node: Node, who: usize, seed: u64) {
    let rooms: Vec<RoomId> = ROOMS.map(room).to_vec();
    for _ in 0..STEPS {
        let asked = watched.now();
        let counts = node.unread(&user(USERS[who]), &rooms).await.unwrap();
        let instants = watched.between(asked, watched.now());
        for (index, count) in counts.iter().enumerate() {
            let right: Vec<u64> = instants.iter().map(|instant| instant[who][index]).collect();
            assert!(
                right.contains(count),
                "story {seed}: {} was told {count} in {} while it was {right:?}",
                USERS[who],
                ROOMS[index],
            );
        }
    }
}

/// Writers, deletes, trims, marks, memberships and readers on three nodes, all at once.
pub async fn every_count_is_that_of_an_instant_of_its_call(harness: &dyn UnreadCacheHarness) {
    for seed in 0..STORIES {
        let (watched, nodes) = world(harness.nodes(3).await).await;
        let mut random = fastrand::Rng::with_seed(seed);
        let mut calls = Vec::new();
        for sender in ["ann", "cy"] {
            calls.push(tokio::spawn(write(watched.clone(), sender, random.fork())));
        }
        for number in 0..3 {
            let node = nodes[number].clone();
            calls.push(tokio::spawn(mark(watched.clone(), node, USERS[number % 2], random.fork())));
        }
        calls.push(tokio::spawn(come_and_go(nodes[0].clone(), "bob", random.fork())));
        calls.push(tokio::spawn(come_and_go(nodes[2].clone(), "cy", random.fork())));
        for (number, node) in nodes.iter().enumerate() {
            for who in [number, 1] {
                calls.push(tokio::spawn(ask(watched.clone(), node.clone(), who, seed)));
            }
        }
        for call in calls {
            call.await.unwrap();
        }
        let last = watched.between(watched.now(), watched.now()).remove(0);
        for (who, name) in USERS.into_iter().enumerate() {
            for node in &nodes {
                let counts = node.unread(&user(name), &ROOMS.map(room)).await.unwrap();
                assert_eq!(counts, last[who], "story {seed}: {name} at the end");
            }
        }
    }
}

/// Until something of it changes.
pub async fn what_is_known_is_not_counted_again(harness: &dyn UnreadCacheHarness) {
    let (watched, nodes) = world(harness.nodes(2).await).await;
    let (rooms, bob) = (ROOMS.map(room), user("bob"));
    let mut counted = watched.counted();
    let mut unread = async |expected: [u64; 2], more: usize| {
        for node in nodes.iter().chain(&nodes) {
            assert_eq!(node.unread(&bob, &rooms).await.unwrap(), expected);
        }
        counted += more;
        assert_eq!(watched.counted(), counted, "{expected:?}");
    };
    unread([0, 0], 2).await;
    let id = say(&watched, "r", "ann", "c1").await.unwrap();
    unread([1, 0], 1).await;
    say(&watched, "s", "ann", "c2").await.unwrap();
    say(&watched, "s", "ann", "c3").await.unwrap();
    unread([1, 2], 1).await;
    watched.append(&[about("r", "ann", "d", Content::Delete { target: id })]).await.unwrap();
    unread([0, 2], 1).await;
    watched.trim(&room("s"), Retention { max_entries: Some(1), not_before: None }).await.unwrap();
    unread([0, 1], 1).await;
    let head = watched.heads(&[room("s")]).await.unwrap().remove(0).unwrap();
    nodes[1].mark_read(&room("s"), &bob, &head.cursor).await.unwrap();
    unread([0, 0], 1).await;
    nodes[0].change_member(&room("r"), MemberChange::remove(bob.clone())).await.unwrap();
    unread([0, 0], 1).await;
}
