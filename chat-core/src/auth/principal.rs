use std::fmt;

use crate::{Timestamp, TokenId, UserId, rooms::Metadata};

/// A text that never shows in logs, errors or `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text, for checking it and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a client presents to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Credentials {
    /// A bearer token.
    pub token: Option<Secret>,
    /// A second proof beside the token, such as a verifiable presentation.
    pub presentation: Option<Secret>,
}

impl Credentials {
    /// Nothing: for applications that let guests in.
    #[must_use]
    pub const fn none() -> Self {
        Self { token: None, presentation: None }
    }

    /// A bearer token.
    #[must_use]
    pub fn token(token: impl Into<Box<str>>) -> Self {
        Self { token: Some(Secret::new(token)), presentation: None }
    }

    /// With a presentation beside it.
    #[must_use]
    pub fn with_presentation(mut self, presentation: impl Into<Box<str>>) -> Self {
        self.presentation = Some(Secret::new(presentation));
        self
    }
}

/// Somebody who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Principal {
    /// Who.
    pub user: UserId,
    /// Roles in the whole service, such as `admin`.
    pub roles: Vec<String>,
    /// Until when; the session ends then unless it is given new credentials.
    pub expires_at: Option<Timestamp>,
    /// When the credentials were issued, for "everything issued before" revocations.
    pub issued_at: Option<Timestamp>,
    /// The token's name for revocation.
    pub token: Option<TokenId>,
    /// What the session is bound to, such as a presentation's digest.
    pub bound_to: Option<String>,
    /// Other claims that the application may want.
    pub claims: Metadata,
}

impl Principal {
    /// A user without roles, whose session does not expire.
    #[must_use]
    pub fn new(user: UserId) -> Self {
        Self {
            user,
            roles: Vec::new(),
            expires_at: None,
            issued_at: None,
            token: None,
            bound_to: None,
            claims: Metadata::new(),
        }
    }

    /// With an expiry.
    #[must_use]
    pub const fn with_expiry(mut self, at: Timestamp) -> Self {
        self.expires_at = Some(at);
        self
    }

    /// With the time of issue.
    #[must_use]
    pub const fn with_issued_at(mut self, at: Timestamp) -> Self {
        self.issued_at = Some(at);
        self
    }

    /// With a role.
    #[must_use]
    pub fn with_role(mut self, role: impl Into<String>) -> Self {
        self.roles.push(role.into());
        self
    }

    /// With a token id.
    #[must_use]
    pub fn with_token(mut self, token: TokenId) -> Self {
        self.token = Some(token);
        self
    }

    /// Bound to something, such as a presentation's digest: see [`SessionBindings`](crate::auth::SessionBindings).
    #[must_use]
    pub fn with_binding(mut self, to: impl Into<String>) -> Self {
        self.bound_to = Some(to.into());
        self
    }

    /// Has this role in the whole service.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|have| have == role)
    }
}
