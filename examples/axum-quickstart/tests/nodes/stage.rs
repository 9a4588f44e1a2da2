//! Two processes on one PostgreSQL server, two people at each of them, and what must be true of all they saw.

use std::time::Duration;

use chat_backend_postgres::{PostgresBackend, PostgresConfig};
use chat_core::{ClientMessageId, MessageLog, RoomId, Seq, StoredMessage};
use chat_simulation::{History, Report};
use chat_test_services::{Database, Postgres, Proxy};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep};

use crate::{
    client::Client,
    compare::{compare, whole_log},
    node::{Ground, Guest, Node},
};

/// After what was away answers again, everybody has to be served within this.
const SERVICE_IS_BACK: Duration = Duration::from_secs(5);
/// When everything was answered, Redis does not keep it for itself for longer than this.
const ARCHIVED: Duration = Duration::from_secs(8);
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
    /// What is stored is answered by Redis, and reaches the database within this.
    archived_within: Option<Duration>,
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
        let archived_within = one.hot_log.then_some(ARCHIVED);
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
            client.notes().allows.lives = archived_within.is_some();
            client.until("joining", PATIENCE, |notes| notes.applied.len() == ROOMS.len()).await;
            clients.push(client);
        }
        Self { clients, nodes, rooms, proxy, database, server: None, marks: 0, archived_within }
    }

    /// Redis may keep what was answered for so long before it is in the database.
    pub(crate) const fn archived_within(&mut self, within: Duration) {
        self.archived_within = Some(within);
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
            marks.push((client, client.say(&self.rooms[0], &mark), mark));
        }
        for client in people {
            for (sender, id, mark) in &marks {
                self.hears(client, sender, id, mark).await;
            }
        }
    }

    /// Waits until the client has heard the mark, or was told to begin behind it.
    async fn hears(&self, client: &Client, sender: &Client, id: &ClientMessageId, mark: &str) {
        let room = &self.rooms[0];
        let begun = Instant::now();
        loop {
            let at = sender
                .notes()
                .acks
                .iter()
                .rev()
                .find(|ack| ack.client_id == *id)
                .map(|ack| ack.position.cursor.seq);
            {
                let notes = client.notes();
                if notes.heard(mark).is_some() || at.is_some_and(|at| notes.since[room].seq >= at) {
                    return;
                }
                assert!(
                    begun.elapsed() < PATIENCE,
                    "{}: {mark} of {}, at {at:?}: {notes:?}",
                    client.guest.user,
                    sender.guest.user
                );
            }
            sleep(Duration::from_millis(10)).await;
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
        if let Some(within) = self.archived_within {
            self.is_archived(&*log, within).await;
        }
        let history = History::new(false);
        let mut stored = Vec::new();
        for room in &self.rooms {
            stored.push(self.store(&history, &*log, room).await);
        }
        backend.close().await;
        for client in &self.clients {
            compare(&history, client, &self.rooms, &stored, self.archived_within.is_some());
        }
        for (room, entries) in self.rooms.iter().zip(&stored) {
            let head = &entries.last().unwrap().position.cursor;
            history.check_log(room, &head.epoch, head.seq, Seq::FIRST, entries);
        }
        history.report()
    }

    /// Waits until everything that anybody has seen is in the database.
    async fn is_archived(&self, log: &dyn MessageLog, within: Duration) {
        let begun = Instant::now();
        for room in &self.rooms {
            loop {
                let head = log.heads(std::slice::from_ref(room)).await.unwrap().remove(0).unwrap().cursor.seq;
                let seen: Vec<Option<Seq>> =
                    self.clients.iter().map(|client| client.notes().head(room)).collect();
                if seen.iter().all(|seen| *seen == Some(head)) {
                    break;
                }
                assert!(
                    begun.elapsed() < within,
                    "{room}: {head} is archived, {seen:?} were seen, after {within:?}"
                );
                sleep(Duration::from_millis(50)).await;
            }
        }
        println!("everything was archived {:.1?} after the last answer", begun.elapsed());
    }

    /// Tells the history what is stored in a room, once everybody has heard all of it.
    async fn store(&self, history: &History, log: &dyn MessageLog, room: &RoomId) -> Vec<StoredMessage> {
        let entries = whole_log(log, room).await;
        let head = entries.last().unwrap().seq();
        for client in &self.clients {
            client.until("the end of the log", PATIENCE, |notes| notes.head(room) >= Some(head)).await;
        }
        history.stored_entries(&entries);
        entries
    }
}
