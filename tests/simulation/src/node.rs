use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chat_core::{
    Auth, Backend, Chat, Mutation, Result, Settings, Timestamp, UserId,
    auth::{AuthError, Credentials, Principal, Revocable},
    rate_limit::{LocalRateLimiter, RateLimits},
};
use tokio::sync::Notify;

use crate::{
    faulty_fanout::FaultyFanout, faulty_log::FaultyLog, faulty_presence::FaultyPresence, scenario::Plan,
    world::World,
};

/// The longest that news may take to get about where the fan-out does not bring it.
pub(crate) const RECHECK: Duration = Duration::from_secs(3);

/// Takes `user/issue number` for a token.
#[derive(Debug)]
struct ByName;

#[async_trait]
impl Backend for ByName {
    fn name(&self) -> &'static str {
        "by-name"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Auth for ByName {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal> {
        let token = credentials.token.as_ref().ok_or(AuthError::Missing)?;
        let (user, issue) = token.expose().split_once('/').ok_or(AuthError::Malformed)?;
        let user = UserId::new(user).map_err(|_| AuthError::Malformed)?;
        let issue: u64 = issue.parse().map_err(|_| AuthError::Malformed)?;
        Ok(Principal::new(user).with_issued_at(Timestamp::from_millis(issue)))
    }

    async fn revalidate(&self, _: &Principal) -> Result<()> {
        Ok(())
    }
}

/// One server. Its clients hold the sessions; when it dies they are told by their lifeline and drop them on the spot.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) chat: Chat,
    dead: Arc<AtomicBool>,
    bell: Arc<Notify>,
}

/// How a client notices that its node is gone.
#[derive(Debug, Clone)]
pub(crate) struct Lifeline {
    dead: Arc<AtomicBool>,
    bell: Arc<Notify>,
}

impl Lifeline {
    /// Returns when the node is dead. Clients notice in the order in which they listened, so that a seed is a run.
    pub(crate) async fn cut(&self) {
        let rings = self.bell.notified();
        tokio::pin!(rings);
        rings.as_mut().enable();
        if !self.dead.load(Ordering::Relaxed) {
            rings.await;
        }
    }
}

impl Node {
    pub(crate) fn start(world: &World, plan: &Plan) -> Self {
        let dead = Arc::new(AtomicBool::new(false));
        let dice = &world.dice;
        let chat = Chat::builder()
            .log(FaultyLog {
                log: world.store.message_log(),
                dice: dice.clone(),
                history: (!world.store.notes()).then(|| world.history.clone()),
                dead: dead.clone(),
                weakness: plan.weakness,
            })
            .rooms(world.store.rooms())
            .fanout(FaultyFanout { bus: world.bus.clone(), dice: dice.clone(), dead: dead.clone() })
            .presence(FaultyPresence {
                presence: world.presence.clone(),
                dice: dice.clone(),
                dead: dead.clone(),
                outage: world.presence_outage.clone(),
                weakness: plan.weakness,
            })
            .auth(Revocable::new(ByName, world.revocations.clone()))
            .revocations(world.revocations.clone())
            .limiter(LocalRateLimiter::new(&RateLimits::unlimited()))
            .clock(world.clock.clone())
            .settings(settings(plan.mutation))
            .build()
            .unwrap();
        Self { chat, dead, bell: Arc::default() }
    }

    pub(crate) fn lifeline(&self) -> Lifeline {
        Lifeline { dead: self.dead.clone(), bell: self.bell.clone() }
    }

    /// Dies without a word: whatever it had under way comes to nothing.
    pub(crate) fn kill(self) {
        self.dead.store(true, Ordering::Relaxed);
        self.bell.notify_waiters();
    }
}

fn settings(mutation: Option<Mutation>) -> Settings {
    let mut settings = Settings::default();
    settings.append_timeout = Duration::from_secs(2);
    settings.call_timeout = Duration::from_secs(2);
    settings.append_lanes = 2;
    settings.append_batch = 8;
    settings.room_buffer_entries = 12;
    settings.room_linger = Duration::from_secs(2);
    settings.replay_limit = 60;
    settings.join_page = 10;
    settings.head_check_interval = Duration::from_secs(2);
    settings.heartbeat_interval = Duration::from_secs(4);
    settings.recheck_interval = RECHECK;
    settings.presence_lease = Duration::from_secs(3);
    settings.presence_renewal = Duration::from_secs(1);
    settings.presence_grace = Duration::from_secs(1);
    settings.mutation = mutation;
    settings
}
