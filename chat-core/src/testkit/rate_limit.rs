//! Cases for [`RateLimiter`].
#![allow(clippy::missing_panics_doc, reason = "a case fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::{sync::Arc, time::Duration};

use crate::{
    rate_limit::{Quota, RateDecision, RateKey, RateLimiter},
    testkit::{
        RateLimitHarness,
        fixtures::{room, user},
    },
};

/// Five at once, then one a second: so slow that a busy machine refills nothing between two calls.
const QUOTA: Quota = Quota::new(1, 5);

fn sends(name: &str) -> RateKey {
    RateKey::UserSends(user(name))
}

/// Asks until it is refused, and answers how often it was allowed and when to ask again.
async fn use_up(limiter: &dyn RateLimiter, key: &RateKey) -> (u32, Duration) {
    for allowed in 0..100 {
        if let RateDecision::Limited { retry_after } = limiter.check(key.clone()).await.unwrap() {
            return (allowed, retry_after);
        }
    }
    panic!("never limited");
}

/// Being limited says for how long, and that is no longer than one unit takes.
pub async fn a_burst_is_allowed_and_then_no_more(harness: &dyn RateLimitHarness) {
    let limiter = harness.limiter(QUOTA).await;
    let (allowed, retry_after) = use_up(&*limiter, &sends("ann")).await;
    assert_eq!(allowed, 5);
    assert!(retry_after > Duration::ZERO && retry_after <= Duration::from_secs(1), "{retry_after:?}");
}

/// One, not the burst.
pub async fn after_the_time_given_one_more_is_allowed(harness: &dyn RateLimitHarness) {
    let limiter = harness.limiter(QUOTA).await;
    let (_, mut retry_after) = use_up(&*limiter, &sends("ann")).await;
    for _ in 0..2 {
        harness.pass(retry_after).await;
        let (allowed, again) = use_up(&*limiter, &sends("ann")).await;
        assert_eq!(allowed, 1);
        retry_after = again;
    }
}

/// Whoever asks too often does not wait longer for it.
pub async fn being_refused_uses_nothing_up(harness: &dyn RateLimitHarness) {
    let limiter = harness.limiter(QUOTA).await;
    let (_, retry_after) = use_up(&*limiter, &sends("ann")).await;
    for _ in 0..20 {
        match limiter.check(sends("ann")).await.unwrap() {
            RateDecision::Limited { retry_after: again } => assert!(again <= retry_after, "{again:?}"),
            RateDecision::Allowed => panic!("allowed before the time given"),
        }
    }
    harness.pass(retry_after).await;
    assert_eq!(limiter.check(sends("ann")).await.unwrap(), RateDecision::Allowed);
}

/// However long the pause was.
pub async fn a_pause_gives_the_whole_burst_back_and_no_more(harness: &dyn RateLimitHarness) {
    // Full again after a fifth of a second; one more unit takes as long as half of that.
    let limiter = harness.limiter(Quota::new(10, 2)).await;
    use_up(&*limiter, &sends("ann")).await;
    harness.pass(Duration::from_secs(2)).await;
    let (allowed, _) = use_up(&*limiter, &sends("ann")).await;
    // Twenty units of time have passed; a slow call or two may see one more.
    assert!((2..=5).contains(&allowed), "{allowed}");
}

/// One user's use is no other's, and names are compared whole.
pub async fn keys_are_separate(harness: &dyn RateLimitHarness) {
    let limiter = harness.limiter(QUOTA).await;
    for name in ["ann", "Ann", "ann:1", "bob"] {
        assert_eq!(use_up(&*limiter, &sends(name)).await.0, 5, "{name}");
    }
    for name in ["r", "s"] {
        assert_eq!(use_up(&*limiter, &RateKey::RoomSends(room(name))).await.0, 5, "{name}");
    }
}

/// Of one user, and of a room by the same name.
pub async fn classes_are_separate(harness: &dyn RateLimitHarness) {
    let limiter = harness.limiter(QUOTA).await;
    let same = || user("same");
    let keys = [
        sends("same"),
        RateKey::UserSignals(same()),
        RateKey::UserReads(same()),
        RateKey::RoomSends(room("same")),
    ];
    for key in keys {
        assert_eq!(use_up(&*limiter, &key).await.0, 5, "{key:?}");
    }
}

/// Nothing is decided on what was read before.
pub async fn calls_at_once_get_no_more_than_the_burst(harness: &dyn RateLimitHarness) {
    let limiter = harness.limiter(QUOTA).await;
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let limiter = Arc::clone(&limiter);
            tokio::spawn(async move { limiter.check(sends("ann")).await.unwrap() == RateDecision::Allowed })
        })
        .collect();
    let mut allowed = 0;
    for call in calls {
        allowed += u32::from(call.await.unwrap());
    }
    assert_eq!(allowed, 5);
}
