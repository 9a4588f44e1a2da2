#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use chat_core::{NodeId, memory::MemoryPresence, presence::Incarnation};
use chat_test_services::{Proxy, Redis};
use futures::future::join_all;
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::*;
use crate::RedisConfig;

const LONG: Duration = Duration::from_secs(3_600);
const PATIENCE: Duration = Duration::from_secs(60);

fn lease(incarnation: u64) -> NodeLease {
    NodeLease { node: NodeId::new("n1").unwrap(), incarnation: Incarnation(incarnation) }
}

fn connection(name: &str, incarnation: u64, lease: &NodeLease) -> PresenceConnection {
    PresenceConnection {
        user: UserId::new(name).unwrap(),
        connection: ConnectionId::new(name).unwrap(),
        incarnation: Incarnation(incarnation),
        lease: lease.clone(),
    }
}

/// Where a node lists, on keys of the test's own.
struct Place {
    server: &'static Redis,
    shared: Arc<Shared>,
    prefix: String,
}

impl Place {
    async fn new() -> Self {
        let server = Redis::shared().await.unwrap();
        Self::at(server, server.url()).await
    }

    async fn at(server: &'static Redis, url: &str) -> Self {
        let config = RedisConfig::from_url(url).unwrap().with_prefix(server.prefix());
        let config = config.with_command_timeout(PATIENCE);
        let shared = Arc::new(crate::connect::connect(config).await.unwrap());
        Self { server, shared, prefix: format!("{}user:", server.prefix()) }
    }

    fn lists(&self) -> ListedPresence {
        ListedPresence::new(Arc::clone(&self.shared), self.prefix.clone())
    }

    /// Until when a user's one connection is listed, if it is.
    async fn ends(&self, name: &str) -> Option<u64> {
        let entry = self.server.ask(&format!("HGET {}{name} {name}", self.prefix)).await.unwrap();
        let entry = serde_json::from_str::<serde_json::Value>(&entry).ok()?;
        entry["expiresAt"].as_u64()
    }

    /// Whether a renewal lists it anew.
    async fn is_renewed(&self, presence: &ListedPresence, name: &str, lease: &NodeLease) -> bool {
        let before = self.ends(name).await;
        sleep(Duration::from_millis(20)).await;
        assert_eq!(presence.renew(lease, LONG).await.unwrap(), LeaseStatus::Renewed);
        let after = self.ends(name).await;
        after.is_some() && after > before
    }
}

/// All of them have their turn, whatever their names.
#[tokio::test]
async fn more_users_than_one_renewal_can_write_are_all_listed_anew_by_a_few() {
    // There is time for twice as many as are written at once, and as many again are on their way then.
    const USERS: usize = 4 * WRITTEN_AT_ONCE;
    let server = Redis::shared().await.unwrap();
    let proxy = Proxy::start(server.address().unwrap()).await.unwrap();
    let url = server.url().replace(&server.address().unwrap(), &proxy.address().to_string());
    let place = Place::at(server, &url).await;
    let presence = ListedPresence { writing: Duration::from_millis(500), ..place.lists() };
    let lease = lease(1);
    presence.renew(&lease, LONG).await.unwrap();
    let names: Vec<_> = (0..USERS).map(|number| format!("u{number}")).collect();
    let devices: Vec<_> = names.iter().map(|name| connection(name, 1, &lease)).collect();
    for done in join_all(devices.iter().map(|device| presence.connected(device))).await {
        assert_eq!(done.unwrap(), PresenceChange::CameOnline);
    }
    let all = async || join_all(names.iter().map(|name| place.ends(name))).await;
    let renewed = |before: &[Option<u64>], now: &[Option<u64>]| {
        before.iter().zip(now).filter(|(before, now)| now > before).count()
    };
    let begun = all().await;
    // There, and as long back.
    proxy.delay(Duration::from_millis(100));
    presence.renew(&lease, LONG).await.unwrap();
    // What was on its way still comes.
    sleep(Duration::from_millis(300)).await;
    let once = renewed(&begun, &all().await);
    assert!(once < USERS, "one renewal can write all of them");
    for _ in 1..3 {
        presence.renew(&lease, LONG).await.unwrap();
    }
    sleep(Duration::from_millis(300)).await;
    assert_eq!(renewed(&begun, &all().await), USERS);
}

/// It holds back the answer to the first call.
#[derive(Debug)]
struct Late {
    inner: MemoryPresence,
    is_first: AtomicBool,
    answered: Semaphore,
    released: Semaphore,
}

#[async_trait]
impl Backend for Late {
    fn name(&self) -> &'static str {
        "late"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Presence for Late {
    async fn renew(&self, lease: &NodeLease, ttl: Duration) -> Result<LeaseStatus> {
        self.inner.renew(lease, ttl).await
    }

    async fn release(&self, lease: &NodeLease) -> Result<()> {
        self.inner.release(lease).await
    }

    async fn connected(&self, connection: &PresenceConnection) -> Result<PresenceChange> {
        let change = self.inner.connected(connection).await;
        if self.is_first.swap(false, Ordering::AcqRel) {
            self.answered.add_permits(1);
            self.released.acquire().await.unwrap().forget();
        }
        change
    }

    async fn disconnected(&self, connection: &PresenceConnection) -> Result<PresenceChange> {
        self.inner.disconnected(connection).await
    }

    async fn presence(&self, users: &[UserId]) -> Result<Vec<UserPresence>> {
        self.inner.presence(users).await
    }

    async fn sweep(&self, grace: Duration) -> Result<Vec<UserPresence>> {
        self.inner.sweep(grace).await
    }
}

/// The store had lost the lease when a worker asked, and a renewal has begun it anew before the worker hears of that.
#[tokio::test]
async fn a_late_refusal_takes_nothing_out_that_was_registered_meanwhile() {
    let place = Place::new().await;
    let late = Arc::new(Late {
        inner: MemoryPresence::new(),
        is_first: AtomicBool::new(true),
        answered: Semaphore::new(0),
        released: Semaphore::new(0),
    });
    let (inner, shared) = (Arc::clone(&late) as Arc<dyn Presence>, Arc::clone(&place.shared));
    let presence = Arc::new(ListedPresence::over(inner, shared, place.prefix.clone()));
    let (lease, worker) = (lease(1), Arc::clone(&presence));
    let ann = connection("ann", 1, &lease);
    let asked = ann.clone();
    let worker = tokio::spawn(async move { worker.connected(&asked).await });
    timeout(PATIENCE, late.answered.acquire()).await.unwrap().unwrap().forget();
    assert_eq!(presence.renew(&lease, LONG).await.unwrap(), LeaseStatus::Started);
    assert_eq!(presence.connected(&ann).await.unwrap(), PresenceChange::CameOnline);
    late.released.add_permits(1);
    assert_eq!(worker.await.unwrap().unwrap(), PresenceChange::Stale);
    assert!(place.is_renewed(&presence, "ann", &lease).await);
    // Nor is anything left of one that was refused and that nobody registered.
    assert_eq!(
        presence.connected(&connection("bob", 1, &self::lease(7))).await.unwrap(),
        PresenceChange::Stale
    );
    assert!(!place.is_renewed(&presence, "bob", &lease).await);
}

/// As they are where a worker took the lease to name before it was begun anew.
#[tokio::test]
async fn a_call_of_an_older_lease_or_life_takes_nothing_out() {
    let place = Place::new().await;
    let presence = place.lists();
    let [first, second] = [lease(1), lease(2)];
    presence.renew(&first, LONG).await.unwrap();
    presence.renew(&second, LONG).await.unwrap();
    let ann = connection("ann", 2, &second);
    assert_eq!(presence.connected(&ann).await.unwrap(), PresenceChange::CameOnline);
    let older = connection("ann", 2, &first);
    assert_eq!(presence.connected(&older).await.unwrap(), PresenceChange::Stale);
    assert!(place.is_renewed(&presence, "ann", &second).await);
    let ended = connection("ann", 1, &second);
    assert_eq!(presence.disconnected(&ended).await.unwrap(), PresenceChange::Stale);
    assert!(place.is_renewed(&presence, "ann", &second).await);
    presence.disconnected(&ann).await.unwrap();
    assert_eq!(place.ends("ann").await, None);
}

#[test]
fn turns_go_on_after_the_last_one_whoever_came_or_went() {
    let mut here = Here::default();
    let lease = lease(1);
    for name in ["ann", "bob", "cid"] {
        here.register(&connection(name, 1, &lease));
    }
    let turns = |here: &mut Here| here.turns().map(|(user, _)| user.to_string()).collect::<Vec<_>>();
    assert_eq!(turns(&mut here), ["ann", "bob", "cid"]);
    here.had_turn(UserId::new("bob").unwrap());
    assert_eq!(turns(&mut here), ["cid", "ann", "bob"]);
    assert!(here.take(&connection("bob", 1, &lease)));
    here.register(&connection("bea", 1, &lease));
    assert_eq!(turns(&mut here), ["cid", "ann", "bea"]);
    here.had_turn(UserId::new("cid").unwrap());
    assert_eq!(turns(&mut here), ["ann", "bea", "cid"]);
}

#[tokio::test(start_paused = true)]
async fn that_entries_run_out_before_their_turn_comes_is_said_once() {
    const LIFETIME: Duration = Duration::from_secs(60);
    let mut here = Here::default();
    let devices = ["ann", "bob"].map(|name| connection(name, 1, &lease(1)));
    for device in &devices {
        here.register(device);
    }
    let [ann, bob] = devices.map(|device| device.connection);
    for ends in [None, Some(Pace::FellBehind(1)), None] {
        tokio::time::advance(LIFETIME / 2).await;
        here.written([&ann].into_iter(), Instant::now());
        assert_eq!(here.pace(LIFETIME), ends);
    }
    here.written([&bob].into_iter(), Instant::now());
    assert_eq!([here.pace(LIFETIME), here.pace(LIFETIME)], [Some(Pace::CaughtUp), None]);
}
