use std::{sync::Arc, time::Duration};

use chat_core::Mutation;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::{
    client::{Client, Stage},
    history::Report,
    settle::check_settled,
    store::StoreKind,
    world::World,
};

/// A promise that a backend does not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakness {
    /// The log stores a repeated send again.
    NoDedup,
    /// The log does not look at memberships.
    NoMembershipCheck,
    /// Presence takes a late word of a connection that has ended.
    StaleIncarnation,
}

/// What a run is made of; all of it follows from the seed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Plan {
    /// Where all chance comes from.
    pub seed: u64,
    /// A fault put into the engine.
    pub mutation: Option<Mutation>,
    /// A fault put into a backend.
    pub weakness: Option<Weakness>,
    /// Where messages and rooms are kept.
    pub store: StoreKind,
    /// Prints what happens.
    pub verbose: bool,
    pub(crate) nodes: usize,
    pub(crate) rooms: usize,
    pub(crate) users: usize,
    pub(crate) clients: usize,
    pub(crate) chaos: Duration,
    pub(crate) restores: bool,
    pub(crate) trims: bool,
    pub(crate) clock_jumps: bool,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x5eed);
        let users = rng.usize(2..5);
        Self {
            seed,
            mutation: None,
            weakness: None,
            store: StoreKind::default(),
            verbose: false,
            nodes: rng.usize(1..4),
            rooms: rng.usize(1..4),
            users,
            clients: users + rng.usize(0..3),
            chaos: Duration::from_millis(rng.u64(6_000..20_000)),
            restores: rng.u8(0..4) == 0,
            trims: rng.u8(0..4) == 0,
            clock_jumps: rng.bool(),
        }
    }

    /// With a fault in the engine.
    #[must_use]
    pub const fn with_mutation(mut self, mutation: Mutation) -> Self {
        self.mutation = Some(mutation);
        self
    }

    /// With a fault in a backend.
    #[must_use]
    pub const fn with_weakness(mut self, weakness: Weakness) -> Self {
        self.weakness = Some(weakness);
        self
    }

    /// With another store. A weakness is a fault of the one in memory.
    #[must_use]
    pub const fn with_store(mut self, store: StoreKind) -> Self {
        self.store = store;
        self
    }

    /// With everything printed.
    #[must_use]
    pub const fn verbose(mut self) -> Self {
        self.verbose = true;
        self
    }
}

/// Runs a plan and checks what came of it.
#[must_use]
pub fn run(plan: &Plan) -> Report {
    // The engine's jitter and the store's random bits come from here.
    fastrand::seed(plan.seed);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let report = runtime.block_on(play(plan));
    runtime.shutdown_background();
    report
}

async fn play(plan: &Plan) -> Report {
    let world = World::new(plan).await;
    let stage = watch::Sender::new(Stage::Chaos);
    let clients: Vec<_> = (0..plan.clients)
        .map(|name| tokio::spawn(Client::new(world.clone(), name, stage.subscribe()).run()))
        .collect();

    let end = Instant::now() + plan.chaos;
    let mut episodes = Vec::new();
    while Instant::now() < end {
        sleep(world.dice.millis(100..1_500)).await;
        episodes.push(tokio::spawn(episode(world.clone(), plan.clone())));
    }
    world.dice.end_faults();
    for episode in episodes {
        episode.await.unwrap();
    }
    world.start_nodes();
    for room in &world.rooms {
        for user in &world.users {
            world.let_in(room, user).await;
        }
    }
    world.history.note(|| "settling".to_owned());
    stage.send_replace(Stage::Settling);
    check_settled(&world, stage, clients).await;
    world.store.close().await;
    world.history.report()
}

/// Something happens to the cluster.
async fn episode(world: Arc<World>, plan: Plan) {
    match world.dice.number(0..10) {
        0 | 1 => {
            world.kill_node();
            sleep(world.dice.millis(100..4_000)).await;
            world.start_nodes();
        }
        2 | 3 => world.remove_member().await,
        4 => world.revoke().await,
        5 => world.presence_outage().await,
        6 if plan.clock_jumps => {
            world.clock.jump(world.dice.chance(50), Duration::from_secs(world.dice.number(1..3_600)));
        }
        7 if plan.trims => world.trim().await,
        8 if plan.restores => world.back_up().await,
        9 if plan.restores => world.restore().await,
        _ => {}
    }
}
