use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Auth, AuthError, Credentials};
use crate::{Backend, Error, Result, Timestamp, TokenId, UserId, auth::Principal};

/// What is withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationScope {
    /// One token.
    Token(TokenId),
    /// Everything issued to the user before this time.
    IssuedBefore(Timestamp),
}

/// A withdrawal of credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub scope: RevocationScope,
    /// Until when it must be remembered: the expiry of what is withdrawn.
    pub until: Timestamp,
}

impl Revocation {
    /// Concerns this principal.
    #[must_use]
    pub fn covers(&self, principal: &Principal) -> bool {
        self.user == principal.user
            && match &self.scope {
                RevocationScope::Token(token) => principal.token.as_ref() == Some(token),
                // Without a time of issue it cannot be shown to be newer.
                RevocationScope::IssuedBefore(time) => {
                    principal.issued_at.is_none_or(|issued| issued < *time)
                }
            }
    }
}

/// Remembers withdrawals until what they withdraw has expired.
#[async_trait]
pub trait RevocationStore: Backend {
    /// Remembers a withdrawal. Once this returns, every node's [`is_revoked`](Self::is_revoked) knows it.
    async fn revoke(&self, revocation: &Revocation) -> Result<()>;

    /// Whether this principal's credentials were withdrawn.
    async fn is_revoked(&self, principal: &Principal) -> Result<bool>;
}

/// Lets nobody in whose credentials were withdrawn, and ends their sessions.
///
/// While the store is out of reach nobody new is let in ([`fail_open`](Self::fail_open) changes that); sessions that are
/// open stay open, since the engine ends none for a backend error.
#[derive(Debug, Clone)]
pub struct Revocable<A, S> {
    auth: A,
    store: S,
    fail_open: bool,
}

impl<A: Auth, S: RevocationStore> Revocable<A, S> {
    /// Asks `store` about everybody whom `auth` lets in.
    #[must_use]
    pub const fn new(auth: A, store: S) -> Self {
        Self { auth, store, fail_open: false }
    }

    /// Lets people in without asking while the store is out of reach, with a warning in the log; `false` unless set.
    /// Then a withdrawn token works during an outage of the store: for services where nobody getting in is worse. It is
    /// asked about again with the session's next revalidation.
    #[must_use]
    pub const fn fail_open(mut self, fail_open: bool) -> Self {
        self.fail_open = fail_open;
        self
    }

    /// Withdraws credentials. Open sessions end with their next revalidation on each node; announcing the withdrawal
    /// ends them sooner, which is the engine's part.
    ///
    /// # Errors
    /// Whatever the store says; it may have been remembered or not.
    pub async fn revoke(&self, revocation: &Revocation) -> Result<()> {
        self.store.revoke(revocation).await
    }

    /// Where withdrawals are remembered.
    #[must_use]
    pub const fn store(&self) -> &S {
        &self.store
    }

    async fn check(&self, principal: &Principal) -> Result<()> {
        if self.store.is_revoked(principal).await? {
            return Err(AuthError::Revoked.into());
        }
        Ok(())
    }
}

#[async_trait]
impl<A: Auth, S: RevocationStore> Backend for Revocable<A, S> {
    fn name(&self) -> &'static str {
        self.auth.name()
    }

    async fn health(&self) -> Result<()> {
        self.auth.health().await?;
        self.store.health().await
    }
}

#[async_trait]
impl<A: Auth, S: RevocationStore> Auth for Revocable<A, S> {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal> {
        let principal = self.auth.authenticate(credentials).await?;
        match self.check(&principal).await {
            Err(error) if self.fail_open && !matches!(error, Error::Unauthenticated(_)) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(
                    backend = self.store.name(),
                    error,
                    "somebody was let in without asking for revocations"
                );
            }
            checked => checked?,
        }
        Ok(principal)
    }

    async fn revalidate(&self, principal: &Principal) -> Result<()> {
        match self.auth.revalidate(principal).await {
            Err(error @ Error::Unauthenticated(_)) => Err(error),
            // One store's outage does not hide what the other one knows.
            inner => self.check(principal).await.and(inner),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    };

    use super::*;
    use crate::Retry;

    fn down(name: &'static str) -> Error {
        Error::backend(name, "test", Retry::Later, "down")
    }

    /// Lets in the user that the token names, with that token as id; fails as told.
    #[derive(Debug, Default)]
    struct Names {
        down: AtomicBool,
        unwelcome: AtomicBool,
    }

    #[async_trait]
    impl Backend for Names {
        fn name(&self) -> &'static str {
            "names"
        }

        async fn health(&self) -> Result<()> {
            if self.down.load(Ordering::SeqCst) { Err(down("names")) } else { Ok(()) }
        }
    }

    #[async_trait]
    impl Auth for Names {
        async fn authenticate(&self, credentials: &Credentials) -> Result<Principal> {
            let token = credentials.token.as_ref().ok_or(AuthError::Missing)?.expose();
            Ok(principal(token))
        }

        async fn revalidate(&self, _principal: &Principal) -> Result<()> {
            if self.unwelcome.load(Ordering::SeqCst) {
                return Err(AuthError::Expired.into());
            }
            self.health().await
        }
    }

    #[derive(Debug, Default)]
    struct List {
        revocations: Mutex<Vec<Revocation>>,
        down: AtomicBool,
    }

    #[async_trait]
    impl Backend for List {
        fn name(&self) -> &'static str {
            "list"
        }

        async fn health(&self) -> Result<()> {
            if self.down.load(Ordering::SeqCst) { Err(down("list")) } else { Ok(()) }
        }
    }

    #[async_trait]
    impl RevocationStore for List {
        async fn revoke(&self, revocation: &Revocation) -> Result<()> {
            self.health().await?;
            self.revocations.lock().unwrap().push(revocation.clone());
            Ok(())
        }

        async fn is_revoked(&self, principal: &Principal) -> Result<bool> {
            self.health().await?;
            Ok(self.revocations.lock().unwrap().iter().any(|revocation| revocation.covers(principal)))
        }
    }

    fn principal(name: &str) -> Principal {
        Principal::new(UserId::new(name).unwrap()).with_token(TokenId::new(name).unwrap())
    }

    fn revocation(name: &str) -> Revocation {
        let scope = RevocationScope::Token(TokenId::new(name).unwrap());
        Revocation { user: UserId::new(name).unwrap(), scope, until: Timestamp::from_secs(1) }
    }

    fn revocable() -> Revocable<Names, List> {
        Revocable::new(Names::default(), List::default())
    }

    #[tokio::test]
    async fn whoever_is_revoked_is_neither_let_in_nor_kept() {
        let auth = revocable();
        let ann = auth.authenticate(&Credentials::token("ann")).await.unwrap();
        auth.revalidate(&ann).await.unwrap();
        auth.revoke(&revocation("ann")).await.unwrap();
        let error = auth.authenticate(&Credentials::token("ann")).await.unwrap_err();
        assert!(matches!(error, Error::Unauthenticated(AuthError::Revoked)));
        let error = auth.revalidate(&ann).await.unwrap_err();
        assert!(matches!(error, Error::Unauthenticated(AuthError::Revoked)));
        assert!(auth.authenticate(&Credentials::token("bob")).await.is_ok());
    }

    #[tokio::test]
    async fn without_the_store_nobody_is_let_in_unless_that_is_set() {
        let auth = revocable();
        auth.revoke(&revocation("ann")).await.unwrap();
        auth.store().down.store(true, Ordering::SeqCst);
        let error = auth.authenticate(&Credentials::token("bob")).await.unwrap_err();
        assert!(matches!(error, Error::Backend { backend: "list", .. }));
        assert!(auth.health().await.is_err());
        assert!(auth.revoke(&revocation("bob")).await.is_err());

        let auth = auth.fail_open(true);
        assert!(auth.authenticate(&Credentials::token("bob")).await.is_ok());
        assert!(auth.authenticate(&Credentials::none()).await.is_err(), "the inner check stays");
        auth.store().down.store(false, Ordering::SeqCst);
        assert!(
            auth.authenticate(&Credentials::token("ann")).await.is_err(),
            "a store that answers is believed"
        );
    }

    #[tokio::test]
    async fn an_outage_is_told_on_revalidation_and_hides_no_refusal() {
        let auth = revocable().fail_open(true);
        let ann = principal("ann");
        auth.store().down.store(true, Ordering::SeqCst);
        let error = auth.revalidate(&ann).await.unwrap_err();
        assert!(matches!(error, Error::Backend { backend: "list", .. }));
        auth.auth.unwelcome.store(true, Ordering::SeqCst);
        let error = auth.revalidate(&ann).await.unwrap_err();
        assert!(matches!(error, Error::Unauthenticated(AuthError::Expired)));

        let auth = revocable();
        auth.revoke(&revocation("ann")).await.unwrap();
        auth.auth.down.store(true, Ordering::SeqCst);
        let error = auth.revalidate(&ann).await.unwrap_err();
        assert!(matches!(error, Error::Unauthenticated(AuthError::Revoked)));
        let error = auth.revalidate(&principal("bob")).await.unwrap_err();
        assert!(matches!(error, Error::Backend { backend: "names", .. }));
    }
}
