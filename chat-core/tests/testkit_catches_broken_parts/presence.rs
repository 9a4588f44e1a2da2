use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chat_core::{
    Backend, Presence, Result, UserId,
    memory::MemoryPresence,
    presence::{Incarnation, LeaseStatus, NodeLease, PresenceChange, PresenceConnection, UserPresence},
    testkit::{PresenceHarness, presence as cases},
};

use super::{catches, panics};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    AcceptsStale,
    SweepsTwice,
    SweepsEarly,
    LeasesNeverExpire,
    OneLeaseForAll,
    AnnouncesEveryDevice,
}

#[derive(Debug)]
struct BrokenPresence {
    presence: MemoryPresence,
    leases: Mutex<Vec<NodeLease>>,
    last_sweep: Mutex<Vec<UserPresence>>,
    fault: Option<Fault>,
}

impl BrokenPresence {
    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }
}

#[async_trait]
impl Backend for BrokenPresence {
    fn name(&self) -> &'static str {
        "broken"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Presence for BrokenPresence {
    async fn renew(&self, lease: &NodeLease, ttl: Duration) -> Result<LeaseStatus> {
        if self.has(Fault::LeasesNeverExpire) {
            return self.presence.renew(lease, Duration::from_secs(3_600)).await;
        }
        let others = self.leases.lock().unwrap().clone();
        if self.has(Fault::OneLeaseForAll) {
            for other in &others {
                self.presence.renew(other, ttl).await?;
            }
        }
        self.leases.lock().unwrap().push(lease.clone());
        self.presence.renew(lease, ttl).await
    }

    async fn release(&self, lease: &NodeLease) -> Result<()> {
        self.presence.release(lease).await
    }

    async fn connected(&self, connection: &PresenceConnection) -> Result<PresenceChange> {
        match self.presence.connected(connection).await? {
            PresenceChange::Stale if self.has(Fault::AcceptsStale) => {
                let Incarnation(incarnation) = connection.incarnation;
                let incarnation = Incarnation(incarnation + 1_000);
                self.presence.connected(&PresenceConnection { incarnation, ..connection.clone() }).await
            }
            PresenceChange::Noted if self.has(Fault::AnnouncesEveryDevice) => Ok(PresenceChange::CameOnline),
            change => Ok(change),
        }
    }

    async fn disconnected(&self, connection: &PresenceConnection) -> Result<PresenceChange> {
        self.presence.disconnected(connection).await
    }

    async fn presence(&self, users: &[UserId]) -> Result<Vec<UserPresence>> {
        self.presence.presence(users).await
    }

    async fn sweep(&self, grace: Duration) -> Result<Vec<UserPresence>> {
        let grace = if self.has(Fault::SweepsEarly) { Duration::ZERO } else { grace };
        let gone = self.presence.sweep(grace).await?;
        if !self.has(Fault::SweepsTwice) {
            return Ok(gone);
        }
        let before = std::mem::replace(&mut *self.last_sweep.lock().unwrap(), gone.clone());
        Ok(before.into_iter().chain(gone).collect())
    }
}

struct Broken {
    fault: Option<Fault>,
}

impl Broken {
    fn new(fault: Option<Fault>) -> Self {
        Self { fault }
    }
}

#[async_trait]
impl PresenceHarness for Broken {
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn Presence>> {
        let shared = Arc::new(BrokenPresence {
            presence: MemoryPresence::new(),
            leases: Mutex::default(),
            last_sweep: Mutex::default(),
            fault: self.fault,
        });
        (0..count).map(|_| Arc::clone(&shared) as Arc<dyn Presence>).collect()
    }

    fn unit(&self) -> Duration {
        Duration::from_millis(500)
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

catches! {
    a_stale_claim_that_is_accepted:
        Broken, Fault::AcceptsStale, cases::connections::a_connection_that_was_ended_does_not_come_back;
    a_stale_claim_that_is_accepted_in_a_race:
        Broken, Fault::AcceptsStale, cases::race::connects_and_disconnects_at_once_end_in_the_truth;
    a_sweep_that_gives_a_user_twice: Broken, Fault::SweepsTwice, cases::race::sweeps_at_once_give_each_user_to_one_caller;
    a_sweep_before_the_grace: Broken, Fault::SweepsEarly, cases::connections::a_sweep_does_not_come_before_the_grace;
    a_lease_that_never_expires:
        Broken, Fault::LeasesNeverExpire, cases::lease::a_lease_that_runs_out_ends_its_connections;
    one_lease_for_all_devices:
        Broken, Fault::OneLeaseForAll, cases::lease::a_dead_device_does_not_live_on_another_ones_lease;
    every_device_announced:
        Broken, Fault::AnnouncesEveryDevice, cases::race::connects_at_once_bring_a_user_online_once;
}
