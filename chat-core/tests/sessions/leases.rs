//! A node's lease, and what becomes of its users when the store says less than it did.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chat_core::{
    Backend, Presence, Result, UserId,
    memory::MemoryPresence,
    presence::{LeaseStatus, NodeLease, PresenceChange, PresenceConnection, UserPresence},
};

use crate::world::{World, connect, quiet, user};

/// When told to, it loses the lease, begins it anew when that is asked for, and never says so.
#[derive(Debug, Clone)]
struct Silent {
    presence: MemoryPresence,
    loses: Arc<AtomicBool>,
}

#[async_trait]
impl Backend for Silent {
    fn name(&self) -> &'static str {
        "silent"
    }

    async fn health(&self) -> Result<()> {
        self.presence.health().await
    }
}

#[async_trait]
impl Presence for Silent {
    async fn renew(&self, lease: &NodeLease, ttl: Duration) -> Result<LeaseStatus> {
        if self.loses.swap(false, Ordering::Relaxed) {
            self.presence.release(lease).await?;
            assert_eq!(self.presence.renew(lease, ttl).await?, LeaseStatus::Started);
            return std::future::pending().await;
        }
        self.presence.renew(lease, ttl).await
    }

    async fn release(&self, lease: &NodeLease) -> Result<()> {
        self.presence.release(lease).await
    }

    async fn connected(&self, connection: &PresenceConnection) -> Result<PresenceChange> {
        self.presence.connected(connection).await
    }

    async fn disconnected(&self, connection: &PresenceConnection) -> Result<PresenceChange> {
        self.presence.disconnected(connection).await
    }

    async fn presence(&self, users: &[UserId]) -> Result<Vec<UserPresence>> {
        self.presence.presence(users).await
    }

    async fn sweep(&self, grace: Duration) -> Result<Vec<UserPresence>> {
        self.presence.sweep(grace).await
    }
}

#[tokio::test(start_paused = true)]
async fn connections_are_registered_again_also_where_the_answer_that_began_the_lease_was_lost() {
    let world = World::new();
    let presence = Silent { presence: world.presence.clone(), loses: Arc::default() };
    let chat = world.builder(quiet()).presence(presence.clone()).build().unwrap();
    let _ann = connect(&chat, "ann").await;
    let _bob = connect(&chat, "bob").await;
    let online = async || {
        let users = world.presence.presence(&[user("ann"), user("bob")]).await.unwrap();
        users.iter().filter(|user| user.online).count()
    };
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(online().await, 2);
    presence.loses.store(true, Ordering::Relaxed);
    // One renewal without an answer, and one with.
    tokio::time::sleep(quiet().presence_renewal + quiet().call_timeout - Duration::from_millis(20)).await;
    assert!(!presence.loses.load(Ordering::Relaxed));
    assert_eq!(online().await, 0);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(online().await, 2);
}
