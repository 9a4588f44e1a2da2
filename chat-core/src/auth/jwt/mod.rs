//! JSON Web Tokens ([RFC 7519](https://www.rfc-editor.org/rfc/rfc7519)) as credentials.

mod config;
mod key;
mod sign;
#[cfg(test)]
mod tests;
mod verify;

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use async_trait::async_trait;

use self::key::KeySet;
pub use self::{
    config::{JwtConfig, JwtConfigError},
    key::{JwtAlgorithm, JwtKey},
    sign::{JwtClaims, JwtSigner},
};
use super::{Auth, AuthError, Credentials, Principal};
use crate::{Backend, Clock, Result, SystemClock};

/// Lets in whoever presents a token signed by one of its keys.
///
/// The key is chosen by the token's `kid`; the algorithm is the key's own, so a token cannot talk its way into another
/// one. The principal's `expires_at` is `exp` plus the leeway: the moment from which the token is no longer accepted.
/// Its `token` is the `jti`; for a token without one, or with one that is no [`TokenId`](crate::TokenId), the SHA-256
/// of header and payload in lowercase hexadecimal (without the signature, which can be rewritten into another that
/// is just as valid). What has no field of its own in [`Principal`] is kept in `claims`.
///
/// Cloning is cheap; clones share their keys.
#[derive(Clone)]
pub struct JwtAuth {
    config: Arc<JwtConfig>,
    keys: Arc<RwLock<Arc<KeySet>>>,
    clock: Arc<dyn Clock>,
}

impl JwtAuth {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`JwtConfigError`] for the first that cannot work.
    pub fn new(mut config: JwtConfig) -> Result<Self, JwtConfigError> {
        config.check()?;
        let keys = KeySet::new(std::mem::take(&mut config.keys))?;
        Ok(Self {
            config: Arc::new(config),
            keys: Arc::new(RwLock::new(Arc::new(keys))),
            clock: Arc::new(SystemClock),
        })
    }

    /// With another clock than the system's.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Replaces all keys at once, here and in all clones, for the next token that is presented. To rotate without
    /// refusing anybody, set the old and the new key together until tokens of the old one have expired. Sessions that
    /// are open stay open.
    ///
    /// # Errors
    /// [`JwtConfigError`] if the keys cannot be used together; the present ones then stay.
    pub fn set_keys(&self, keys: impl IntoIterator<Item = JwtKey>) -> Result<(), JwtConfigError> {
        let keys = Arc::new(KeySet::new(keys.into_iter().collect())?);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    fn keys(&self) -> Arc<KeySet> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for JwtAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtAuth")
            .field("config", &self.config)
            .field("keys", &self.keys())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for JwtAuth {
    fn name(&self) -> &'static str {
        "jwt"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Auth for JwtAuth {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal> {
        let token = credentials.token.as_ref().ok_or(AuthError::Missing)?;
        Ok(verify::verify(token.expose(), &self.config, &self.keys(), self.clock.now())?)
    }

    /// Nothing to ask: a token holds until it expires. Put [`Revocable`](super::Revocable) round this to withdraw one.
    async fn revalidate(&self, _principal: &Principal) -> Result<()> {
        Ok(())
    }
}
