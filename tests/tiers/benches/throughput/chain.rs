//! From a send at one node to a session at another one, and into PostgreSQL.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use chat_backend_postgres::{PostgresBackend, PostgresConfig};
use chat_core::{
    Body, Chat, ClientMessageId, Content, Event, JoinRequest, RoomId, Seq,
    auth::Credentials,
    tiered::{Archive, TieredSettings},
};
use chat_test_services::Postgres;

use crate::stage::{BYTES, Stage, create_rooms, reader, room, system};

const ROOMS: usize = 200;
const SECONDS: u64 = 15;
/// Messages a second. The first one is for as many as go.
const RATES: [u64; 3] = [14_000, 10_000, 5_000];

pub(crate) async fn report() {
    let database = Postgres::shared().await.unwrap().database().await.unwrap();
    println!(
        "two nodes, {ROOMS} rooms with a session each at the other node, PostgreSQL that waits for its disk:"
    );
    for (number, rate) in RATES.into_iter().enumerate() {
        let config = PostgresConfig::from_url(database.url()).unwrap().with_schema(format!("chain_{number}"));
        let postgres = PostgresBackend::connect(config).await.unwrap();
        let stage = Stage::new(&postgres, postgres.archive(), TieredSettings::default()).await;
        let (here, there) = (stage.node().await, stage.node().await);
        create_rooms(&here, ROOMS).await;
        // Rooms are opened by their first message.
        for number in 0..ROOMS {
            let id = ClientMessageId::generate();
            here.system(system()).send_text(&room(number), id, "hello").await.unwrap();
        }
        let readers = read(&there).await;
        let archive = follow(postgres.archive());
        let sent = send(here, rate).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let (heard, archived) = (readers.end().await, archive.ages(&sent.messages).await);
        let seconds = sent.took.as_secs_f64();
        println!(
            "  {rate:>6} /s wanted: {:>6.0} /s sent, {} of {} heard and {} archived; answered p50 {} p99 {}, heard p50 {} p99 {}, in the \
             database p50 {} p99 {}",
            sent.answered.len() as f64 / seconds,
            heard.len(),
            sent.answered.len(),
            archived.len(),
            at(&sent.answered, 50),
            at(&sent.answered, 99),
            at(&heard, 50),
            at(&heard, 99),
            at(&archived, 50),
            at(&archived, 99),
        );
    }
}

fn at(times: &[Duration], percent: usize) -> String {
    let mut times = times.to_vec();
    times.sort_unstable();
    let place = times.get(times.len().saturating_sub(1) * percent / 100);
    place.map_or_else(|| "-".to_owned(), |time| format!("{:.1} ms", time.as_secs_f64() * 1_000.0))
}

fn since_1970() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap()
}

struct Sent {
    took: Duration,
    answered: Vec<Duration>,
    messages: Vec<Message>,
}

struct Message {
    room: usize,
    seq: Seq,
    /// Since 1970.
    due: Duration,
}

/// Sends at a rate, whether or not earlier ones are answered. Each message says when it was due.
async fn send(chat: Chat, rate: u64) -> Sent {
    let (begun, began_at) = (Instant::now(), since_1970());
    let mut tasks = Vec::new();
    for number in 0..rate * SECONDS {
        let due = Duration::from_nanos(number * 1_000_000_000 / rate);
        let early = due.saturating_sub(begun.elapsed());
        if !early.is_zero() {
            tokio::time::sleep(early).await;
        }
        let system = chat.system(system());
        let mut text = format!("{} ", (began_at + due).as_micros());
        text.extend(std::iter::repeat_n('x', BYTES.saturating_sub(text.len())));
        tasks.push(tokio::spawn(async move {
            let number = usize::try_from(number).unwrap() % ROOMS;
            // One that is refused since too much waits is sent again, and counts from when it was due.
            let id = ClientMessageId::generate();
            let seq = loop {
                match system.send_text(&room(number), id.clone(), &text).await {
                    Ok(sent) => break sent.position.unwrap().cursor.seq,
                    Err(error) => assert!(error.is_retryable(), "{error}"),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            };
            (begun.elapsed().saturating_sub(due), Message { room: number, seq, due: began_at + due })
        }));
    }
    let (mut answered, mut messages) = (Vec::new(), Vec::new());
    for task in tasks {
        let (time, message) = task.await.unwrap();
        answered.push(time);
        messages.push(message);
    }
    Sent { took: begun.elapsed(), answered, messages }
}

/// What goes on in the background until it is ended, and answers times.
struct Background {
    done: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Vec<Duration>>>,
}

impl Background {
    async fn end(self) -> Vec<Duration> {
        self.done.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for task in self.tasks {
            all.extend(task.await.unwrap());
        }
        all
    }
}

/// A session in each room.
async fn read(chat: &Chat) -> Background {
    let done = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for number in 0..ROOMS {
        let credentials = Credentials::token(reader(number).to_string());
        let (session, mut events) = chat.connect(&credentials).await.unwrap();
        session.join(JoinRequest::new(room(number))).await.unwrap();
        while !matches!(events.next().await.unwrap(), Event::Joined(_)) {}
        let done = Arc::clone(&done);
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let next = tokio::time::timeout(Duration::from_millis(200), events.next()).await;
                let Ok(Some(Event::Entry(entry))) = next else { continue };
                let Content::Chat { body: Body::Text(text) } = &entry.value().content else { continue };
                let due = text.split(' ').next().and_then(|due| due.parse().ok()).map(Duration::from_micros);
                times.extend(due.map(|due| since_1970().saturating_sub(due)));
            }
            drop(session);
            times
        }));
    }
    Background { done, tasks }
}

/// What a look at the archive found: when it was over, and each room's head.
struct Look {
    at: Duration,
    heads: Vec<Seq>,
}

/// Looks at the archive every few milliseconds.
struct Looks {
    done: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<Vec<Look>>,
}

fn follow(archive: Arc<dyn Archive>) -> Looks {
    let done = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&done);
    let task = tokio::spawn(async move {
        let rooms: Vec<RoomId> = (0..ROOMS).map(room).collect();
        let mut looks = Vec::new();
        while !ended.load(Ordering::Relaxed) {
            let known = archive.rooms(&rooms).await.unwrap();
            let heads = known.into_iter().map(|known| known.unwrap().head.cursor.seq).collect();
            looks.push(Look { at: since_1970(), heads });
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        looks
    });
    Looks { done, task }
}

impl Looks {
    /// How long after it was due each message was seen in the archive.
    async fn ages(self, sent: &[Message]) -> Vec<Duration> {
        self.done.store(true, Ordering::Relaxed);
        let looks = self.task.await.unwrap();
        let seen = |message: &Message| {
            let first = looks.partition_point(|look| look.heads[message.room] < message.seq);
            Some(looks.get(first)?.at.saturating_sub(message.due))
        };
        sent.iter().filter_map(seen).collect()
    }
}
