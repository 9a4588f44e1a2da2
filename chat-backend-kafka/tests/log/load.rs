//! Writers, and whether the store has what they were answered.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use chat_core::{
    AppendOutcome, Body, Content, MemberChange, MessageLog, NewRoom, Role, RoomId, Rooms,
    testkit::fixtures::{client_id, draft, room, user},
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::history::{Told, whole};

/// Longer than any of the faults lasts.
const PATIENCE: Duration = Duration::from_secs(60);

/// Some writers, each in a room of its own or in one that several share.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicUsize>,
    writers: JoinSet<(Writer, usize)>,
}

#[derive(Debug, Clone)]
struct Writer {
    room: String,
    name: String,
}

/// How many messages of each writer were accepted.
pub(crate) struct Accepted(Vec<(Writer, usize)>);

fn writers(rooms: usize, count: usize) -> Vec<Writer> {
    (0..count).map(|n| Writer { room: format!("r{}", n % rooms), name: format!("w{n}") }).collect()
}

/// Makes the rooms, with their members.
pub(crate) async fn make_rooms(rooms: &Arc<dyn Rooms>, count: usize, writing: usize) {
    for n in 0..count {
        rooms.create(NewRoom::new(room(&format!("r{n}")))).await.unwrap();
    }
    for writer in writers(count, writing) {
        let change = MemberChange::add(user(&writer.name), Role::Member);
        rooms.change_member(&room(&writer.room), change).await.unwrap();
    }
}

impl Load {
    /// Each writes one message after the other, and repeats one until it is accepted or stored.
    pub(crate) fn start(logs: &[Arc<dyn MessageLog>], rooms: usize, count: usize, pause: Duration) -> Self {
        let (stop, all) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut running = JoinSet::new();
        for (n, writer) in writers(rooms, count).into_iter().enumerate() {
            let (log, stop, all) = (Arc::clone(&logs[n % logs.len()]), Arc::clone(&stop), Arc::clone(&all));
            running.spawn(async move {
                let mut accepted = 0;
                while !stop.load(Ordering::Relaxed) {
                    send(&*log, &writer, accepted).await;
                    accepted += 1;
                    all.fetch_add(1, Ordering::Relaxed);
                    sleep(pause).await;
                }
                (writer, accepted)
            });
        }
        Self { stop, accepted: all, writers: running }
    }

    /// Waits until so many more were accepted.
    pub(crate) async fn go_on(&self, more: usize) {
        let wanted = self.accepted.load(Ordering::Relaxed) + more;
        let written = async {
            while self.accepted.load(Ordering::Relaxed) < wanted {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, written).await.expect("sends are accepted");
    }

    pub(crate) async fn stop(self) -> Accepted {
        self.stop.store(true, Ordering::Relaxed);
        Accepted(self.writers.join_all().await)
    }
}

/// By which a writer's message is known.
fn name(number: usize) -> String {
    format!("c{number}")
}

async fn send(log: &dyn MessageLog, writer: &Writer, number: usize) {
    let draft = draft(&writer.room, &writer.name, &name(number), &number.to_string());
    let begun = Instant::now();
    loop {
        let append = timeout(PATIENCE, log.append(std::slice::from_ref(&draft))).await;
        let outcomes =
            append.unwrap_or_else(|_| panic!("{writer:?} {number}: no answer within {PATIENCE:?}"));
        match outcomes {
            Ok(outcomes) => match &outcomes[0] {
                AppendOutcome::Accepted | AppendOutcome::New(_) | AppendOutcome::Duplicate(_) => return,
                other => panic!("{writer:?} {number}: {other:?}"),
            },
            Err(error) if error.is_retryable() && begun.elapsed() < PATIENCE => {
                sleep(Duration::from_millis(50)).await
            }
            Err(error) => panic!("{writer:?} {number}: {}", error.with_causes()),
        }
    }
}

impl Accepted {
    /// Whether the store has as many messages as were accepted.
    pub(crate) async fn are_stored(&self, log: &dyn MessageLog) -> bool {
        let mut stored = 0;
        for room in self.rooms() {
            stored += log.heads(&[room]).await.unwrap()[0].clone().unwrap().cursor.seq.get();
        }
        stored >= self.0.iter().map(|(_, accepted)| *accepted as u64).sum()
    }

    /// How many of each writer's messages are stored of those that were accepted, where it is not all.
    pub(crate) async fn missing(&self, log: &dyn MessageLog) -> Vec<String> {
        let mut missing = Vec::new();
        for (writer, accepted) in &self.0 {
            let texts = texts(log, &room(&writer.room)).await;
            let stored: BTreeSet<&str> =
                texts.iter().filter(|(sender, _)| *sender == writer.name).map(|(_, text)| &**text).collect();
            let missing_of: Vec<usize> =
                (0..*accepted).filter(|number| !stored.contains(&*number.to_string())).collect();
            if !missing_of.is_empty() {
                let (name, room) = (&writer.name, &writer.room);
                missing.push(format!("{name} in {room}: of {accepted} not {missing_of:?}"));
            }
        }
        missing
    }

    /// Each message that was accepted is stored once, the messages of each writer in their order, and nothing else is.
    pub(crate) async fn check(&self, log: &dyn MessageLog) {
        let mut next: BTreeMap<(RoomId, String), usize> = BTreeMap::new();
        for room in self.rooms() {
            for (sender, text) in texts(log, &room).await {
                let next = next.entry((room.clone(), sender.clone())).or_default();
                assert_eq!(text, next.to_string(), "the next message of {sender} in {room}");
                *next += 1;
            }
        }
        let told = Told::of(log, self.rooms()).await;
        for (writer, accepted) in &self.0 {
            let stored = next.get(&(room(&writer.room), writer.name.clone())).copied().unwrap_or_default();
            assert_eq!(stored, *accepted, "of {writer:?}");
            for number in 0..*accepted {
                told.accepted(&room(&writer.room), &user(&writer.name), &client_id(&name(number)));
            }
        }
        told.holds();
    }

    fn rooms(&self) -> Vec<RoomId> {
        let mut rooms: Vec<_> = self.0.iter().map(|(writer, _)| room(&writer.room)).collect();
        rooms.sort();
        rooms.dedup();
        rooms
    }
}

/// Sender and text of everything in a room.
pub(crate) async fn texts(log: &dyn MessageLog, room: &RoomId) -> Vec<(String, String)> {
    let entries = whole(log, room).await.into_iter();
    let texts = entries.map(|entry| match &entry.content {
        Content::Chat { body: Body::Text(text) } => (entry.sender.to_string(), text.to_string()),
        other => panic!("{other:?}"),
    });
    texts.collect()
}
