//! Many come back at once: all join, some break off, the rooms go on, and those come back together from where they were.

use std::{cell::RefCell, fmt, rc::Rc, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _, future::join_all, stream};
use serde::Serialize;
use tokio::{
    sync::{Semaphore, mpsc},
    task::{JoinHandle, spawn_local},
    time::{Instant, sleep, timeout},
};

use crate::{
    connection::{Connection, Shared},
    http,
    ledger::{Faults, Ledger, Receiver},
    places::{Place, Tokens},
    process,
    protocol::{Opened, Protocol, Seat},
    schedule::{self, Sender},
    stats::{Clock, Percentiles, Stats, Times},
};

/// Connections that begin at the same time at first. Those that come back all do so at once.
const OPENING: usize = 64;

/// What happens.
#[derive(Debug, Clone)]
pub struct Storm {
    /// What the server speaks; positions must be known in it.
    pub protocol: Protocol,
    /// Where it is.
    pub server: String,
    /// Rooms with who is in them; the first of each room sends, the last ones break off.
    pub places: Vec<Place>,
    /// How many of each room break off.
    pub away_per_room: usize,
    /// Messages that they miss in their room.
    pub missed: usize,
    /// Bytes of a text.
    pub size: usize,
    /// Before memory is read, and before they come back.
    pub settle: Duration,
    /// How long they may take to have everything.
    pub patience: Duration,
    /// Processes whose memory is the server's.
    pub pids: Vec<u32>,
    /// Where the server's metrics are, to count how often it read its log.
    pub metrics: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Connections in all.
    pub connections: usize,
    /// Rooms.
    pub rooms: usize,
    /// Those that came back.
    pub returned: usize,
    /// Messages that each of them missed.
    pub missed: usize,
    /// Those that had everything in time.
    pub complete: usize,
    /// From when all set out until each had everything, in ms.
    pub caught_up: Percentiles,
    /// Of all connections.
    pub faults: Faults,
    /// Pages that the server read from its log for them, for each room.
    pub reads_per_room: Option<f64>,
    /// Bytes for each connection that does nothing.
    pub memory_per_connection: Option<f64>,
}

impl Outcome {
    /// Some came back, all of them had everything in time, and nobody got anything twice or in another order.
    #[must_use]
    pub fn is_flawless(&self) -> bool {
        self.missed > 0
            && self.returned > 0
            && self.complete == self.returned
            && self.faults == Faults::default()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, rooms, returned, missed, complete, .. } = self;
        writeln!(
            f,
            "{connections} connections in {rooms} rooms; {returned} came back at once, each having missed {missed} messages"
        )?;
        let Percentiles { p50, p90, p99, max, .. } = self.caught_up;
        writeln!(
            f,
            "  caught up   {complete} of {returned}: p50 {p50:.0} ms, p90 {p90:.0} ms, p99 {p99:.0} ms, the last after {max:.0} ms"
        )?;
        let Faults { lost, repeated, disordered } = self.faults;
        writeln!(f, "  faults      lost {lost}, repeated {repeated}, out of order {disordered}")?;
        if let Some(reads) = self.reads_per_room {
            writeln!(f, "  reads       {reads:.2} pages of the log for each room")?;
        }
        if let Some(memory) = self.memory_per_connection {
            writeln!(f, "  memory      {:.1} KiB for each idle connection", memory / 1_024.0)?;
        }
        Ok(())
    }
}

struct Client {
    seat: Seat,
    room: u32,
    index: usize,
    position: Option<String>,
    ledger: Rc<RefCell<Ledger>>,
    receiver: Rc<RefCell<Receiver>>,
    task: JoinHandle<()>,
}

/// Runs it. Must be on a [`LocalSet`](tokio::task::LocalSet).
///
/// # Errors
/// A connection could not be opened or did not join, a message was refused, or the metrics are not there.
pub async fn run(storm: &Storm, tokens: &Tokens) -> Result<Outcome> {
    ensure!(
        storm.places.iter().all(|place| place.users.len() > storm.away_per_room),
        "somebody must stay in each room"
    );
    let before = process::usage(&storm.pids)?;
    let shared = Rc::new(Shared {
        protocol: storm.protocol.clone(),
        clock: Clock::start(),
        stats: RefCell::new(Stats::default()),
    });
    let (mut clients, senders) = open(storm, tokens, &shared).await?;
    sleep(storm.settle).await;
    let idle = process::usage(&storm.pids)?;
    let connections = clients.len();
    let memory = idle.memory.saturating_sub(before.memory) as f64 / connections as f64;

    let is_away = |client: &Client| {
        let here = storm.places[client.room as usize].users.len() - storm.away_per_room;
        client.index >= here
    };
    let (away, here): (Vec<_>, Vec<_>) = clients.drain(..).partition(is_away);
    // Without a word, as when a network goes away.
    away.iter().for_each(|client| client.task.abort());
    let answered = schedule::all_answered(&senders, storm.missed);
    timeout(storm.patience.saturating_mul(2), answered).await.context("messages are not answered")?;
    until_complete(&here, storm.patience).await;
    let troubles = shared.stats.borrow().troubles.clone();
    if let Some(trouble) = troubles.first() {
        bail!("while they were away: {trouble}");
    }
    sleep(storm.settle).await;

    let reads = reads(storm).await?;
    let set_out = Instant::now();
    let returned = away.len();
    let back = away.into_iter().map(|client| come_back(client, &shared, storm.patience));
    let (clients, times): (Vec<_>, Vec<_>) =
        join_all(back).await.into_iter().collect::<Result<Vec<_>>>()?.into_iter().unzip();
    let mut caught_up = Times::default();
    let complete = times.iter().flatten().count();
    times.into_iter().flatten().for_each(|at| caught_up.record(at.duration_since(set_out)));
    let reads_per_room = match (reads, self::reads(storm).await?) {
        (Some(before), Some(after)) => Some((after - before) / storm.places.len() as f64),
        _ => None,
    };
    let mut faults = Faults::default();
    for client in here.iter().chain(&clients) {
        faults += client.ledger.borrow().faults(&client.receiver.borrow());
        client.task.abort();
    }
    Ok(Outcome {
        connections,
        rooms: storm.places.len(),
        returned,
        missed: storm.missed,
        complete,
        caught_up: caught_up.summary(),
        faults,
        reads_per_room,
        memory_per_connection: (!storm.pids.is_empty()).then_some(memory),
    })
}

async fn open(storm: &Storm, tokens: &Tokens, shared: &Rc<Shared>) -> Result<(Vec<Client>, Vec<Sender>)> {
    let (mut senders, mut seats) = (Vec::new(), Vec::new());
    let run: Rc<str> = format!("{:08x}", fastrand::u32(..)).into();
    for (room, place) in storm.places.iter().enumerate() {
        let room = u32::try_from(room)?;
        let ledger = Rc::new(RefCell::new(Ledger::default()));
        for (index, user) in place.users.iter().enumerate() {
            let (send, frames) = mpsc::channel(16);
            let permits = Rc::new(Semaphore::new(0));
            if index == 0 {
                senders.push(Sender {
                    shared: shared.clone(),
                    run: run.clone(),
                    room,
                    room_name: place.room.as_str().into(),
                    index,
                    ledger: ledger.clone(),
                    frames: send,
                    permits: permits.clone(),
                    size: storm.size,
                });
            }
            let seat =
                Seat { server: storm.server.clone(), token: tokens.of(user)?, room: place.room.clone() };
            let (shared, ledger, receiver) = (shared.clone(), ledger.clone(), Rc::default());
            seats.push((seat, Connection { shared, room, index, ledger, receiver, permits }, frames));
        }
    }
    let opening = seats.into_iter().map(|(seat, connection, frames)| async move {
        let mut opened =
            storm.protocol.open(&seat, None).await.with_context(|| format!("into {}", seat.room))?;
        let position = opened.position.take();
        let (room, index) = (connection.room, connection.index);
        let (ledger, receiver) = (connection.ledger.clone(), connection.receiver.clone());
        let task = spawn_local(connection.drive(opened, frames));
        anyhow::Ok(Client { seat, room, index, position, ledger, receiver, task })
    });
    let clients = stream::iter(opening).buffer_unordered(OPENING).try_collect().await?;
    Ok((clients, senders))
}

async fn until_complete(clients: &[Client], patience: Duration) {
    let deadline = Instant::now() + patience;
    let missing =
        || clients.iter().any(|client| !client.ledger.borrow().is_complete(&client.receiver.borrow()));
    while missing() && Instant::now() < deadline {
        sleep(Duration::from_millis(100)).await;
    }
}

/// Connects again from its position; when it had everything, if it did in time.
async fn come_back(
    client: Client,
    shared: &Rc<Shared>,
    patience: Duration,
) -> Result<(Client, Option<Instant>)> {
    let Client { seat, room, index, position, ledger, receiver, .. } = client;
    let position = position.context("a server that gives no positions cannot be come back to")?;
    let deadline = Instant::now() + patience;
    let opened: Opened = shared.protocol.open(&seat, Some(&position)).await.context("coming back")?;
    let (_, frames) = mpsc::channel(1);
    let connection = Connection {
        shared: shared.clone(),
        room,
        index,
        ledger: ledger.clone(),
        receiver: receiver.clone(),
        permits: Rc::new(Semaphore::new(0)),
    };
    let task = spawn_local(connection.drive(opened, frames));
    let mut complete = None;
    while complete.is_none() && Instant::now() < deadline {
        if ledger.borrow().is_complete(&receiver.borrow()) {
            complete = Some(Instant::now());
        } else {
            sleep(Duration::from_millis(2)).await;
        }
    }
    Ok((Client { seat, room, index, position: Some(position), ledger, receiver, task }, complete))
}

/// How often the server has read its log so far.
async fn reads(storm: &Storm) -> Result<Option<f64>> {
    let Some(url) = &storm.metrics else { return Ok(None) };
    let (_, answer) = http::get(url).await?;
    count_reads(&answer).map(Some).with_context(|| format!("no metrics at {url}"))
}

fn count_reads(metrics: &str) -> Option<f64> {
    let of_log = |line: &&str| {
        line.starts_with("chat_operation_duration_seconds_count{")
            && line.contains("kind=\"message_log\"")
            && line.contains("operation=\"read\"")
    };
    // Each message was appended, at least: without that the name is another one.
    let is_there = metrics.contains("kind=\"message_log\"");
    let values =
        metrics.lines().filter(of_log).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    is_there.then(|| values.sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_twice_or_in_another_order_is_a_fault_though_nothing_is_missing() {
        let outcome = |returned, complete, faults| Outcome {
            connections: 4,
            rooms: 1,
            returned,
            missed: 3,
            complete,
            caught_up: Percentiles::default(),
            faults,
            reads_per_room: None,
            memory_per_connection: None,
        };
        let none = Faults::default();
        assert!(outcome(2, 2, none).is_flawless());
        assert!(!outcome(2, 1, none).is_flawless());
        assert!(!outcome(2, 2, Faults { repeated: 1, ..none }).is_flawless());
        assert!(!outcome(2, 2, Faults { disordered: 1, ..none }).is_flawless());
        assert!(!outcome(0, 0, none).is_flawless());
    }

    #[test]
    fn only_reads_of_the_log_count() {
        let of = |kind, operation, n| {
            format!(
                "chat_operation_duration_seconds_count{{backend=\"memory\",kind=\"{kind}\",operation=\"{operation}\"}} {n}\n"
            )
        };
        let text = of("message_log", "read", 12) + &of("message_log", "append", 5) + &of("rooms", "read", 7);
        assert_eq!(count_reads(&text), Some(12.0));
        assert_eq!(count_reads("HTTP/1.0 404 Not Found"), None);
    }
}
