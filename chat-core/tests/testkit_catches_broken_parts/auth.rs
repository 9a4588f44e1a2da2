use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chat_core::{
    Backend, ConnectionId, Result, UserId,
    auth::{Binding, BindingClaim, BindingPolicy, Principal, Revocation, RevocationStore, SessionBindings},
    memory::{MemoryBindings, MemoryRevocations},
    rate_limit::{LocalRateLimiter, Quota, RateDecision, RateKey, RateLimiter, RateLimits},
    testkit::{BindingHarness, RateLimitHarness, RevocationHarness, binding, rate_limit, revocation},
};

use super::{catches, panics};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    ForgetsTheOneBefore,
    KnowsItOnOneNode,
    NeedsATimeOfIssue,
    NeverLimits,
    NamesNobody,
    LetsAnybodyRelease,
    NeverRunsOut,
    OneBindingForAll,
    OneKeyForAll,
}

/// A store, or a limiter, with a fault.
#[derive(Debug)]
struct BrokenPart<T> {
    part: Mutex<T>,
    fault: Option<Fault>,
}

impl<T: Clone> BrokenPart<T> {
    fn part(&self) -> T {
        self.part.lock().unwrap().clone()
    }
}

#[async_trait]
impl<T: std::fmt::Debug + Send + 'static> Backend for BrokenPart<T> {
    fn name(&self) -> &'static str {
        "broken"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl RevocationStore for BrokenPart<MemoryRevocations> {
    async fn revoke(&self, revocation: &Revocation) -> Result<()> {
        if self.fault == Some(Fault::ForgetsTheOneBefore) {
            *self.part.lock().unwrap() = MemoryRevocations::new();
        }
        self.part().revoke(revocation).await
    }

    async fn is_revoked(&self, principal: &Principal) -> Result<bool> {
        let without_time = self.fault == Some(Fault::NeedsATimeOfIssue) && principal.issued_at.is_none();
        Ok(!without_time && self.part().is_revoked(principal).await?)
    }
}

#[async_trait]
impl SessionBindings for BrokenPart<MemoryBindings> {
    async fn claim(
        &self,
        binding: &Binding,
        connection: &ConnectionId,
        policy: BindingPolicy,
        mut time_to_live: Duration,
    ) -> Result<BindingClaim> {
        let mut binding = binding.clone();
        match self.fault {
            Some(Fault::NeverRunsOut) => time_to_live *= 1_000,
            Some(Fault::OneBindingForAll) => binding.to.clear(),
            _ => {}
        }
        let claimed = self.part().claim(&binding, connection, policy, time_to_live).await?;
        Ok(match claimed {
            BindingClaim::Granted { .. } if self.fault == Some(Fault::NamesNobody) => {
                BindingClaim::Granted { previous: None }
            }
            claimed => claimed,
        })
    }

    async fn release(&self, binding: &Binding, connection: &ConnectionId) -> Result<()> {
        if self.fault == Some(Fault::LetsAnybodyRelease) {
            *self.part.lock().unwrap() = MemoryBindings::new();
        }
        self.part().release(binding, connection).await
    }
}

#[async_trait]
impl RateLimiter for BrokenPart<Arc<LocalRateLimiter>> {
    async fn check(&self, mut key: RateKey) -> Result<RateDecision> {
        match (self.fault, &mut key) {
            (Some(Fault::NeverLimits), _) => return Ok(RateDecision::Allowed),
            (Some(Fault::OneKeyForAll), RateKey::UserSends(user)) => *user = UserId::new("all").unwrap(),
            _ => {}
        }
        self.part().check(key).await
    }
}

struct Broken {
    fault: Option<Fault>,
}

impl Broken {
    fn new(fault: Option<Fault>) -> Self {
        Self { fault }
    }
}

#[async_trait]
impl RevocationHarness for Broken {
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn RevocationStore>> {
        let node = |store| Arc::new(BrokenPart { part: Mutex::new(store), fault: self.fault });
        let shared = node(MemoryRevocations::new());
        let nodes = (0..count).map(|_| match self.fault {
            Some(Fault::KnowsItOnOneNode) => node(MemoryRevocations::new()) as Arc<dyn RevocationStore>,
            _ => shared.clone(),
        });
        nodes.collect()
    }
}

#[async_trait]
impl BindingHarness for Broken {
    async fn nodes(&self, count: usize) -> Vec<Arc<dyn SessionBindings>> {
        let node = |store| Arc::new(BrokenPart { part: Mutex::new(store), fault: self.fault });
        let shared = node(MemoryBindings::new());
        let nodes = (0..count).map(|_| match self.fault {
            Some(Fault::KnowsItOnOneNode) => node(MemoryBindings::new()) as Arc<dyn SessionBindings>,
            _ => shared.clone(),
        });
        nodes.collect()
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

#[async_trait]
impl RateLimitHarness for Broken {
    async fn limiter(&self, quota: Quota) -> Arc<dyn RateLimiter> {
        let limits = RateLimits::new()
            .with_user_sends(Some(quota))
            .with_room_sends(Some(quota))
            .with_user_signals(Some(quota))
            .with_user_reads(Some(quota));
        let part = Mutex::new(Arc::new(LocalRateLimiter::new(&limits)));
        Arc::new(BrokenPart { part, fault: self.fault })
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

catches! {
    a_withdrawal_that_is_forgotten: Broken, Fault::ForgetsTheOneBefore, revocation::withdrawals_add_up;
    a_withdrawal_that_stays_on_one_node:
        Broken, Fault::KnowsItOnOneNode, revocation::a_withdrawal_is_known_everywhere_once_it_has_returned;
    credentials_of_unknown_age_that_are_let_in:
        Broken, Fault::NeedsATimeOfIssue, revocation::credentials_without_a_time_of_issue_count_as_issued_before;
    a_binding_that_is_known_on_one_node:
        Broken, Fault::KnowsItOnOneNode, binding::a_newer_claim_takes_it_and_says_from_whom;
    a_claim_that_does_not_say_who_had_it: Broken, Fault::NamesNobody,
        binding::of_newer_claims_at_once_one_holds_it_and_each_other_is_named_once;
    a_binding_that_anybody_gives_up:
        Broken, Fault::LetsAnybodyRelease, binding::a_release_by_another_changes_nothing;
    a_binding_that_never_runs_out: Broken, Fault::NeverRunsOut, binding::a_claim_that_is_not_renewed_runs_out;
    one_binding_for_all_of_a_user: Broken, Fault::OneBindingForAll, binding::bindings_are_separate;
    a_limiter_that_never_limits: Broken, Fault::NeverLimits, rate_limit::a_burst_is_allowed_and_then_no_more;
    one_allowance_for_everybody: Broken, Fault::OneKeyForAll, rate_limit::keys_are_separate;
}
