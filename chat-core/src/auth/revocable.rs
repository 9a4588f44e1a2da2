use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{Backend, Result, Timestamp, TokenId, UserId, auth::Principal};

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
#[derive(Debug, Clone)]
pub struct Revocable<A, S> {
    auth: A,
    store: S,
}
