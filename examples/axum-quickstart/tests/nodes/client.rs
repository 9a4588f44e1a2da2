//! A client that keeps to `chat-gateway/PROTOCOL.md`: a cursor per room, an outbox that is sent again until it is answered,
//! and joining with the cursor after every break. It does not help itself where the server has to: what is missing stays
//! missing and shows.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use chat_core::{ClientMessageId, Cursor, RoomId};
use chat_simulation::Outgoing;
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::{
    node::Guest,
    notes::{Ack, Notes, field},
};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How often it looks what there is to send.
const TICK: Duration = Duration::from_millis(10);
/// A server that takes no connection or says nothing to `connect` is given up.
const PATIENCE: Duration = Duration::from_secs(3);

/// Somebody's client, which connects again and again.
pub(crate) struct Client {
    pub(crate) guest: Guest,
    notes: Arc<Mutex<Notes>>,
    task: JoinHandle<()>,
}

impl Client {
    /// Connects to the first of these servers, and to the next one when it is not there, and joins the rooms.
    pub(crate) fn start(guest: &Guest, servers: &[SocketAddr], rooms: &[RoomId]) -> Self {
        let notes = Arc::new(Mutex::new(Notes::default()));
        let talker = Talker {
            guest: guest.clone(),
            servers: servers.to_vec(),
            rooms: rooms.to_vec(),
            notes: notes.clone(),
            next_id: 1,
        };
        Self { guest: guest.clone(), notes, task: tokio::spawn(talker.run()) }
    }

    pub(crate) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap()
    }

    /// Puts a message into the outbox and answers its name.
    pub(crate) fn say(&self, room: &RoomId, text: &str) -> ClientMessageId {
        self.notes().outbox.say(room, text)
    }

    /// Has a command sent as it is, once, without waiting for its answer.
    pub(crate) fn tell(&self, command: Value) {
        self.notes().commands.push_back(command);
    }

    /// Writes into the room every so often, from now on or, without a time, no more.
    pub(crate) fn write_every(&self, pace: Option<Duration>) {
        self.notes().outbox.write_every(pace);
    }

    /// Does not connect again after the next break, or does so from now on.
    pub(crate) fn stay_away(&self, stays_away: bool) {
        self.notes().stays_away = stays_away;
    }

    /// Waits until the notes say what is wanted.
    pub(crate) async fn until(
        &self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&Notes) -> bool + Send + Sync,
    ) {
        let waited = timeout(within, async {
            while !wanted(&self.notes()) {
                sleep(TICK).await;
            }
        });
        if waited.await.is_err() {
            panic!("{}: {what} did not come true within {within:?}: {:?}", self.guest.user, self.notes());
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Talker {
    guest: Guest,
    servers: Vec<SocketAddr>,
    rooms: Vec<RoomId>,
    notes: Arc<Mutex<Notes>>,
    next_id: u64,
}

/// What an answer is waited for to.
#[derive(Debug, Clone)]
enum Asked {
    Join(RoomId, Option<Cursor>),
    Send(ClientMessageId),
}

/// What holds for one connection.
struct Connection {
    socket: Socket,
    asked: BTreeMap<u64, Asked>,
    /// Rooms to be joined, and when.
    to_join: BTreeMap<RoomId, Instant>,
    /// The last entry by the connection's own account, by joined room.
    streams: BTreeMap<RoomId, Cursor>,
}

/// The connection is of no more use.
struct Broken;

impl Talker {
    async fn run(mut self) {
        loop {
            if self.notes.lock().unwrap().stays_away {
                sleep(TICK).await;
                continue;
            }
            let Ok(connection) = timeout(PATIENCE, self.connect()).await.unwrap_or(Err(Broken)) else {
                self.servers.rotate_left(1);
                sleep(Duration::from_millis(fastrand::u64(20..200))).await;
                continue;
            };
            let Err(Broken) = self.talk(connection).await;
            // Who knows which of them were answered: all are open again.
            self.notes.lock().unwrap().outbox.disconnected();
        }
    }

    async fn connect(&mut self) -> Result<Connection, Broken> {
        let url = format!("ws://{}/chat/ws", self.servers[0]);
        let (mut socket, _) = connect_async(url).await.map_err(|_| Broken)?;
        let id = self.id();
        let connect = json!({"type": "connect", "id": id, "token": self.guest.token});
        socket.send(Message::text(connect.to_string())).await.map_err(|_| Broken)?;
        let answer = read(&mut socket).await?;
        if answer["type"] != "connected" {
            return Err(Broken);
        }
        let now = Instant::now();
        let to_join = self.rooms.iter().map(|room| (room.clone(), now)).collect();
        let mut notes = self.notes.lock().unwrap();
        notes.connections += 1;
        Ok(Connection { socket, asked: BTreeMap::new(), to_join, streams: BTreeMap::new() })
    }

    async fn talk(&mut self, mut connection: Connection) -> Result<std::convert::Infallible, Broken> {
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                biased;
                frame = read(&mut connection.socket) => self.take(&mut connection, &frame?)?,
                _ = tick.tick() => {
                    for command in self.due(&mut connection) {
                        connection.socket.feed(Message::text(command.to_string())).await.map_err(|_| Broken)?;
                    }
                    connection.socket.flush().await.map_err(|_| Broken)?;
                }
            }
        }
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Everything that is to be sent now.
    fn due(&mut self, connection: &mut Connection) -> Vec<Value> {
        let (now, notes) = (Instant::now(), self.notes.clone());
        let mut notes = notes.lock().unwrap();
        let mut commands: Vec<Value> = notes.commands.drain(..).collect();
        let rooms: Vec<RoomId> =
            connection.to_join.iter().filter(|(_, at)| **at <= now).map(|(room, _)| room.clone()).collect();
        for room in rooms {
            connection.to_join.remove(&room);
            let (id, cursor) = (self.id(), notes.applied.get(&room).cloned());
            let mut join = json!({"type": "join", "id": id, "room": room});
            if let Some(cursor) = &cursor {
                join["cursor"] = json!(cursor.to_string());
            }
            connection.asked.insert(id, Asked::Join(room, cursor));
            commands.push(join);
        }
        notes.write(&self.rooms, now);
        for message in notes.outbox.due(now) {
            let id = self.next_id + 1;
            self.next_id = id;
            let Outgoing { room, client_id, text, .. } = message;
            commands
                .push(json!({"type": "send", "id": id, "room": room, "clientId": client_id, "text": text}));
            connection.asked.insert(id, Asked::Send(client_id.clone()));
        }
        commands
    }

    fn take(&self, connection: &mut Connection, frame: &Value) -> Result<(), Broken> {
        let mut notes = self.notes.lock().unwrap();
        let asked = frame["reply"].as_u64().and_then(|id| connection.asked.remove(&id));
        match (frame["type"].as_str().unwrap_or_default(), asked) {
            ("closing", _) => {
                notes.events.push(frame.clone());
                return Err(Broken);
            }
            ("entry", _) => notes.entry(&mut connection.streams, &frame["entry"]),
            ("sent", Some(Asked::Send(client_id))) => {
                let ack = Ack::read(frame);
                if ack.client_id != client_id {
                    notes.problem(format!("{client_id} was answered {frame}"));
                }
                notes.acknowledged(ack);
            }
            ("joined", Some(Asked::Join(room, cursor))) => {
                notes.joined(&mut connection.streams, room, cursor, frame);
            }
            ("error", Some(Asked::Send(client_id))) => notes.refused(&client_id, frame),
            ("error", Some(Asked::Join(room, _))) if frame["retryable"] == true => {
                connection.to_join.insert(room, Instant::now() + Duration::from_millis(100));
            }
            ("resync", _) if frame.get("page").is_none() => {}
            ("reset", _) => {
                let room = field(frame, "room");
                notes.reset(&mut connection.streams, room, frame);
            }
            ("resync" | "error", _) => notes.problem(frame.to_string()),
            ("left", _) => {
                connection.streams.retain(|room, _| frame["room"] != room.as_str());
                notes.events.push(frame.clone());
            }
            _ => notes.events.push(frame.clone()),
        }
        Ok(())
    }
}

/// The next frame.
async fn read(socket: &mut Socket) -> Result<Value, Broken> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            _ => return Err(Broken),
        }
    }
}
