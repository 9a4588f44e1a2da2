//! Withdrawn credentials, remembered until they would have expired anyway.

use std::{fmt, sync::Arc, sync::LazyLock};

use async_trait::async_trait;
use chat_core::{
    Backend, Result, Timestamp, TokenId,
    auth::{Principal, Revocation, RevocationScope, RevocationStore},
};
use fred::types::Value;

use crate::{
    RedisError,
    backend::Shared,
    script::{Script, integer},
};

static REVOKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/revoke.lua")));
static REVOKED: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/revoked.lua")));

/// Times are exact up to here in scripts, which is in some 280,000 years.
const LAST: u64 = 1 << 53;

/// The withdrawals of one prefix.
pub(crate) struct RedisRevocations {
    shared: Arc<Shared>,
}

impl RedisRevocations {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn call(
        &self,
        script: &Script,
        user: &str,
        arguments: Vec<Value>,
    ) -> std::result::Result<i64, RedisError> {
        integer(&script.call(self.shared.client()?, &self.shared.keys.revoked(user), arguments).await?)
    }
}

/// As a text of a fixed length, so that later ones are greater.
fn text(time: Timestamp) -> Value {
    format!("{:020}", time.as_millis()).into()
}

impl fmt::Debug for RedisRevocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisRevocations").field("prefix", &self.shared.keys.prefix()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for RedisRevocations {
    fn name(&self) -> &'static str {
        crate::NAME
    }

    async fn health(&self) -> Result<()> {
        self.shared.health().await
    }
}

#[async_trait]
impl RevocationStore for RedisRevocations {
    async fn revoke(&self, revocation: &Revocation) -> Result<()> {
        let until = revocation.until.as_millis().min(LAST).to_string();
        let (what, member) = match &revocation.scope {
            RevocationScope::Token(token) => ("t", Value::from(token.as_str())),
            RevocationScope::IssuedBefore(time) => ("b", text(*time)),
        };
        let arguments = vec![until.into(), what.into(), member];
        let done = self.call(&REVOKE, revocation.user.as_str(), arguments).await;
        done.map(drop).map_err(|error| error.during("revoke"))
    }

    async fn is_revoked(&self, principal: &Principal) -> Result<bool> {
        let token = principal.token.as_ref().map_or("", TokenId::as_str);
        let issued = principal.issued_at.map_or_else(|| "".into(), text);
        let done = self.call(&REVOKED, principal.user.as_str(), vec![token.into(), issued]).await;
        done.map(|revoked| revoked != 0).map_err(|error| error.during("is revoked"))
    }
}
