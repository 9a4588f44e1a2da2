//! What can go wrong, and in which order it does.

use std::{fmt, time::Duration};

use crate::cluster::Service;

/// What is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// One of our processes that take clients.
    Gateway,
    /// One that stores what is in the queue.
    Worker,
    /// A server.
    Server(Service),
    /// The network between our processes and a server.
    WayTo(Service),
    /// The network between clients and a gateway.
    WayOfClients,
}

/// What is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deed {
    /// SIGKILL, and started again.
    Kill,
    /// Ended in good order, and started again.
    Stop,
    /// SIGSTOP, and SIGCONT.
    Pause,
    /// Connections are ended by the server, and new ones work.
    EndConnections,
    /// Everything in it is removed.
    Flush,
    /// Its disk has no byte left.
    FillDisk,
    /// Connections are reset and new ones refused.
    Cut,
    /// Connections are reset; new ones work.
    Reset,
    /// The other side is gone and nobody is told.
    HalfOpen,
    /// Everything comes later.
    Delay,
    /// What goes to the server is held.
    HoldRequests,
    /// What comes from the server is held.
    HoldAnswers,
}

const NETWORK: [Deed; 6] =
    [Deed::Cut, Deed::Reset, Deed::HalfOpen, Deed::Delay, Deed::HoldRequests, Deed::HoldAnswers];

/// One kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    pub(crate) target: Target,
    pub(crate) deed: Deed,
}

impl Fault {
    /// For how long it lasts, until what was done is undone; a random time.
    pub(crate) fn lasts(self, dice: &mut fastrand::Rng) -> Duration {
        let millis = match self.deed {
            Deed::EndConnections | Deed::Flush | Deed::Reset => 0..1,
            Deed::Kill | Deed::Stop => 0..8_000,
            Deed::Pause => 5_000..20_000,
            _ => 3_000..20_000,
        };
        Duration::from_millis(dice.u64(millis))
    }

    /// Every kind there is where these servers are, workers or none, and a disk that we may fill or none.
    pub(crate) fn all(servers: &[Service], workers: bool, disk: bool) -> Vec<Self> {
        let mut all = Vec::new();
        let mut add = |target: Target, deeds: &[Deed]| {
            all.extend(deeds.iter().map(|deed| Self { target, deed: *deed }));
        };
        let ours = [Deed::Kill, Deed::Stop, Deed::Pause];
        add(Target::Gateway, &ours);
        if workers {
            add(Target::Worker, &ours);
        }
        add(Target::WayOfClients, &NETWORK);
        for service in servers {
            add(Target::Server(*service), &ours);
            match service {
                Service::Postgres | Service::HotRedis => {
                    add(Target::Server(*service), &[Deed::EndConnections]);
                }
                Service::Redis => add(Target::Server(*service), &[Deed::EndConnections, Deed::Flush]),
                Service::Kafka => {}
            }
            add(Target::WayTo(*service), &NETWORK);
        }
        if disk {
            add(Target::Server(Service::Postgres), &[Deed::FillDisk]);
        }
        all
    }

    /// Whether both at once say something that each alone does not, and can be told apart.
    pub(crate) fn goes_with(self, other: Self) -> bool {
        // What ends in good order is checked for it, which another fault may prevent.
        let in_good_order = |fault: Self| fault.deed == Deed::Stop;
        self.target != other.target && !in_good_order(self) && !in_good_order(other)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.target {
            Target::Gateway => f.write_str("a gateway")?,
            Target::Worker => f.write_str("a worker")?,
            Target::Server(service) => write!(f, "{service}")?,
            Target::WayTo(service) => write!(f, "the network to {service}")?,
            Target::WayOfClients => f.write_str("the network between clients and a gateway")?,
        }
        f.write_str(match (self.deed, self.target) {
            (Deed::Kill, _) => ": kill -9, started again",
            (Deed::Stop, Target::Gateway | Target::Worker) => ": SIGTERM, started again",
            (Deed::Stop, _) => ": stopped in good order, started again",
            (Deed::Pause, _) => ": SIGSTOP for 5 to 20 s",
            (Deed::EndConnections, _) => ": all connections ended by the server",
            (Deed::Flush, _) => ": FLUSHALL",
            (Deed::FillDisk, _) => ": disk full",
            (Deed::Cut, _) => ": cut",
            (Deed::Reset, _) => ": connections reset",
            (Deed::HalfOpen, _) => ": half-open",
            (Deed::Delay, _) => ": delayed",
            (Deed::HoldRequests, _) => ": requests held",
            (Deed::HoldAnswers, _) => ": answers held",
        })
    }
}

/// All kinds in a random order, and again when none is left: each comes once before one comes twice.
#[derive(Debug)]
pub(crate) struct Deck {
    kinds: Vec<Fault>,
    left: Vec<Fault>,
}

impl Deck {
    pub(crate) const fn new(kinds: Vec<Fault>) -> Self {
        Self { kinds, left: Vec::new() }
    }

    pub(crate) fn draw(&mut self, dice: &mut fastrand::Rng) -> Option<Fault> {
        self.draw_if(dice, |_| true)
    }

    /// The next one that is wanted. Those before it keep their places.
    pub(crate) fn draw_if(
        &mut self,
        dice: &mut fastrand::Rng,
        wanted: impl Fn(Fault) -> bool,
    ) -> Option<Fault> {
        if self.left.is_empty() {
            self.left.clone_from(&self.kinds);
            dice.shuffle(&mut self.left);
        }
        let place = self.left.iter().rposition(|fault| wanted(*fault))?;
        Some(self.left.remove(place))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_kind_comes_once_before_one_comes_twice() {
        let kinds =
            Fault::all(&[Service::Postgres, Service::Redis, Service::HotRedis, Service::Kafka], true, true);
        let names: BTreeSet<String> = kinds.iter().map(Fault::to_string).collect();
        assert_eq!(names.len(), kinds.len(), "names tell them apart");
        let mut dice = fastrand::Rng::with_seed(7);
        let mut deck = Deck::new(kinds.clone());
        for _ in 0..2 {
            let drawn: BTreeSet<Fault> = kinds.iter().filter_map(|_| deck.draw(&mut dice)).collect();
            assert_eq!(drawn.len(), kinds.len());
        }
    }

    #[test]
    fn a_seed_is_an_order() {
        let order = |seed: u64| {
            let mut dice = fastrand::Rng::with_seed(seed);
            let mut deck = Deck::new(Fault::all(&[Service::Postgres], false, false));
            (0..10).filter_map(|_| deck.draw(&mut dice)).collect::<Vec<_>>()
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
    }
}
