use std::sync::{Mutex, atomic::AtomicUsize};

use futures::future::join_all;
use tokio::sync::Semaphore;

use super::*;
use crate::{UserId, auth::AuthError};

#[derive(Debug, Default)]
struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Answers with a user named after the token and the number of the call, once it is let go on.
#[derive(Debug)]
struct Slow {
    calls: AtomicUsize,
    gate: Semaphore,
    expires_at: Option<Timestamp>,
    failing: Mutex<Option<fn() -> Error>>,
}

impl Slow {
    fn open() -> Self {
        Self {
            calls: AtomicUsize::new(0),
            gate: Semaphore::new(1_000),
            expires_at: None,
            failing: Mutex::new(None),
        }
    }

    fn closed() -> Self {
        Self { gate: Semaphore::new(0), ..Self::open() }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Backend for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Auth for Slow {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let _permit = self.gate.acquire().await.unwrap();
        if let Some(error) = *self.failing.lock().unwrap() {
            return Err(error());
        }
        let token = credentials.token.as_ref().map_or("nobody", |token| token.expose());
        let mut principal = Principal::new(UserId::new(&format!("{token}-{call}")).unwrap());
        principal.expires_at = self.expires_at;
        Ok(principal)
    }

    async fn revalidate(&self, _principal: &Principal) -> Result<()> {
        Err(AuthError::Revoked.into())
    }
}

fn cached(inner: Slow) -> (Cached<Slow>, Arc<TestClock>) {
    let clock = Arc::new(TestClock::default());
    (Cached::new(inner, CachedConfig::default()).with_clock(Arc::clone(&clock)), clock)
}

async fn name(auth: &Cached<Slow>, token: &str) -> String {
    auth.authenticate(&Credentials::token(token)).await.unwrap().user.to_string()
}

#[tokio::test]
async fn calls_at_the_same_time_become_one() {
    let (auth, _) = cached(Slow::closed());
    let token = Credentials::token("t");
    let calls = join_all((0..50).map(|_| auth.authenticate(&token)));
    let open = async {
        tokio::task::yield_now().await;
        auth.inner().gate.add_permits(1_000);
    };
    let (answers, ()) = tokio::join!(calls, open);
    assert!(answers.into_iter().all(|answer| answer.unwrap().user.as_str() == "t-0"));
    assert_eq!(auth.inner().calls(), 1);
}

#[tokio::test]
async fn different_credentials_are_asked_for_apart() {
    let (auth, _) = cached(Slow::open());
    assert_eq!(name(&auth, "a").await, "a-0");
    assert_eq!(name(&auth, "b").await, "b-1");
    assert_eq!(name(&auth, "a").await, "a-0");
    let with_proof = Credentials::token("a").with_presentation("p");
    assert_eq!(auth.authenticate(&with_proof).await.unwrap().user.as_str(), "a-2");
    let empty_proof = Credentials::token("a").with_presentation("");
    assert_eq!(auth.authenticate(&empty_proof).await.unwrap().user.as_str(), "a-3");
}

#[tokio::test]
async fn guests_without_credentials_do_not_become_one_user() {
    let (auth, _) = cached(Slow::open());
    let first = auth.authenticate(&Credentials::none()).await.unwrap();
    let second = auth.authenticate(&Credentials::none()).await.unwrap();
    assert_ne!(first.user, second.user);
}

#[tokio::test]
async fn an_answer_is_used_for_the_time_to_live() {
    let (auth, clock) = cached(Slow::open());
    assert_eq!(name(&auth, "t").await, "t-0");
    clock.0.store(299_999, Ordering::SeqCst);
    assert_eq!(name(&auth, "t").await, "t-0");
    clock.0.store(300_000, Ordering::SeqCst);
    assert_eq!(name(&auth, "t").await, "t-1");
    assert_eq!(name(&auth, "t").await, "t-1");
}

#[tokio::test]
async fn with_no_time_to_live_nothing_is_remembered() {
    let config = CachedConfig::default().with_time_to_live(Duration::ZERO);
    let auth = Cached::new(Slow::open(), config);
    assert_eq!(name(&auth, "t").await, "t-0");
    assert_eq!(name(&auth, "t").await, "t-1");
}

#[tokio::test]
async fn an_answer_is_not_used_past_the_expiry() {
    let (auth, clock) = cached(Slow { expires_at: Some(Timestamp::from_millis(10)), ..Slow::open() });
    assert_eq!(name(&auth, "t").await, "t-0");
    clock.0.store(9, Ordering::SeqCst);
    assert_eq!(name(&auth, "t").await, "t-0");
    clock.0.store(10, Ordering::SeqCst);
    assert_eq!(name(&auth, "t").await, "t-1");
    assert_eq!(name(&auth, "t").await, "t-2", "what has expired already is never kept");
}

#[tokio::test]
async fn an_error_reaches_all_who_wait_and_is_not_remembered() {
    let (auth, _) = cached(Slow::closed());
    let failure: fn() -> Error = || Error::backend("slow", "authenticate", Retry::Later, "no answer");
    *auth.inner().failing.lock().unwrap() = Some(failure);
    let token = Credentials::token("t");
    let calls = join_all((0..3).map(|_| auth.authenticate(&token)));
    let open = async {
        tokio::task::yield_now().await;
        auth.inner().gate.add_permits(1_000);
    };
    let (answers, ()) = tokio::join!(calls, open);
    for error in answers.into_iter().map(Result::unwrap_err) {
        assert!(error.is_retryable());
        assert_eq!(error.to_string(), "slow failed during authenticate");
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "no answer");
    }
    *auth.inner().failing.lock().unwrap() = Some(|| AuthError::Expired.into());
    let error = auth.authenticate(&token).await.unwrap_err();
    assert!(matches!(error, Error::Unauthenticated(AuthError::Expired)));
    *auth.inner().failing.lock().unwrap() = None;
    assert!(auth.authenticate(&token).await.is_ok());
}

#[tokio::test]
async fn invalidation_forgets_an_answer_and_one_that_is_on_its_way() {
    let (auth, _) = cached(Slow::open());
    let token = Credentials::token("t");
    assert_eq!(name(&auth, "t").await, "t-0");
    auth.invalidate(&token).await;
    assert_eq!(name(&auth, "t").await, "t-1");

    let (auth, _) = cached(Slow::closed());
    let early = async { name(&auth, "t").await };
    let late = async {
        while auth.inner().calls() == 0 {
            tokio::task::yield_now().await;
        }
        auth.invalidate(&token).await;
        let waiting = async { name(&auth, "t").await };
        let open = async {
            tokio::task::yield_now().await;
            auth.inner().gate.add_permits(1_000);
        };
        tokio::join!(waiting, open).0
    };
    let (early, late) = tokio::join!(early, late);
    assert_eq!((early.as_str(), late.as_str()), ("t-0", "t-1"));
    assert_eq!(name(&auth, "t").await, "t-1");
}

#[tokio::test]
async fn a_caller_that_gives_up_does_not_take_the_others_along() {
    let (auth, _) = cached(Slow::closed());
    let auth = Arc::new(auth);
    let start = |auth: &Arc<Cached<Slow>>| {
        let auth = Arc::clone(auth);
        tokio::spawn(async move { name(&auth, "t").await })
    };
    let first = start(&auth);
    while auth.inner().calls() == 0 {
        tokio::task::yield_now().await;
    }
    let second = start(&auth);
    tokio::task::yield_now().await;
    first.abort();
    auth.inner().gate.add_permits(1_000);
    assert_eq!(second.await.unwrap(), "t-1");
}

#[tokio::test]
async fn the_number_of_answers_is_bounded() {
    let auth = Cached::new(Slow::open(), CachedConfig::default().with_capacity(5));
    for number in 0..100 {
        name(&auth, &number.to_string()).await;
    }
    auth.answers.run_pending_tasks().await;
    assert!(auth.answers.entry_count() <= 5);
}

#[tokio::test]
async fn revalidation_goes_through_and_nothing_secret_is_shown() {
    let (auth, _) = cached(Slow::open());
    name(&auth, "top-secret").await;
    let principal = Principal::new(UserId::new("ann").unwrap());
    assert!(auth.revalidate(&principal).await.is_err());
    assert!(!format!("{auth:?}").contains("top-secret"));
}
