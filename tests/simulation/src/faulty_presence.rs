use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chat_core::{
    Backend, ConnectionId, Presence, Result, UserId,
    memory::MemoryPresence,
    presence::{LeaseStatus, NodeLease, PresenceChange, PresenceConnection, UserPresence},
};

use crate::{dice::Dice, faulty_fanout::broken, scenario::Weakness};

/// A presence that fails, now and then for longer than a lease lasts.
#[derive(Debug)]
pub(crate) struct FaultyPresence {
    pub(crate) presence: MemoryPresence,
    pub(crate) dice: Dice,
    pub(crate) dead: Arc<AtomicBool>,
    /// Nothing answers, on any node.
    pub(crate) outage: Arc<AtomicBool>,
    pub(crate) weakness: Option<Weakness>,
}

impl FaultyPresence {
    async fn trouble(&self, operation: &'static str) -> Result<()> {
        tokio::time::sleep(self.dice.millis(0..5)).await;
        let out = self.dead.load(Ordering::Relaxed) || self.outage.load(Ordering::Relaxed);
        if out || self.dice.fault(5) { Err(broken(operation)) } else { Ok(()) }
    }
}

#[async_trait]
impl Backend for FaultyPresence {
    fn name(&self) -> &'static str {
        "faulty"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Presence for FaultyPresence {
    async fn renew(&self, lease: &NodeLease, ttl: Duration) -> Result<LeaseStatus> {
        self.trouble("renew").await?;
        let status = self.presence.renew(lease, ttl).await;
        self.trouble("renew").await?;
        status
    }

    async fn release(&self, lease: &NodeLease) -> Result<()> {
        self.trouble("release").await?;
        self.presence.release(lease).await
    }

    async fn connected(&self, connection: &PresenceConnection) -> Result<PresenceChange> {
        self.trouble("connected").await?;
        let change = self.presence.connected(connection).await;
        self.trouble("connected").await?;
        change
    }

    async fn disconnected(&self, connection: &PresenceConnection) -> Result<PresenceChange> {
        self.trouble("disconnected").await?;
        let change = self.presence.disconnected(connection).await;
        if self.weakness == Some(Weakness::StaleIncarnation) && self.dice.fault(20) {
            // A late heartbeat, which a store that does not compare incarnations takes for a living connection.
            let mut late = connection.clone();
            late.connection = ConnectionId::generate();
            self.presence.connected(&late).await?;
        }
        change
    }

    async fn presence(&self, users: &[UserId]) -> Result<Vec<UserPresence>> {
        self.trouble("presence").await?;
        self.presence.presence(users).await
    }

    async fn sweep(&self, grace: Duration) -> Result<Vec<UserPresence>> {
        self.trouble("sweep").await?;
        self.presence.sweep(grace).await
    }
}
