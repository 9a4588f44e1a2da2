//! Two processes on one PostgreSQL server, two people at each of them, and what must be true of all they saw.

use std::{collections::BTreeSet, time::Duration};

use chat_backend_postgres::{PostgresBackend, PostgresConfig};
use chat_core::{AppendOutcome, Cursor, Draft, MessageLog, ReadQuery, RoomId, Seq, StoredMessage, UserId};
use chat_simulation::{History, Report};
use chat_test_services::{Database, Postgres, Proxy};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep};

use crate::{
    client::Client,
    node::{Ground, Guest, Node},
};

/// After what was away answers again, everybody has to be served within this.
const SERVICE_IS_BACK: Duration = Duration::from_secs(5);
/// For what has to come at some time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const ROOMS: [&str; 2] = ["tea", "coffee"];
/// The first two are at the first process, the others at the second.
const PEOPLE: [&str; 4] = ["Ann", "Bob", "Cy", "Di"];

pub(crate) struct Stage {
    pub(crate) clients: Vec<Client>,
    pub(crate) nodes: [Node; 2],
    pub(crate) rooms: Vec<RoomId>,
    /// Between the first process and the server.
    pub(crate) proxy: Proxy,
    pub(crate) database: Database,
    /// The test's own, where it breaks the server.
    server: Option<Postgres>,
    marks: usize,
}

impl Stage {
    pub(crate) async fn open() -> Self {
        let server = Postgres::private().await.unwrap();
        let database = server.database().await.unwrap();
        let proxy = Proxy::start(server.address().unwrap()).await.unwrap();
        let grounds = [
            Ground::database(database.url_through(&proxy.address().to_string()).unwrap()),
            Ground::database(database.url()),
        ];
        let stage = Self::on(database, proxy, grounds).await;
        Self { server: Some(server), ..stage }
    }

    /// Two processes, each on what is said here.
    pub(crate) async fn on(database: Database, proxy: Proxy, [one, two]: [Ground; 2]) -> Self {
        let (one, two) = tokio::join!(Node::start(one), Node::start(two));
        let nodes = [one, two];
        let mut guests = Vec::new();
        for (n, name) in PEOPLE.iter().enumerate() {
            guests.push(Guest::arrive(nodes[n / 2].address, name).await);
        }
        let rooms: Vec<RoomId> = ROOMS.iter().map(|room| RoomId::new(room).unwrap()).collect();
        for room in &rooms {
            guests[0].ask(nodes[0].address, "POST", "/chat/rooms", Some(json!({ "id": room }))).await;
            for guest in &guests[1..] {
                let path = format!("/chat/rooms/{room}/members/{}", guest.user);
                guests[0].ask(nodes[1].address, "PUT", &path, Some(json!({}))).await;
            }
        }
        let mut clients = Vec::new();
        for (n, guest) in guests.iter().enumerate() {
            let mut servers = nodes.each_ref().map(|node| node.address);
            servers.rotate_left(n / 2);
            let client = Client::start(guest, &servers, &rooms);
            client.until("joining", PATIENCE, |notes| notes.applied.len() == ROOMS.len()).await;
            clients.push(client);
        }
        Self { clients, nodes, rooms, proxy, database, server: None, marks: 0 }
    }

    /// The server that this test may break.
    pub(crate) fn server(&self) -> &Postgres {
        self.server.as_ref().expect("a server of its own")
    }

    /// As [`open`](Self::open), and everybody writes without end.
    pub(crate) async fn open_under_load() -> Self {
        Self::open().await.under_load().await
    }

    /// From now on everybody writes without end.
    pub(crate) async fn under_load(self) -> Self {
        for client in &self.clients {
            client.write_every(Some(Duration::from_millis(40)));
        }
        self.more_is_said(20).await;
        self
    }

    /// What both processes say of everybody: online or not.
    pub(crate) async fn online(&self) -> [Vec<bool>; 2] {
        let users: Vec<&str> = self.clients.iter().map(|client| client.guest.user.as_str()).collect();
        let path = format!("/chat/presence?users={}", users.join(","));
        let ask = |node: &Node| {
            let (asking, address, path) = (&self.clients[0].guest, node.address, path.clone());
            async move {
                let (status, answer) = asking.try_ask(address, "GET", &path).await;
                let users = answer["users"].as_array().filter(|_| status == 200).cloned().unwrap_or_default();
                users.iter().map(|user| user["online"] == true).collect()
            }
        };
        [ask(&self.nodes[0]).await, ask(&self.nodes[1]).await]
    }

    /// Waits until both processes say of everybody that they are online, as they are.
    pub(crate) async fn all_are_online(&self, within: Duration) {
        let begun = Instant::now();
        loop {
            let online = self.online().await;
            if online.iter().all(|users| users.len() == PEOPLE.len() && users.iter().all(|online| *online)) {
                return println!("presence was right after {:.1?}", begun.elapsed());
            }
            assert!(begun.elapsed() < within, "{online:?} after {within:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until each client has so many more answers.
    pub(crate) async fn more_is_said(&self, more: usize) {
        for client in &self.clients {
            let wanted = client.notes().acks.len() + more;
            client.until("answers", PATIENCE, |notes| notes.acks.len() >= wanted).await;
        }
    }

    /// A connection of the test's own to the database.
    pub(crate) async fn by_hand(&self) -> PgConnection {
        PgConnection::connect(self.database.url()).await.unwrap()
    }

    /// Each of these people says something that begins now, and all of them hear it.
    pub(crate) async fn all_hear_all(&mut self, people: std::ops::Range<usize>) {
        let people = &self.clients[people];
        let mut marks = Vec::new();
        for client in people {
            self.marks += 1;
            let mark = format!("mark {}", self.marks);
            client.say(&self.rooms[0], &mark);
            marks.push(mark);
        }
        for client in people {
            for mark in &marks {
                client.until(mark, PATIENCE, |notes| notes.heard(mark).is_some()).await;
            }
        }
    }

    /// Everybody is served soon after `since`, when the database was there again.
    pub(crate) async fn is_back(&mut self, since: Instant, after: &str) {
        self.all_hear_all(0..PEOPLE.len()).await;
        let took = since.elapsed();
        println!("served again {took:.1?} after {after}");
        assert!(took <= SERVICE_IS_BACK, "{took:?} after {after}");
    }

    /// Ends the load, waits until everything is answered and heard, and compares what was seen with what is stored.
    pub(crate) async fn judge(self) {
        let report = self.rest().await;
        assert!(report.violations.is_empty(), "{:#?}", report.violations);
        let connections: Vec<usize> = self.clients.iter().map(|client| client.notes().connections).collect();
        println!(
            "{} stored, {} acknowledged, {} applied; connections: {connections:?}",
            report.stored, report.acknowledged, report.applied
        );
    }

    /// As [`judge`](Self::judge), for whoever wants to know what did not hold.
    pub(crate) async fn rest(&self) -> Report {
        for client in &self.clients {
            client.write_every(None);
        }
        for client in &self.clients {
            client.until("every answer", PATIENCE, |notes| notes.outbox.is_empty()).await;
        }
        let config = PostgresConfig::from_url(self.database.url()).unwrap().with_max_connections(2);
        let backend = PostgresBackend::connect(config).await.unwrap();
        let log = backend.message_log();
        let history = History::new(false);
        let mut stored = Vec::new();
        for room in &self.rooms {
            stored.push(self.store(&history, &*log, room).await);
        }
        backend.close().await;
        for client in &self.clients {
            compare(&history, client, &self.rooms, &stored);
        }
        for (room, entries) in self.rooms.iter().zip(&stored) {
            let head = &entries.last().unwrap().position.cursor;
            history.check_log(room, &head.epoch, head.seq, Seq::FIRST, entries);
        }
        history.report()
    }

    /// Tells the history what is stored in a room, once everybody has heard all of it.
    async fn store(&self, history: &History, log: &dyn MessageLog, room: &RoomId) -> Vec<StoredMessage> {
        let entries = whole_log(log, room).await;
        let head = entries.last().unwrap().seq();
        for client in &self.clients {
            client.until("the end of the log", PATIENCE, |notes| notes.head(room) >= Some(head)).await;
        }
        let draft = |entry: &StoredMessage| {
            let StoredMessage { room, sender, client_id, content, authority, .. } = entry.clone();
            Draft::new(room, sender, client_id, content).with_authority(authority)
        };
        let drafts: Vec<Draft> = entries.iter().map(draft).collect();
        let outcomes: Vec<AppendOutcome> =
            entries.iter().map(|entry| AppendOutcome::New(entry.position.clone())).collect();
        history.stored(&drafts, &outcomes);
        entries
    }
}

/// What one client saw.
fn compare(history: &History, client: &Client, rooms: &[RoomId], stored: &[Vec<StoredMessage>]) {
    let user: UserId = UserId::new(&client.guest.user).unwrap();
    let notes = client.notes();
    for ack in &notes.acks {
        history.acknowledged(&ack.room, &user, &ack.client_id, &ack.position);
        if ack.durability != "persisted" {
            history.violation("G1", format!("{ack:?}"));
        }
    }
    for entry in &notes.entries {
        history.applied(&user, entry, Duration::ZERO);
    }
    for problem in &notes.problems {
        history.violation("G5", format!("{user}: {problem}"));
    }
    for (room, stored) in rooms.iter().zip(stored) {
        let seqs: Vec<u64> =
            notes.entries.iter().filter(|entry| entry.room == *room).map(|entry| entry.seq().get()).collect();
        let since = notes.since[room].seq.get();
        if seqs != (since + 1..=stored.len() as u64).collect::<Vec<_>>() {
            history.violation("G5", format!("{user} was given {seqs:?} of {room} after {since}"));
        }
        // What is stored of this person was also answered, and the other way round.
        let own = |entry: &&StoredMessage| entry.sender == user && entry.is_countable();
        let there: BTreeSet<_> = stored.iter().filter(own).map(|entry| &entry.client_id).collect();
        let answered: BTreeSet<_> =
            notes.acks.iter().filter(|ack| ack.room == *room).map(|ack| &ack.client_id).collect();
        if there != answered {
            let differ: Vec<_> = there.symmetric_difference(&answered).collect();
            history.violation("G1", format!("{user} in {room}: stored or answered, not both: {differ:?}"));
        }
    }
}

async fn whole_log(log: &dyn MessageLog, room: &RoomId) -> Vec<StoredMessage> {
    let head = log.heads(std::slice::from_ref(room)).await.unwrap().remove(0).unwrap();
    let mut after = Cursor::new(head.cursor.epoch, Seq::ZERO);
    let mut entries: Vec<StoredMessage> = Vec::new();
    loop {
        let page = log.read(room, ReadQuery::after(after).with_limit(1_000)).await.unwrap();
        entries.extend(page.entries);
        after = entries.last().unwrap().position.cursor.clone();
        if page.reaches_head {
            return entries;
        }
    }
}
