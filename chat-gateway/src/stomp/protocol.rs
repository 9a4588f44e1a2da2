//! What a client's frame means where the connection stands, without I/O.

use std::collections::BTreeMap;

use super::{
    AckMode, Acknowledge, Command, Connect, DecodeError, Frame, SendFrame, StompConfig, Subscribe,
    Subscription, Version, heartbeat::Beats,
};
use crate::Problem;

/// What a frame in a transaction is counted with beyond its bytes.
const FRAME_COST: usize = 256;

/// What is to be done for a frame.
#[derive(Debug)]
pub(super) enum Step {
    Connect(Connect, Beats),
    Subscribe(Subscribe),
    Unsubscribe(Subscription),
    /// Sends and acknowledgements in their order: one, or those of a transaction.
    Do(Vec<Held>),
    /// Only the receipt, if one is wanted.
    Nothing,
    Disconnect,
}

/// What may wait in a transaction.
#[derive(Debug)]
pub(super) enum Held {
    Send(SendFrame),
    Acknowledge(Acknowledge),
}

impl Held {
    fn cost(&self) -> usize {
        let (headers, body) = match self {
            Self::Send(send) => (&send.headers, send.body.len()),
            Self::Acknowledge(acknowledge) => (&acknowledge.headers, 0),
        };
        headers.iter().map(|(name, value)| name.len() + value.len() + 48).sum::<usize>() + body + FRAME_COST
    }
}

/// One connection's state.
#[derive(Debug)]
pub(super) struct Protocol {
    config: StompConfig,
    version: Option<Version>,
    subscriptions: BTreeMap<String, Subscription>,
    transactions: BTreeMap<String, Vec<Held>>,
    /// Bytes that wait in all transactions.
    held: usize,
}

impl Protocol {
    pub(super) const fn new(config: StompConfig) -> Self {
        Self { config, version: None, subscriptions: BTreeMap::new(), transactions: BTreeMap::new(), held: 0 }
    }

    /// The version, once it is agreed on; in what is said before that, headers are as in 1.0.
    pub(super) fn version(&self) -> Version {
        self.version.unwrap_or(Version::V1_0)
    }

    /// Says what is to be done. `Connect` is the first thing, and comes once.
    pub(super) fn accept(&mut self, frame: Frame) -> Result<Step, Problem> {
        let is_first = matches!(frame.command, Command::Connect | Command::Stomp);
        match self.version {
            None if !is_first => {
                return Err(Problem::new("not_connected", "the first frame must be CONNECT"));
            }
            Some(_) if is_first => {
                return Err(Problem::new("already_connected", "this connection is connected already"));
            }
            _ => {}
        }
        match frame.command {
            Command::Connect | Command::Stomp => self.connect(frame),
            Command::Subscribe => self.subscribe(frame),
            Command::Unsubscribe => self.unsubscribe(&frame),
            Command::Send => {
                let destination = required(&frame, "destination")?.to_owned();
                let transaction = frame.header("transaction").map(str::to_owned);
                let send = SendFrame { destination, headers: frame.headers, body: frame.body };
                self.hold(transaction, Held::Send(send))
            }
            Command::Ack | Command::Nack => self.acknowledge(frame),
            Command::Begin => self.begin(&frame),
            Command::Commit => Ok(Step::Do(self.end(&frame)?)),
            Command::Abort => {
                self.end(&frame)?;
                Ok(Step::Nothing)
            }
            Command::Disconnect => Ok(Step::Disconnect),
            Command::Connected | Command::Message | Command::Receipt | Command::Error => {
                let message = format!("{} is the server's", frame.command.as_str());
                Err(Problem::new("unknown_command", message))
            }
        }
    }

    /// A subscription that was not to be.
    pub(super) fn forget(&mut self, subscription: &Subscription) {
        self.subscriptions.remove(subscription.id());
    }

    fn connect(&mut self, frame: Frame) -> Result<Step, Problem> {
        let Some(version) = Version::negotiate(frame.header("accept-version")) else {
            return Err(Problem::new("unsupported", "the versions here are 1.0, 1.1 and 1.2"));
        };
        let beats = match version {
            Version::V1_0 => Beats::default(),
            _ => Beats::negotiate(frame.header("heart-beat"), self.config.heartbeat)?,
        };
        self.version = Some(version);
        Ok(Step::Connect(Connect { version, headers: frame.headers }, beats))
    }

    fn subscribe(&mut self, frame: Frame) -> Result<Step, Problem> {
        let destination = required(&frame, "destination")?.to_owned();
        let id = self.subscription_id(&frame)?.to_owned();
        let ack = match frame.header("ack") {
            None | Some("auto") => AckMode::Auto,
            Some("client") => AckMode::Client,
            Some("client-individual") if self.version() > Version::V1_0 => AckMode::ClientIndividual,
            Some(_) => return Err(Problem::invalid("ack is auto, client or client-individual")),
        };
        if self.subscriptions.contains_key(&id) {
            return Err(Problem::invalid("this id is another subscription's"));
        }
        let max = self.config.subscriptions;
        if self.subscriptions.len() >= max {
            return Err(Problem::new(
                "limit_exceeded",
                format!("a connection has at most {max} subscriptions"),
            ));
        }
        let subscription = Subscription::new(id.clone(), destination, ack);
        self.subscriptions.insert(id, subscription.clone());
        Ok(Step::Subscribe(Subscribe { subscription, headers: frame.headers }))
    }

    /// In version 1.0 a subscription may go by its destination.
    fn subscription_id<'a>(&self, frame: &'a Frame) -> Result<&'a str, Problem> {
        match frame.header("id") {
            None if self.version() == Version::V1_0 => required(frame, "destination"),
            _ => required(frame, "id"),
        }
    }

    fn unsubscribe(&mut self, frame: &Frame) -> Result<Step, Problem> {
        let id = self.subscription_id(frame)?;
        // One that is not there is over, which is what was asked for.
        Ok(self.subscriptions.remove(id).map_or(Step::Nothing, Step::Unsubscribe))
    }

    fn acknowledge(&mut self, frame: Frame) -> Result<Step, Problem> {
        match self.version() {
            Version::V1_2 => drop(required(&frame, "id")?),
            Version::V1_1 => {
                required(&frame, "message-id")?;
                required(&frame, "subscription")?;
            }
            Version::V1_0 if frame.command == Command::Nack => {
                return Err(Problem::new("unknown_command", "version 1.0 has no NACK"));
            }
            Version::V1_0 => drop(required(&frame, "message-id")?),
        }
        let transaction = frame.header("transaction").map(str::to_owned);
        let positive = frame.command == Command::Ack;
        self.hold(transaction, Held::Acknowledge(Acknowledge { positive, headers: frame.headers }))
    }

    fn hold(&mut self, transaction: Option<String>, held: Held) -> Result<Step, Problem> {
        let Some(transaction) = transaction else { return Ok(Step::Do(vec![held])) };
        let cost = held.cost();
        let Some(waiting) = self.transactions.get_mut(&transaction) else { return Err(no_transaction()) };
        let max = self.config.transaction_bytes;
        if self.held + cost > max {
            let message = format!("transactions of a connection hold at most {max} bytes");
            return Err(Problem::new("limit_exceeded", message));
        }
        self.held += cost;
        waiting.push(held);
        Ok(Step::Nothing)
    }

    fn begin(&mut self, frame: &Frame) -> Result<Step, Problem> {
        let transaction = required(frame, "transaction")?;
        if self.transactions.contains_key(transaction) {
            return Err(Problem::invalid("this transaction has begun already"));
        }
        let max = self.config.transactions;
        if self.transactions.len() >= max {
            return Err(Problem::new(
                "limit_exceeded",
                format!("a connection has at most {max} transactions"),
            ));
        }
        self.transactions.insert(transaction.to_owned(), Vec::new());
        Ok(Step::Nothing)
    }

    fn end(&mut self, frame: &Frame) -> Result<Vec<Held>, Problem> {
        let held = self.transactions.remove(required(frame, "transaction")?).ok_or_else(no_transaction)?;
        self.held -= held.iter().map(Held::cost).sum::<usize>();
        Ok(held)
    }
}

fn required<'a>(frame: &'a Frame, name: &str) -> Result<&'a str, Problem> {
    match frame.header(name) {
        Some(value) if !value.is_empty() => Ok(value),
        _ => Err(Problem::invalid(format!("{} needs the header {name}", frame.command.as_str()))),
    }
}

fn no_transaction() -> Problem {
    Problem::invalid("there is no such transaction")
}

impl From<DecodeError> for Problem {
    fn from(error: DecodeError) -> Self {
        let code = match error {
            DecodeError::UnknownCommand => "unknown_command",
            error if error.is_limit() => "limit_exceeded",
            _ => "malformed",
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests;
