use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use chat_core::{
    Backend, ConnectionId, Error, Result, Retry, UserId,
    auth::{Binding, BindingClaim, BindingPolicy, SessionBindings},
};
use sha2::{Digest as _, Sha256};

use crate::jws::hex;

/// Remembers which presentation a nonce was used for, on all nodes together.
#[async_trait]
pub trait NonceStore: Backend {
    /// Uses up `nonce` of `user` for the presentation of this digest, in one atomic step. `false` where it was used for another
    /// one. For the same one again it is `true`: a client that comes back shows what it showed before.
    ///
    /// # Errors
    /// When that cannot be found out.
    ///
    /// # Cancel safety
    /// A dropped call may have used it up, for this presentation.
    async fn use_up(&self, user: &UserId, nonce: &str, digest: &str, for_time: Duration) -> Result<bool>;

    /// Whether `nonce` of `user` was used up for the presentation of this digest, and that is still remembered. Asked about
    /// nonces whose time is over: meanwhile the store may take one that nobody used for used by another one.
    ///
    /// # Errors
    /// When that cannot be found out.
    ///
    /// # Cancel safety
    /// A dropped call may leave a nonce that nobody used as used by another one, for a second.
    async fn was_used(&self, user: &UserId, nonce: &str, digest: &str) -> Result<bool>;
}

/// Holds what nobody holds, to find that out. No digest is like it.
const NOBODY: &str = "nobody";
/// For so long, where it cannot be given back.
const NOBODYS_TIME: Duration = Duration::from_secs(1);

/// Nonces where the bindings of sessions are: in Redis or in memory, whichever the chat has.
#[derive(Clone)]
pub struct BoundNonces {
    bindings: Arc<dyn SessionBindings>,
}

impl BoundNonces {
    /// Keeps them there.
    #[must_use]
    pub const fn new(bindings: Arc<dyn SessionBindings>) -> Self {
        Self { bindings }
    }
}

impl fmt::Debug for BoundNonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BoundNonces").field(&self.bindings.name()).finish()
    }
}

#[async_trait]
impl Backend for BoundNonces {
    fn name(&self) -> &'static str {
        self.bindings.name()
    }

    async fn health(&self) -> Result<()> {
        self.bindings.health().await
    }
}

#[async_trait]
impl NonceStore for BoundNonces {
    async fn use_up(&self, user: &UserId, nonce: &str, digest: &str, for_time: Duration) -> Result<bool> {
        let (binding, holder) = (binding(user, nonce), holder(digest)?);
        let claim = self.bindings.claim(&binding, &holder, BindingPolicy::OlderStays, for_time).await?;
        Ok(matches!(claim, BindingClaim::Granted { .. }))
    }

    async fn was_used(&self, user: &UserId, nonce: &str, digest: &str) -> Result<bool> {
        let (binding, nobody) = (binding(user, nonce), holder(NOBODY)?);
        let claim = self.bindings.claim(&binding, &nobody, BindingPolicy::OlderStays, NOBODYS_TIME).await?;
        if let BindingClaim::Refused { holder } = claim {
            return Ok(holder.as_str() == digest);
        }
        self.bindings.release(&binding, &nobody).await?;
        Ok(false)
    }
}

/// A session's binding is a digest alone, so it is never taken for one of these.
fn binding(user: &UserId, nonce: &str) -> Binding {
    Binding { user: user.clone(), to: format!("nonce:{}", hex(&Sha256::digest(nonce.as_bytes()))) }
}

fn holder(name: &str) -> Result<ConnectionId> {
    ConnectionId::new(name)
        .map_err(|error| Error::backend("credentials", "use up a nonce", Retry::Never, error))
}
