//! What must be true once the faults are over and everything has come to rest.

use std::time::Duration;

use chat_core::{Cursor, Epoch, Presence, ReadQuery, RoomId, Seq, StoredMessage};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    client::{Client, Stage},
    world::World,
};

/// Long enough for every interval, lease and pause between tries.
const REST: Duration = Duration::from_secs(40);

pub(crate) async fn check_settled(
    world: &World,
    stage: watch::Sender<Stage>,
    clients: Vec<JoinHandle<Client>>,
) {
    sleep(REST).await;
    let heads = world.heads().await;
    check_presence(world, true).await;
    stage.send_replace(Stage::Done);
    let mut open = 0;
    for client in clients {
        let Ok(client) = timeout(REST, client).await else {
            world.history.violation("G5", "a client never came to an end".to_owned());
            continue;
        };
        let client = client.unwrap();
        open += usize::from(client.has_open_sends());
        for (room, (epoch, head, _)) in &heads {
            let there = Cursor::new(epoch.clone(), *head);
            let applied = client.applied.get(room);
            if applied != Some(&there) {
                let what = format!("{} has {room} up to {applied:?}, not {there:?}", client.user());
                world.history.violation("G5", what);
            }
        }
    }
    if open > 0 {
        world.history.violation("G1", format!("{open} clients never got an answer to a send"));
    }
    for (room, (epoch, head, oldest)) in &heads {
        let entries = whole_log(world, room, epoch, *oldest).await;
        world.history.check_log(room, epoch, *head, *oldest, &entries);
        check_unread(world, room, &entries).await;
    }
    check_presence(world, false).await;
    // Whoever is on a dead node is gone when its lease has run out.
    for _ in 0..50 {
        world.kill_node();
    }
    sleep(Duration::from_secs(5)).await;
    check_presence(world, false).await;
}

async fn whole_log(world: &World, room: &RoomId, epoch: &Epoch, oldest: Seq) -> Vec<StoredMessage> {
    let log = world.store.message_log();
    let mut entries: Vec<StoredMessage> = Vec::new();
    let mut cursor = Cursor::new(epoch.clone(), oldest.previous());
    loop {
        let page = log.read(room, ReadQuery::after(cursor.clone()).with_limit(1_000)).await.unwrap();
        let done = page.reaches_head;
        entries.extend(page.entries);
        match entries.last() {
            Some(last) if !done => cursor = last.position.cursor.clone(),
            _ => return entries,
        }
    }
}

/// Counts again what the store says is unread.
async fn check_unread(world: &World, room: &RoomId, entries: &[StoredMessage]) {
    let rooms = world.store.rooms();
    for marker in rooms.read_markers(room, None, 1_000).await.unwrap() {
        let unread = entries.iter().filter(|entry| {
            let counts = entry.is_countable() && entry.state.deleted.is_none();
            counts && entry.seq() > marker.cursor.seq && entry.sender != marker.user
        });
        let (counted, said) =
            (unread.count() as u64, rooms.unread(&marker.user, std::slice::from_ref(room)).await.unwrap()[0]);
        if counted != said {
            let what = format!("{} has {counted} unread in {room}, and the store says {said}", marker.user);
            world.history.violation("unread", what);
        }
    }
}

async fn check_presence(world: &World, online: bool) {
    if !online {
        // Closed connections are told of in the background, the dead ones run out.
        sleep(Duration::from_secs(5)).await;
    }
    for presence in world.presence.presence(&world.users).await.unwrap() {
        if presence.online != online {
            world.history.violation("G7", format!("{presence:?} should be online: {online}"));
        }
    }
}
