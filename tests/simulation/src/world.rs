use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chat_core::{
    Chat, Epoch, Head, MemberChange, NewRoom, Retention, Role, RoomId, Seq, Timestamp, UserId,
    auth::{Credentials, Revocation, RevocationScope},
    memory::{MemoryFanout, MemoryPresence, MemoryRevocations},
};

use crate::{
    dice::{Dice, JumpingClock},
    history::History,
    node::{Lifeline, Node},
    scenario::Plan,
    store::{Backup, Store},
};

/// The store, the carriers, the nodes: all that clients talk to.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) bus: MemoryFanout,
    pub(crate) presence: MemoryPresence,
    pub(crate) presence_outage: Arc<AtomicBool>,
    pub(crate) revocations: Arc<MemoryRevocations>,
    pub(crate) clock: Arc<JumpingClock>,
    pub(crate) dice: Dice,
    pub(crate) history: History,
    pub(crate) rooms: Vec<RoomId>,
    pub(crate) users: Vec<UserId>,
    nodes: Mutex<Vec<Option<Node>>>,
    /// One change of membership at a time, so that it is known who was a member when.
    memberships: tokio::sync::Mutex<()>,
    backup: Mutex<Option<(Backup, BTreeMap<RoomId, Seq>)>>,
    /// Tokens are numbered; those below this number were withdrawn.
    issues: Mutex<BTreeMap<UserId, u64>>,
    plan: Plan,
}

impl World {
    pub(crate) async fn new(plan: &Plan) -> Arc<Self> {
        let clock = JumpingClock::new();
        let history = History::new(plan.verbose);
        let store = Store::open(plan.store, clock.clone(), history.clone()).await;
        let world = Self {
            bus: MemoryFanout::with_buffer(48),
            presence: MemoryPresence::with_clock(clock.clone()),
            presence_outage: Arc::default(),
            revocations: Arc::new(MemoryRevocations::with_clock(clock.clone())),
            dice: Dice::new(plan.seed),
            history,
            rooms: (0..plan.rooms).map(|n| RoomId::new(&format!("room-{n}")).unwrap()).collect(),
            users: (0..plan.users).map(|n| UserId::new(&format!("user-{n}")).unwrap()).collect(),
            nodes: Mutex::default(),
            memberships: tokio::sync::Mutex::default(),
            backup: Mutex::default(),
            issues: Mutex::default(),
            plan: plan.clone(),
            clock,
            store,
        };
        for room in &world.rooms {
            world.store.rooms().create(NewRoom::new(room.clone())).await.unwrap();
            for user in &world.users {
                let change = MemberChange::add(user.clone(), Role::Member);
                world.store.rooms().change_member(room, change).await.unwrap();
            }
        }
        let nodes = (0..plan.nodes).map(|_| Some(Node::start(&world, plan))).collect();
        *world.nodes.lock().unwrap() = nodes;
        Arc::new(world)
    }

    /// Some node that is alive.
    pub(crate) fn node(&self) -> Option<(Chat, Lifeline)> {
        let nodes = self.nodes.lock().unwrap();
        let alive: Vec<&Node> = nodes.iter().flatten().collect();
        (!alive.is_empty()).then(|| {
            let node = alive[self.dice.index(alive.len())];
            (node.chat.clone(), node.lifeline())
        })
    }

    pub(crate) fn token(&self, user: &UserId) -> Credentials {
        let issue = self.issues.lock().unwrap().get(user).copied().unwrap_or(1);
        Credentials::token(format!("{user}/{issue}"))
    }

    pub(crate) fn kill_node(&self) {
        let mut nodes = self.nodes.lock().unwrap();
        let at = self.dice.index(nodes.len());
        if let Some(node) = nodes[at].take() {
            self.history.note(|| format!("node {at} dies"));
            node.kill();
        }
    }

    pub(crate) fn start_nodes(&self) {
        let mut nodes = self.nodes.lock().unwrap();
        for node in nodes.iter_mut().filter(|node| node.is_none()) {
            *node = Some(Node::start(self, &self.plan));
        }
    }

    /// Removes a member by way of a node, as an administrator would, and lets them in again later.
    pub(crate) async fn remove_member(&self) {
        let (room, user) = (self.some_room(), self.some_user());
        {
            let _turn = self.memberships.lock().await;
            let Some((chat, _)) = self.node() else { return };
            let service = chat.system(UserId::new("service").unwrap());
            if service.change_member(&room, MemberChange::remove(user.clone())).await.is_ok() {
                self.history.banned(&user, &room);
            }
        }
        tokio::time::sleep(self.dice.millis(2_000..9_000)).await;
        self.let_in(&room, &user).await;
    }

    pub(crate) async fn let_in(&self, room: &RoomId, user: &UserId) {
        let _turn = self.memberships.lock().await;
        self.history.let_in(user, room);
        // By way of the store, so that it comes about whatever nodes there are.
        self.store.rooms().change_member(room, MemberChange::add(user.clone(), Role::Member)).await.unwrap();
    }

    pub(crate) async fn revoke(&self) {
        let user = self.some_user();
        let Some((chat, _)) = self.node() else { return };
        let issue = self.issues.lock().unwrap().get(&user).copied().unwrap_or(1) + 1;
        let scope = RevocationScope::IssuedBefore(Timestamp::from_millis(issue));
        let until = Timestamp::from_millis(u64::MAX / 2);
        if chat.revoke(Revocation { user: user.clone(), scope, until }).await.is_ok() {
            self.history.revoked(&user);
            self.issues.lock().unwrap().insert(user, issue);
        }
    }

    pub(crate) async fn trim(&self) {
        let retention = Retention { max_entries: Some(self.dice.number(20..80)), not_before: None };
        let room = self.some_room();
        let alone = self.store.alone().await;
        let head = alone.trim(&room, retention).await.unwrap();
        self.history.trimmed(&room, head.oldest);
    }

    pub(crate) async fn heads(&self) -> BTreeMap<RoomId, (Epoch, Seq, Seq)> {
        self.named(self.store.message_log().heads(&self.rooms).await.unwrap())
    }

    fn named(&self, heads: Vec<Option<Head>>) -> BTreeMap<RoomId, (Epoch, Seq, Seq)> {
        let named = self.rooms.iter().cloned().zip(heads.into_iter().flatten());
        named.map(|(room, head)| (room, (head.cursor.epoch, head.cursor.seq, head.oldest))).collect()
    }

    pub(crate) async fn back_up(&self) {
        let alone = self.store.alone().await;
        let heads = self.named(alone.heads(&self.rooms).await.unwrap());
        let heads = heads.into_iter().map(|(room, (_, seq, _))| (room, seq)).collect();
        let backup = alone.back_up().await;
        *self.backup.lock().unwrap() = Some((backup, heads));
        self.history.note(|| "backed up".to_owned());
    }

    /// Puts the backup back: what was stored since is lost, and the store says so by its epoch.
    pub(crate) async fn restore(&self) {
        let Some((backup, heads)) = self.backup.lock().unwrap().take() else { return };
        let turn = self.memberships.lock().await;
        let alone = self.store.alone().await;
        let epoch = |heads| self.named(heads)[&self.rooms[0]].0.clone();
        let from = epoch(alone.heads(&self.rooms).await.unwrap());
        alone.restore(backup).await;
        let to = epoch(alone.heads(&self.rooms).await.unwrap());
        self.history.restored(&from, &to, &heads);
        drop(alone);
        drop(turn);
        // The backup's memberships may be older than the latest changes.
        for room in &self.rooms {
            for user in &self.users {
                self.let_in(room, user).await;
            }
        }
    }

    /// No presence for longer than a lease lasts.
    pub(crate) async fn presence_outage(&self) {
        self.presence_outage.store(true, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(5)).await;
        self.presence_outage.store(false, Ordering::Relaxed);
    }

    /// Client ids may be forgotten in this run.
    pub(crate) const fn forgets(&self) -> bool {
        self.plan.restores || self.plan.trims
    }

    pub(crate) fn some_room(&self) -> RoomId {
        self.rooms[self.dice.index(self.rooms.len())].clone()
    }

    pub(crate) fn some_user(&self) -> UserId {
        self.users[self.dice.index(self.users.len())].clone()
    }
}
