//! What nodes know of each other: withdrawn credentials, bound sessions, allowances, who was let in.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod live;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chat_backend_redis::RedisConfig;
use chat_core::{
    Auth, Backend, Chat, Clock as _, ConnectionId, Event, Result, SystemClock, Timestamp, TokenId, UserId,
    auth::{AuthError, Binding, BindingPolicy, Credentials, Principal, Revocation, RevocationScope},
    memory::MemoryStore,
    rate_limit::{Quota, RateDecision, RateKey, RateLimits},
    session::CloseReason,
};
use chat_test_services::Redis;
use live::{config, connect, fresh, until, user};
use tokio::time::{Instant, sleep, timeout};

/// Takes the token for the user's id and for its own name, and counts how often it is asked.
#[derive(Debug, Clone, Default)]
struct ByName {
    asked: Arc<AtomicUsize>,
    expires_at: Option<Timestamp>,
}

impl ByName {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

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
        self.asked.fetch_add(1, Ordering::SeqCst);
        let token = credentials.token.as_ref().ok_or(AuthError::Missing)?;
        let user = UserId::new(token.expose()).map_err(|_| AuthError::Malformed)?;
        let token = TokenId::new(token.expose()).map_err(|_| AuthError::Malformed)?;
        let mut principal = Principal::new(user).with_token(token).with_role("admin");
        principal.issued_at = Some(Timestamp::from_secs(1_000));
        principal.expires_at = self.expires_at;
        principal.claims.insert("name".to_owned(), "Ann \u{1F375}".into());
        Ok(principal)
    }

    async fn revalidate(&self, _: &Principal) -> Result<()> {
        Ok(())
    }
}

async fn node(config: &RedisConfig, store: &MemoryStore) -> Chat {
    let backend = connect(config).await;
    Chat::builder()
        .storage(store)
        .fanout(backend.fanout())
        .presence(backend.presence())
        .revocations(backend.revocations())
        .bindings(backend.bindings())
        .limiter(backend.rate_limiter(RateLimits::default()))
        .auth(backend.cached(ByName::default()))
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_withdrawal_is_told_to_the_sessions_on_every_node() {
    let (server, store) = (Redis::private().await.unwrap(), MemoryStore::new());
    let config = config(server.url());
    let (here, there) = (node(&config, &store).await, node(&config, &store).await);
    let (_session, mut events) = there.connect(&Credentials::token("ann")).await.unwrap();
    let (_other, mut others) = there.connect(&Credentials::token("bob")).await.unwrap();
    until("both are listened for", async || {
        let channels = server.ask("PUBSUB SHARDCHANNELS chat:user:*").await.unwrap();
        channels.contains(":ann") && channels.contains(":bob")
    })
    .await;
    let scope = RevocationScope::Token(TokenId::new("ann").unwrap());
    let until = SystemClock.now().after(Duration::from_secs(600));
    here.revoke(Revocation { user: user("ann"), scope, until }).await.unwrap();
    // Sooner than sessions look by themselves, which is every 30 s.
    timeout(Duration::from_secs(25), async { while events.next().await.is_some() {} }).await.unwrap();
    for node in [&here, &there] {
        assert!(node.connect(&Credentials::token("ann")).await.is_err(), "the cache lets nobody in again");
    }
    let open = timeout(Duration::from_millis(200), async { while others.next().await.is_some() {} });
    assert!(open.await.is_err(), "the other one's session goes on");
}

#[tokio::test]
async fn of_sessions_with_one_binding_the_newest_is_left_on_all_nodes() {
    let (config, store) = (fresh(Redis::shared().await.unwrap()), MemoryStore::new());
    let nodes = [node(&config, &store).await, node(&config, &store).await];
    let bound = || Principal::new(user("ann")).with_binding("p1");
    let (_session, mut events) = nodes[0].connect_as(bound()).await.unwrap();
    let (_other, mut others) =
        nodes[0].connect_as(Principal::new(user("ann")).with_binding("p2")).await.unwrap();
    for round in 1..=20 {
        let begun = Instant::now();
        let (_session, newer) = nodes[round % 2].connect_as(bound()).await.unwrap();
        let reason = timeout(Duration::from_secs(5), async {
            loop {
                match events.next().await.expect("why it ends") {
                    Event::Closing(closing) => break closing.reason,
                    _ => continue,
                }
            }
        });
        assert_eq!(reason.await.unwrap(), CloseReason::Superseded);
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(1), "round {round}: {took:?}");
        events = newer;
    }
    let open = timeout(Duration::from_millis(300), async { while others.next().await.is_some() {} });
    assert!(open.await.is_err(), "another presentation of the same user goes on");
}

#[tokio::test]
async fn a_binding_shows_neither_whose_it_is_nor_what_and_goes_by_itself() {
    let server = Redis::private().await.unwrap();
    let store = connect(&config(server.url())).await.bindings();
    let binding = Binding { user: user("ann"), to: "very-secret".to_owned() };
    let connection = ConnectionId::generate();
    let time = Duration::from_millis(500);
    store.claim(&binding, &connection, BindingPolicy::NewerWins, time).await.unwrap();
    let keys = server.ask("KEYS *").await.unwrap();
    assert!(keys.starts_with("chat:binding:") && !keys.contains("ann") && !keys.contains("secret"), "{keys}");
    sleep(time + Duration::from_millis(100)).await;
    assert_eq!(server.ask("DBSIZE").await.unwrap(), "0");
}

#[tokio::test]
async fn a_withdrawal_leaves_no_key_once_it_has_run_out() {
    let server = Redis::private().await.unwrap();
    let store = connect(&config(server.url())).await.revocations();
    let until = SystemClock.now().after(Duration::from_secs(3));
    let ann = Principal::new(user("ann")).with_token(TokenId::new("t1").unwrap());
    for scope in [
        RevocationScope::Token(TokenId::new("t1").unwrap()),
        RevocationScope::IssuedBefore(Timestamp::from_secs(9)),
    ] {
        store.revoke(&Revocation { user: user("ann"), scope, until }).await.unwrap();
    }
    assert!(store.is_revoked(&ann).await.unwrap());
    assert_eq!(server.ask("DBSIZE").await.unwrap(), "2");
    sleep(Duration::from_millis(3_200)).await;
    assert!(!store.is_revoked(&ann).await.unwrap());
    assert_eq!(server.ask("DBSIZE").await.unwrap(), "0");
}

/// However often the same is withdrawn: what another withdrawal outdoes is not kept.
#[tokio::test]
async fn repeating_a_withdrawal_takes_no_more_memory() {
    let server = Redis::private().await.unwrap();
    let store = connect(&config(server.url())).await.revocations();
    let until = SystemClock.now().after(Duration::from_secs(60));
    for secs in (0..200).chain(0..200) {
        let scope = RevocationScope::IssuedBefore(Timestamp::from_secs(secs));
        store.revoke(&Revocation { user: user("ann"), scope, until }).await.unwrap();
    }
    let keys = server.ask("KEYS *").await.unwrap();
    assert_eq!(keys.lines().count(), 1, "{keys}");
    assert_eq!(server.ask(&format!("ZCARD {keys}")).await.unwrap(), "1");
}

fn sends(name: &str) -> RateKey {
    RateKey::UserSends(user(name))
}

#[tokio::test]
async fn an_allowance_is_one_for_all_nodes() {
    let config = fresh(Redis::shared().await.unwrap());
    let limits = RateLimits::unlimited().with_user_sends(Some(Quota::new(1, 10)));
    let nodes =
        [connect(&config).await.rate_limiter(limits.clone()), connect(&config).await.rate_limiter(limits)];
    let (begun, mut allowed) = (Instant::now(), 0);
    for round in 0..30 {
        allowed += u64::from(nodes[round % 2].check(sends("ann")).await.unwrap() == RateDecision::Allowed);
    }
    // And those that came back meanwhile.
    assert!((10..=11 + begun.elapsed().as_secs()).contains(&allowed), "{allowed}");
    assert_eq!(nodes[0].check(RateKey::UserReads(user("ann"))).await.unwrap(), RateDecision::Allowed);
}

#[tokio::test]
async fn while_the_server_is_away_each_node_limits_by_itself() {
    let server = Redis::private().await.unwrap();
    let limits = RateLimits::unlimited().with_user_sends(Some(Quota::new(1, 10)));
    let limiter = connect(&config(server.url())).await.rate_limiter(limits);
    assert_eq!(limiter.check(sends("ann")).await.unwrap(), RateDecision::Allowed);
    server.kill().await.unwrap();
    let begun = Instant::now();
    let mut allowed = 0;
    for _ in 0..100 {
        allowed += u64::from(limiter.check(sends("bob")).await.unwrap() == RateDecision::Allowed);
    }
    assert!((10..=11 + begun.elapsed().as_secs()).contains(&allowed), "{allowed}");
    assert!(begun.elapsed() < Duration::from_secs(50), "not each of them waits: {:?}", begun.elapsed());
    assert!(limiter.health().await.is_err());
}

#[tokio::test]
async fn who_was_let_in_on_one_node_is_not_checked_on_another() {
    let config = fresh(Redis::shared().await.unwrap());
    let auth = ByName::default();
    let nodes = [connect(&config).await.cached(auth.clone()), connect(&config).await.cached(auth.clone())];
    let ann = Credentials::token("ann");
    let first = nodes[0].authenticate(&ann).await.unwrap();
    for node in &nodes {
        assert_eq!(node.authenticate(&ann).await.unwrap(), first, "down to the last claim");
    }
    assert_eq!(auth.asked(), 1);
    // Others are other ones, and so is the same token with a presentation.
    nodes[1].authenticate(&Credentials::token("bob")).await.unwrap();
    nodes[1].authenticate(&ann.clone().with_presentation("x")).await.unwrap();
    assert_eq!(auth.asked(), 3);
    // Guests are asked for each time.
    assert!(nodes[0].authenticate(&Credentials::none()).await.is_err());
    assert!(nodes[0].authenticate(&Credentials::none()).await.is_err());
    assert_eq!(auth.asked(), 5);
    nodes[0].invalidate(&ann).await.unwrap();
    for asked in [6, 7] {
        nodes[1].authenticate(&ann).await.unwrap();
        assert_eq!(auth.asked(), asked, "what was on its way may not come back");
    }
}

#[tokio::test]
async fn who_was_let_in_in_one_scope_is_checked_in_another() {
    let config = fresh(Redis::shared().await.unwrap());
    let (auth, ann) = (ByName::default(), Credentials::token("ann"));
    let backend = connect(&config).await;
    let nodes = [
        backend.cached(auth.clone()),
        backend.cached(auth.clone()).with_scope("tokens of one issuer"),
        backend.cached(auth.clone()).with_scope("tokens of another issuer"),
    ];
    for (node, asked) in nodes.iter().zip(1..) {
        for _ in 0..2 {
            node.authenticate(&ann).await.unwrap();
            assert_eq!(auth.asked(), asked);
        }
    }
    let same = connect(&config).await.cached(auth.clone()).with_scope("tokens of one issuer");
    same.authenticate(&ann).await.unwrap();
    assert_eq!(auth.asked(), 3, "the same scope on another node");
    same.invalidate(&ann).await.unwrap();
    nodes[2].authenticate(&ann).await.unwrap();
    assert_eq!(auth.asked(), 3, "forgotten in that scope alone");
    nodes[1].authenticate(&ann).await.unwrap();
    assert_eq!(auth.asked(), 4);
}

#[tokio::test]
async fn what_somebody_else_wrote_is_as_if_it_were_not_there() {
    let server = Redis::private().await.unwrap();
    let auth = ByName::default();
    let node = connect(&config(server.url())).await.cached(auth.clone());
    let (ann, bob) = (Credentials::token("ann"), Credentials::token("bob"));
    node.authenticate(&ann).await.unwrap();
    let key = server.ask("KEYS *").await.unwrap();
    node.authenticate(&bob).await.unwrap();
    assert_eq!(auth.asked(), 2);
    server.ask(&format!("SET {key} nonsense")).await.unwrap();
    for asked in [3, 3] {
        assert_eq!(node.authenticate(&ann).await.unwrap().user, user("ann"));
        assert_eq!(node.authenticate(&bob).await.unwrap().user, user("bob"));
        assert_eq!(auth.asked(), asked, "it is written over, and nobody else is asked for again");
    }
}

#[tokio::test]
async fn nobody_is_remembered_past_their_expiry_or_under_their_token() {
    let server = Redis::private().await.unwrap();
    let expires_at = Some(SystemClock.now().after(Duration::from_millis(1_500)));
    let auth = ByName { expires_at, ..ByName::default() };
    let node = connect(&config(server.url())).await.cached(auth.clone());
    let secret = Credentials::token("very-secret-token");
    node.authenticate(&secret).await.unwrap();
    let keys = server.ask("KEYS *").await.unwrap();
    assert!(keys.starts_with("chat:credentials:") && !keys.contains("secret"), "{keys}");
    let left: u64 = server.ask(&format!("PTTL {keys}")).await.unwrap().parse().unwrap();
    assert!(left <= 3_000, "{left}");
    sleep(Duration::from_millis(3_200)).await;
    assert_eq!(server.ask("DBSIZE").await.unwrap(), "0");
    node.authenticate(&secret).await.unwrap();
    assert_eq!(auth.asked(), 2);
}

#[tokio::test]
async fn without_the_server_the_auth_beneath_is_asked() {
    let server = Redis::private().await.unwrap();
    let auth = ByName::default();
    let node = connect(&config(server.url())).await.cached(auth.clone());
    server.kill().await.unwrap();
    let begun = Instant::now();
    for asked in 1..=100 {
        assert_eq!(node.authenticate(&Credentials::token("ann")).await.unwrap().user, user("ann"));
        assert_eq!(auth.asked(), asked);
    }
    assert!(begun.elapsed() < Duration::from_secs(50), "not each of them waits: {:?}", begun.elapsed());
}
