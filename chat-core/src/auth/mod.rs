//! Who somebody is, for how long, and what they may do.

mod authorize;
mod bindings;
mod cached;
#[cfg(feature = "jwt")]
mod jwt;
mod principal;
mod revocable;

use async_trait::async_trait;

#[cfg(feature = "jwt")]
pub use self::jwt::{JwtAlgorithm, JwtAuth, JwtClaims, JwtConfig, JwtConfigError, JwtKey, JwtSigner};
pub use self::{
    authorize::{Access, Action, Authorize, Decision, RoleAuthorizer},
    bindings::{Binding, BindingClaim, BindingPolicy, SessionBindings},
    cached::{Cached, CachedConfig},
    principal::{Credentials, Principal, Secret},
    revocable::{Revocable, Revocation, RevocationScope, RevocationStore},
};
use crate::{Backend, Result};

/// Why credentials were not accepted. The texts name what is wrong and nothing that is secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// None were given.
    #[error("no credentials were given")]
    Missing,
    /// They cannot be read as what they should be.
    #[error("the credentials are malformed")]
    Malformed,
    /// The signature, issuer, audience or another check failed.
    #[error("the credentials are not valid: {0}")]
    Invalid(&'static str),
    /// They were valid once.
    #[error("the credentials have expired")]
    Expired,
    /// They were withdrawn.
    #[error("the credentials were revoked")]
    Revoked,
    /// They belong to somebody else than the session does.
    #[error("the credentials belong to another user")]
    OtherUser,
    /// They are for one session at a time, and another one has them.
    #[error("the credentials are in use by another session")]
    InUse,
}

/// Turns credentials into a principal.
#[async_trait]
pub trait Auth: Backend {
    /// Checks the credentials.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`](crate::Error::Unauthenticated) if they are no good;
    /// [`Error::Backend`](crate::Error::Backend) if that could not be found out.
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal>;

    /// Checks that somebody who was let in is still welcome: asked regularly for every open session, so it must be cheap.
    /// Expiry is the engine's business; this is about withdrawal.
    ///
    /// # Errors
    /// As for [`authenticate`](Self::authenticate). A backend error does not end the session.
    async fn revalidate(&self, principal: &Principal) -> Result<()>;
}
