use std::{
    fmt,
    sync::{Arc, LazyLock},
    time::Duration,
};

use async_trait::async_trait;
use chat_core::{
    Auth, Backend, Clock, Result, SystemClock, Timestamp, TokenId, UserId,
    auth::{Credentials, Principal},
    rooms::Metadata,
};
use fred::{
    interfaces::KeysInterface as _,
    types::{Expiration, SetOptions},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{RedisError, backend::Shared, keys::hex, pause::Pause, script::Script};

static DISCARD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/discard.lua")));

/// In the place of an answer that must not be used: longer than any call for one is under way.
const FORGOTTEN: &str = "-";
const FORGOTTEN_FOR: Duration = Duration::from_secs(120);

/// Remembers in Redis who was let in: a second level, behind [`chat_core::auth::Cached`] in each node's memory and in front of a
/// slow check.
///
/// A client that reconnects to another node is not checked again there. Only "yes" is remembered, for at most the time to live and
/// never past the principal's expiry, under a SHA-256 of the credentials and of the
/// [scope](Self::with_scope). Guests are passed on each time. While Redis does
/// not answer, the auth beneath is asked.
///
/// What is remembered cannot be revoked here: put [`chat_core::auth::Revocable`] round this, as the builder of a chat does for its
/// `revocations`. Whoever may write to Redis can say who somebody is: guard it as you guard the auth itself.
pub struct RedisCached<A> {
    inner: A,
    shared: Arc<Shared>,
    scope: [u8; 32],
    time_to_live: Duration,
    clock: Arc<dyn Clock>,
    pause: Pause,
}

/// A principal as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    user: UserId,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<TokenId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bound_to: Option<String>,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    claims: Metadata,
}

impl<A: Auth> RedisCached<A> {
    /// How long an answer is used: 1 hour.
    pub const DEFAULT_TIME_TO_LIVE: Duration = Duration::from_secs(3_600);

    pub(crate) fn new(inner: A, shared: Arc<Shared>) -> Self {
        let time_to_live = Self::DEFAULT_TIME_TO_LIVE;
        let scope = Sha256::digest([]).into();
        Self { inner, shared, scope, time_to_live, clock: Arc::new(SystemClock), pause: Pause::new() }
    }

    /// Remembers for this scope alone: what was checked, and against what. Give it the name of the kind of check and whatever
    /// decides who is let in, such as keys, trusted issuers and audiences, or a digest of them. Where one of them changes, everybody is
    /// checked again; otherwise an answer outlives, by up to its time to live, a key that was taken away. Services with the same
    /// prefix that check otherwise need other scopes, or one lets in whom the other let in.
    ///
    /// Only a digest of it leaves this process. Unset, it is empty.
    #[must_use]
    pub fn with_scope(mut self, scope: impl AsRef<[u8]>) -> Self {
        self.scope = Sha256::digest(scope).into();
        self
    }

    /// With another time to live.
    #[must_use]
    pub const fn with_time_to_live(mut self, time_to_live: Duration) -> Self {
        self.time_to_live = time_to_live;
        self
    }

    /// With another clock than the system's for the principals' expiry.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Forgets the answer for these credentials on all nodes with the same scope. Once this returns, later calls ask the auth beneath; an answer that is
    /// on its way meanwhile is not remembered.
    ///
    /// # Errors
    /// When Redis is out of reach.
    pub async fn invalidate(&self, credentials: &Credentials) -> Result<()> {
        let key = self.key(credentials);
        let forgotten = async {
            let set =
                self.shared.client()?.set::<(), _, _>(key, FORGOTTEN, expiry(FORGOTTEN_FOR), None, false);
            Ok::<_, RedisError>(set.await?)
        };
        forgotten.await.map_err(|error| error.during("invalidate"))
    }

    /// What lies beneath.
    #[must_use]
    pub const fn inner(&self) -> &A {
        &self.inner
    }

    fn key(&self, credentials: &Credentials) -> String {
        let mut digest = Sha256::new();
        digest.update(self.scope);
        for part in [&credentials.token, &credentials.presentation] {
            // The length in front keeps two parts from being read as two others; absent is not the same as empty.
            match part {
                Some(secret) => {
                    digest.update([1]);
                    digest.update((secret.expose().len() as u64).to_be_bytes());
                    digest.update(secret.expose());
                }
                None => digest.update([0]),
            }
        }
        self.shared.keys.credentials(&hex(&digest.finalize()))
    }

    /// What is remembered and still holds.
    async fn recall(&self, key: &str) -> std::result::Result<Option<Principal>, RedisError> {
        let client = self.shared.client()?;
        let Some(text) = client.get::<Option<String>, _>(key).await? else { return Ok(None) };
        if text == FORGOTTEN {
            return Ok(None);
        }
        let Ok(stored) = serde_json::from_str::<Stored>(&text) else {
            // Of another program, or of a release that wrote it otherwise. It would stand in the way of a good one.
            tracing::warn!("a principal in the cache cannot be read, and is taken away");
            DISCARD.call(client, &[key.to_owned()], vec![text.into()]).await?;
            return Ok(None);
        };
        let holds = stored.expires_at.is_none_or(|expiry| self.clock.now() < expiry);
        Ok(holds.then(|| stored.into_principal()))
    }

    async fn remember(&self, key: &str, principal: &Principal) -> std::result::Result<(), RedisError> {
        let now = self.clock.now();
        let left =
            principal.expires_at.map_or(self.time_to_live, |expiry| expiry.since(now).min(self.time_to_live));
        if left < Duration::from_millis(1) {
            return Ok(());
        }
        let text = serde_json::to_string(&Stored::of(principal)).map_err(RedisError::corrupt)?;
        // Only where there is nothing: what was to be forgotten stays forgotten.
        let set = self.shared.client()?.set::<(), _, _>(key, text, expiry(left), Some(SetOptions::NX), false);
        Ok(set.await?)
    }
}

fn expiry(time: Duration) -> Option<Expiration> {
    Some(Expiration::PX(i64::try_from(time.as_millis()).unwrap_or(i64::MAX)))
}

impl Stored {
    fn of(principal: &Principal) -> Self {
        let Principal { user, roles, expires_at, issued_at, token, bound_to, claims, .. } = principal.clone();
        Self { user, roles, expires_at, issued_at, token, bound_to, claims }
    }

    fn into_principal(self) -> Principal {
        let mut principal = Principal::new(self.user);
        principal.roles = self.roles;
        principal.expires_at = self.expires_at;
        principal.issued_at = self.issued_at;
        principal.token = self.token;
        principal.bound_to = self.bound_to;
        principal.claims = self.claims;
        principal
    }
}

impl<A: fmt::Debug> fmt::Debug for RedisCached<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCached")
            .field("inner", &self.inner)
            .field("prefix", &self.shared.keys.prefix())
            .field("time_to_live", &self.time_to_live)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl<A: Auth> Backend for RedisCached<A> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    /// That of what lies beneath: without Redis this still works.
    async fn health(&self) -> Result<()> {
        self.inner.health().await
    }
}

#[async_trait]
impl<A: Auth> Auth for RedisCached<A> {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal> {
        if credentials.token.is_none() && credentials.presentation.is_none() {
            return self.inner.authenticate(credentials).await;
        }
        let key = self.key(credentials);
        if self.pause.is_over() {
            match self.recall(&key).await {
                Ok(Some(principal)) => return Ok(principal),
                Ok(None) => {}
                Err(error) => self.pause.begin("credentials are checked without the cache", &error),
            }
        }
        let principal = self.inner.authenticate(credentials).await?;
        if self.pause.is_over()
            && let Err(error) = self.remember(&key, &principal).await
        {
            self.pause.begin("credentials are not remembered", &error);
        }
        Ok(principal)
    }

    async fn revalidate(&self, principal: &Principal) -> Result<()> {
        self.inner.revalidate(principal).await
    }
}
