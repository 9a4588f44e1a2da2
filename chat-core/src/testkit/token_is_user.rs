//! Authentication for tests: whoever says a name has it.

use async_trait::async_trait;

use crate::{
    Auth, Backend, Result, Timestamp, UserId,
    auth::{AuthError, Credentials, Principal},
};

/// Takes the token for the user's id, issued long ago and without an end. For tests and benchmarks only.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenIsUser;

#[async_trait]
impl Backend for TokenIsUser {
    fn name(&self) -> &'static str {
        "token-is-user"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Auth for TokenIsUser {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal> {
        let token = credentials.token.as_ref().ok_or(AuthError::Missing)?;
        let user = UserId::new(token.expose()).map_err(|_| AuthError::Malformed)?;
        Ok(Principal::new(user).with_issued_at(Timestamp::from_secs(1_000)))
    }

    async fn revalidate(&self, _: &Principal) -> Result<()> {
        Ok(())
    }
}
