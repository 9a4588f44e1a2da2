//! A fan-out that carries nothing and a presence that knows nobody, so that only the engine's own memory is measured.

use std::time::Duration;

use async_trait::async_trait;
use chat_core::{
    Backend, Fanout, Presence, Result, UserId,
    fanout::{Publication, Subscription, Topic},
    presence::{LeaseStatus, NodeLease, PresenceChange, PresenceConnection, UserPresence},
};

#[derive(Debug)]
pub(crate) struct Quiet;

#[async_trait]
impl Backend for Quiet {
    fn name(&self) -> &'static str {
        "quiet"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Fanout for Quiet {
    async fn publish(&self, _: &[Publication]) -> Result<()> {
        Ok(())
    }

    async fn subscribe(&self, _: &Topic) -> Result<Subscription> {
        Ok(Subscription::new(futures::stream::pending()))
    }
}

#[async_trait]
impl Presence for Quiet {
    async fn renew(&self, _: &NodeLease, _: Duration) -> Result<LeaseStatus> {
        Ok(LeaseStatus::Renewed)
    }

    async fn release(&self, _: &NodeLease) -> Result<()> {
        Ok(())
    }

    async fn connected(&self, _: &PresenceConnection) -> Result<PresenceChange> {
        Ok(PresenceChange::Noted)
    }

    async fn disconnected(&self, _: &PresenceConnection) -> Result<PresenceChange> {
        Ok(PresenceChange::Noted)
    }

    async fn presence(&self, users: &[UserId]) -> Result<Vec<UserPresence>> {
        Ok(users.iter().cloned().map(UserPresence::never).collect())
    }

    async fn sweep(&self, _: Duration) -> Result<Vec<UserPresence>> {
        Ok(Vec::new())
    }
}
