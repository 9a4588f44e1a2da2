//! A client that keeps to its protocol: a place per room, an outbox that is sent again until it is answered, and joining with the place
//! after every break, at whichever gateway. It does not help itself where the server has to: what is missing stays missing and shows.

mod events;
mod json;
mod socketio;
mod stomp;
mod talk;
mod wire;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Result, bail};
use chat_core::RoomId;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{client::IntoClientRequest as _, http::HeaderValue},
};

pub(crate) use self::wire::Person;
use self::{
    events::{EventFrames, Stream},
    json::Json,
    socketio::{SocketIo, Words},
    stomp::Stomp,
    talk::Talk,
    wire::{Broken, Link, Wire, address},
};
use crate::notes::{MARK, Notes};

/// A gateway that takes no connection, or does not say who is let in, is given up.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a client waits before it connects again, at most.
const PAUSE: Duration = Duration::from_millis(800);
/// How often it is looked whether something has come.
const LOOK: Duration = Duration::from_millis(10);

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Json,
    /// Reads only.
    Events,
    Shop,
    Group,
    Stomp,
    StompOverSockJs,
}

impl Protocol {
    fn wire(self) -> Box<dyn Wire> {
        match self {
            Self::Json => Box::new(Json::new()),
            Self::Events => Box::new(EventFrames::new()),
            Self::Shop => Box::new(SocketIo::new(Words::Shop)),
            Self::Group => Box::new(SocketIo::new(Words::Group)),
            Self::Stomp => Box::new(Stomp::new(false)),
            Self::StompOverSockJs => Box::new(Stomp::new(true)),
        }
    }

    /// For people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON over WebSocket",
            Self::Events => "Server-Sent Events",
            Self::Shop | Self::Group => "Socket.IO",
            Self::Stomp => "STOMP over WebSocket",
            Self::StompOverSockJs => "STOMP over SockJS",
        }
    }

    /// Whether its clients can say something.
    pub(crate) fn writes(self) -> bool {
        self != Self::Events
    }

    fn path(self, dice: &mut fastrand::Rng) -> String {
        match self {
            Self::Json | Self::Events => json::PATH.to_owned(),
            Self::Shop | Self::Group => socketio::PATH.to_owned(),
            Self::Stomp => stomp::PATH.to_owned(),
            Self::StompOverSockJs => {
                format!("{}/{:03}/{:016x}/websocket", stomp::PATH, dice.u16(..1_000), dice.u64(..))
            }
        }
    }
}

/// Who connects, how, and what they follow.
#[derive(Debug, Clone)]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) person: Person,
    pub(crate) protocol: Protocol,
    pub(crate) rooms: Vec<RoomId>,
}

/// Somebody's client, which connects again and again.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) role: Role,
    notes: Arc<Mutex<Notes>>,
    task: JoinHandle<()>,
}

impl Client {
    pub(crate) fn start(role: Role, gateways: &[SocketAddr], seed: u64) -> Self {
        let notes = Arc::new(Mutex::new(Notes::default()));
        let dice = fastrand::Rng::with_seed(seed);
        let talker = Talker { role: role.clone(), gateways: gateways.to_vec(), notes: notes.clone(), dice };
        Self { role, notes, task: tokio::spawn(talker.run()) }
    }

    pub(crate) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes every so often from now on, or no more.
    pub(crate) fn write_every(&self, pace: Option<Duration>) {
        self.notes().outbox.write_every(pace);
    }

    /// Says something that others can wait for.
    pub(crate) fn say_mark(&self, room: &RoomId, number: usize) -> String {
        let mark = format!("{MARK}{number}");
        self.notes().outbox.say(room, &mark);
        mark
    }

    /// Waits until the notes say what is wanted.
    pub(crate) async fn until(
        &self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&Notes) -> bool + Send + Sync,
    ) -> Result<()> {
        let waited = timeout(within, async {
            while !wanted(&self.notes()) {
                sleep(LOOK).await;
            }
        });
        if waited.await.is_err() {
            let notes = self.notes();
            bail!(
                "{}: {what} did not come true within {within:?}; joined {:?}, {} messages unanswered",
                self.role.name,
                notes.joined,
                notes.outbox.len()
            );
        }
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Talker {
    role: Role,
    gateways: Vec<SocketAddr>,
    notes: Arc<Mutex<Notes>>,
    dice: fastrand::Rng,
}

impl Talker {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(mut self) {
        loop {
            let gateway = self.gateways[self.dice.usize(..self.gateways.len())];
            if let Ok(Ok((link, wire))) = timeout(PATIENCE, self.connect(gateway)).await {
                self.notes().connections += 1;
                let Err(Broken) = Talk::new(&mut self, link, wire, gateway).run().await;
                self.notes().disconnected();
            }
            sleep(PAUSE.mul_f64(self.dice.f64())).await;
        }
    }

    async fn connect(&mut self, gateway: SocketAddr) -> Result<(Link, Box<dyn Wire>), Broken> {
        let protocol = self.role.protocol;
        let mut wire = protocol.wire();
        if protocol == Protocol::Events {
            return Ok((self.events(gateway).await?, wire));
        }
        let url = address(gateway, &protocol.path(&mut self.dice));
        let mut request = url.into_client_request().map_err(|_| Broken)?;
        if protocol == Protocol::Stomp {
            request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("v12.stomp"));
        }
        let (socket, _) = connect_async(request).await.map_err(|_| Broken)?;
        let mut link = Link::Socket(Box::new(socket));
        wire.open(&mut link, &self.role.person).await?;
        Ok((link, wire))
    }

    async fn events(&mut self, gateway: SocketAddr) -> Result<Link, Broken> {
        let by_id = self.dice.bool();
        let (asked, id) = events::query(&self.role.rooms, &self.notes(), by_id);
        match Stream::open(gateway, &self.role.person, &asked, &id).await {
            Ok(stream) => Ok(Link::Events(stream)),
            Err(error) => {
                // After any answer but 200 a browser does not come back by itself.
                let error = error.to_string();
                if events::is_answer(&error) {
                    self.notes().problem("service", format!("the stream was refused for good: {error}"));
                }
                Err(Broken)
            }
        }
    }
}

/// Until when, from now on.
fn within(dice: &mut fastrand::Rng, seconds: std::ops::Range<u64>) -> Instant {
    Instant::now() + Duration::from_millis(dice.u64(seconds.start * 1_000..seconds.end * 1_000))
}
