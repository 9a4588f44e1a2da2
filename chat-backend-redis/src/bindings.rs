//! One session per binding on all nodes: who holds it is one key, which the server lets run out.

use std::{
    fmt,
    sync::{Arc, LazyLock},
    time::Duration,
};

use async_trait::async_trait;
use chat_core::{
    Backend, ConnectionId, Result,
    auth::{Binding, BindingClaim, BindingPolicy, SessionBindings},
};
use fred::types::Value;

use crate::{RedisError, backend::Shared, script::Script};

static CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/claim.lua")));
static UNCLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/unclaim.lua")));

/// Longer times are taken as this one: the server adds them to its own.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3_600);

/// The bindings of one prefix.
pub(crate) struct RedisBindings {
    shared: Arc<Shared>,
}

impl RedisBindings {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn key(&self, binding: &Binding) -> [String; 1] {
        [self.shared.keys.binding(binding.user.as_str(), &binding.to)]
    }

    async fn take(
        &self,
        binding: &Binding,
        connection: &ConnectionId,
        policy: BindingPolicy,
        time_to_live: Duration,
    ) -> std::result::Result<BindingClaim, RedisError> {
        let time = time_to_live.clamp(Duration::from_millis(1), LONGEST).as_millis().to_string();
        let takes = if policy == BindingPolicy::NewerWins { "1" } else { "0" };
        let arguments = vec![connection.as_str().into(), time.into(), takes.into()];
        let answer = CLAIM.call(self.shared.client()?, &self.key(binding), arguments).await?;
        read(&answer).ok_or_else(|| RedisError::corrupt("a script answered no claim"))
    }
}

/// Whether it was taken, and from or by whom.
fn read(answer: &Value) -> Option<BindingClaim> {
    let Value::Array(answer) = answer else { return None };
    let [taken, other] = &answer[..] else { return None };
    let other = match &*other.as_str()? {
        "" => None,
        other => Some(ConnectionId::new(other).ok()?),
    };
    match taken.as_i64()? {
        0 => other.map(|holder| BindingClaim::Refused { holder }),
        _ => Some(BindingClaim::Granted { previous: other }),
    }
}

impl fmt::Debug for RedisBindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBindings").field("prefix", &self.shared.keys.prefix()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for RedisBindings {
    fn name(&self) -> &'static str {
        crate::NAME
    }

    async fn health(&self) -> Result<()> {
        self.shared.health().await
    }
}

#[async_trait]
impl SessionBindings for RedisBindings {
    async fn claim(
        &self,
        binding: &Binding,
        connection: &ConnectionId,
        policy: BindingPolicy,
        time_to_live: Duration,
    ) -> Result<BindingClaim> {
        let taken = self.take(binding, connection, policy, time_to_live).await;
        taken.map_err(|error| error.during("claim"))
    }

    async fn release(&self, binding: &Binding, connection: &ConnectionId) -> Result<()> {
        let released = async {
            let arguments = vec![connection.as_str().into()];
            UNCLAIM.call(self.shared.client()?, &self.key(binding), arguments).await.map(drop)
        };
        released.await.map_err(|error: RedisError| error.during("release"))
    }
}
