//! Who got which message of a room, how often and in which order.
//!
//! The order is that in which any connection saw the messages first; every other one is held against it. Servers that promise one order
//! show none other, and for those that do not the figure says how often they differ.

use std::{collections::BTreeSet, time::Duration};

use serde::Serialize;

use crate::mark::Mark;

/// What became of a message where it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    UnderWay,
    Taken,
    Refused,
}

/// A room's messages.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// By number: when each was meant to be sent, and what came of it.
    sent: Vec<(Duration, State)>,
    /// By number: which of the room's connections sent it.
    senders: Vec<usize>,
    /// The numbers in the order in which they came first.
    order: Vec<u32>,
    /// Where each is in that order.
    places: Vec<Option<usize>>,
}

/// What one connection got.
#[derive(Debug, Default)]
pub(crate) struct Receiver {
    /// Everything before this place came, but for what is missing.
    next: usize,
    missing: BTreeSet<usize>,
    repeated: u64,
    disordered: u64,
}

/// What arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// A message, meant to be sent then.
    Fresh(Duration),
    /// One that came before.
    Repeated,
    /// None of this run.
    Unknown,
}

/// Faults in what connections got, of messages that were taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// Deliveries that never came.
    pub lost: u64,
    /// Deliveries that came again.
    pub repeated: u64,
    /// Deliveries that came after others that belong behind them.
    pub disordered: u64,
}

impl std::ops::AddAssign for Faults {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.disordered += other.disordered;
    }
}

impl Ledger {
    /// The number of the next message.
    pub(crate) fn send(&mut self, sender: usize, meant_at: Duration) -> u32 {
        self.sent.push((meant_at, State::UnderWay));
        self.senders.push(sender);
        self.places.push(None);
        u32::try_from(self.sent.len() - 1).unwrap_or(u32::MAX)
    }

    /// Whether this connection sent it.
    pub(crate) fn is_by(&self, number: u32, sender: usize) -> bool {
        self.senders.get(number as usize) == Some(&sender)
    }

    /// A message was answered: when it was meant to be sent, unless that is known already.
    pub(crate) fn answered(&mut self, number: u32, taken: bool) -> Option<Duration> {
        let (meant_at, state) = self.sent.get_mut(number as usize)?;
        if *state != State::UnderWay {
            return None;
        }
        *state = if taken { State::Taken } else { State::Refused };
        Some(*meant_at)
    }

    /// A message came to a connection. Rooms and numbers are the same in every run on a server, times are not: they tell what earlier
    /// ones left there.
    pub(crate) fn arrived(&mut self, receiver: &mut Receiver, mark: Mark) -> Arrival {
        let number = mark.number;
        let Some(&(meant_at, _)) = self.sent.get(number as usize) else { return Arrival::Unknown };
        // As a mark writes it.
        if meant_at.as_micros() != mark.meant_at.as_micros() {
            return Arrival::Unknown;
        }
        let place = *self.places[number as usize].get_or_insert_with(|| {
            self.order.push(number);
            self.order.len() - 1
        });
        if place >= receiver.next {
            receiver.missing.extend(receiver.next..place);
            receiver.next = place + 1;
        } else if receiver.missing.remove(&place) {
            receiver.disordered += 1;
        } else {
            receiver.repeated += 1;
            return Arrival::Repeated;
        }
        Arrival::Fresh(meant_at)
    }

    /// Messages that are not answered yet.
    pub(crate) fn unanswered(&self) -> usize {
        self.sent.iter().filter(|(_, state)| *state == State::UnderWay).count()
    }

    /// Messages so far.
    pub(crate) fn len(&self) -> usize {
        self.sent.len()
    }

    /// Whether the connection got everything that was taken.
    pub(crate) fn is_complete(&self, receiver: &Receiver) -> bool {
        self.lost(receiver) == 0
    }

    /// What is wrong with what a connection got.
    pub(crate) fn faults(&self, receiver: &Receiver) -> Faults {
        let Receiver { repeated, disordered, .. } = *receiver;
        Faults { lost: self.lost(receiver), repeated, disordered }
    }

    fn lost(&self, receiver: &Receiver) -> u64 {
        if receiver.missing.is_empty() && receiver.next == self.sent.len() {
            return 0;
        }
        let came = |place: &Option<usize>| {
            place.is_some_and(|place| place < receiver.next && !receiver.missing.contains(&place))
        };
        let taken = self.sent.iter().zip(&self.places).filter(|((_, state), _)| *state == State::Taken);
        taken.filter(|(_, place)| !came(place)).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(number: u32, meant_at: Duration) -> Mark {
        Mark { room: 0, number, meant_at }
    }

    fn ledger(messages: u32) -> Ledger {
        let mut ledger = Ledger::default();
        for number in 0..messages {
            assert_eq!(ledger.send(0, Duration::ZERO), number);
            ledger.answered(number, true);
        }
        ledger
    }

    fn deliver(ledger: &mut Ledger, numbers: &[u32]) -> Receiver {
        let mut receiver = Receiver::default();
        for number in numbers {
            ledger.arrived(&mut receiver, mark(*number, Duration::ZERO));
        }
        receiver
    }

    #[test]
    fn what_came_once_and_in_order_is_without_fault() {
        let mut ledger = ledger(3);
        let receiver = deliver(&mut ledger, &[0, 1, 2]);
        assert_eq!(ledger.faults(&receiver), Faults::default());
        assert!(ledger.is_complete(&receiver));
    }

    #[test]
    fn loss_repeats_and_disorder_are_counted() {
        let mut ledger = ledger(5);
        deliver(&mut ledger, &[0, 1, 2, 3]);
        let receiver = deliver(&mut ledger, &[1, 0, 3, 3, 2]);
        // Number 4 came to nobody; 0 and 2 came late.
        assert_eq!(ledger.faults(&receiver), Faults { lost: 1, repeated: 1, disordered: 2 });
        let receiver = deliver(&mut ledger, &[0, 3]);
        assert_eq!(ledger.faults(&receiver), Faults { lost: 3, repeated: 0, disordered: 0 });
    }

    #[test]
    fn what_was_refused_is_missed_by_nobody() {
        let mut ledger = Ledger::default();
        let number = ledger.send(0, Duration::ZERO);
        assert_eq!(ledger.unanswered(), 1);
        assert_eq!(ledger.answered(number, false), Some(Duration::ZERO));
        assert_eq!(ledger.answered(number, true), None);
        assert!(ledger.is_complete(&Receiver::default()));
        assert_eq!(ledger.arrived(&mut Receiver::default(), mark(7, Duration::ZERO)), Arrival::Unknown);
    }

    #[test]
    fn what_an_earlier_run_left_is_not_of_this_one() {
        let (earlier, now) = (Duration::from_nanos(3_000_100), Duration::from_nanos(5_000_700));
        let mut ledger = Ledger::default();
        let number = ledger.send(0, now);
        ledger.answered(number, true);
        let mut receiver = Receiver::default();
        assert_eq!(ledger.arrived(&mut receiver, mark(number, earlier)), Arrival::Unknown);
        assert_eq!(ledger.faults(&receiver), Faults { lost: 1, ..Faults::default() });
        // Less than a microsecond is not written.
        let text = mark(number, now).text(0);
        let read = crate::mark::find(&text).next().unwrap();
        assert_eq!(ledger.arrived(&mut receiver, read), Arrival::Fresh(now));
        assert_eq!(ledger.arrived(&mut receiver, mark(number, earlier)), Arrival::Unknown);
        assert_eq!(ledger.faults(&receiver), Faults::default());
    }
}
