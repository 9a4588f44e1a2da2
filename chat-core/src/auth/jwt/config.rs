use std::{collections::BTreeSet, time::Duration};

use super::{JwtAlgorithm, JwtKey};

/// Default for [`JwtConfig::with_leeway`]: 30 s.
pub(super) const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);

/// The greatest leeway: 10 minutes. A greater one hides a broken clock and keeps expired tokens alive.
pub(super) const MAX_LEEWAY: Duration = Duration::from_secs(600);

/// Default for [`JwtConfig::with_max_token_bytes`]: 8 KiB, the usual limit of a request's headers.
pub(super) const DEFAULT_MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Default for [`JwtConfig::with_max_claims_bytes`]: 4 KiB. They stay in memory as long as the session.
pub(super) const DEFAULT_MAX_CLAIMS_BYTES: usize = 4 * 1024;

/// A setting that [`JwtAuth`](super::JwtAuth) or [`JwtSigner`](super::JwtSigner) cannot work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JwtConfigError {
    /// Give at least one key.
    #[error("keys: there is none")]
    NoKeys,
    /// Name every key (`kid`) where there is more than one.
    #[error("keys: one of several has no id")]
    NoKeyId,
    /// Give every key its own name.
    #[error("keys: the id {id:?} is used twice")]
    DuplicateKeyId {
        /// The name.
        id: String,
    },
    /// Take a longer secret, made by a random generator.
    #[error("keys: an HS256 secret has at least 32 bytes, this one has {bytes}")]
    ShortSecret {
        /// Its length.
        bytes: usize,
    },
    /// Give a key of the algorithm that is named.
    #[error("keys: this {algorithm} key cannot be used: {reason}")]
    BadKey {
        /// What it should be for.
        algorithm: JwtAlgorithm,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Give a JSON Web Key of a kind that is known here.
    #[error("keys: not a JSON Web Key for HS256, RS256, ES256 or EdDSA")]
    NotAJwk,
    /// Correct this setting.
    #[error("{setting}: {reason}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// What [`JwtAuth`](super::JwtAuth) accepts.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct JwtConfig {
    pub(super) keys: Vec<JwtKey>,
    pub(super) audiences: BTreeSet<String>,
    pub(super) any_audience: bool,
    pub(super) issuers: BTreeSet<String>,
    pub(super) leeway: Duration,
    pub(super) required_claims: BTreeSet<String>,
    pub(super) user_claim: String,
    pub(super) roles_claim: String,
    pub(super) max_lifetime: Option<Duration>,
    pub(super) max_token_bytes: usize,
    pub(super) max_claims_bytes: usize,
    pub(super) expiry_required: bool,
}

impl JwtConfig {
    /// Tokens signed by one of `keys`. With exactly one key its id is optional; with several each has its own, and a
    /// token without `kid` is refused.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = JwtKey>) -> Self {
        Self {
            keys: keys.into_iter().collect(),
            audiences: BTreeSet::new(),
            any_audience: false,
            issuers: BTreeSet::new(),
            leeway: DEFAULT_LEEWAY,
            required_claims: BTreeSet::new(),
            user_claim: "sub".to_owned(),
            roles_claim: "roles".to_owned(),
            max_lifetime: None,
            max_token_bytes: DEFAULT_MAX_TOKEN_BYTES,
            max_claims_bytes: DEFAULT_MAX_CLAIMS_BYTES,
            expiry_required: true,
        }
    }

    /// This service's name in `aud`. Once one is set, tokens for nobody or for others are refused. Without any, tokens
    /// that name an audience are refused: they are meant for somebody else
    /// ([RFC 7519 §4.1.3](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.3)).
    #[must_use]
    pub fn with_audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.insert(audience.into());
        self
    }

    /// Several names: a token for one of them is accepted.
    #[must_use]
    pub fn with_audiences<S: Into<String>>(mut self, audiences: impl IntoIterator<Item = S>) -> Self {
        self.audiences.extend(audiences.into_iter().map(Into::into));
        self
    }

    /// Does not look at `aud` at all: tokens that were issued for other services are accepted as well.
    #[must_use]
    pub const fn with_any_audience(mut self) -> Self {
        self.any_audience = true;
        self
    }

    /// Who must have issued the token (`iss`). Unset, anybody who has the key.
    ///
    /// Every key counts for every issuer that is set. Issuers that should not speak for each other need a
    /// [`JwtAuth`](super::JwtAuth) each.
    #[must_use]
    pub fn with_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuers.insert(issuer.into());
        self
    }

    /// Several issuers: one of them must have issued the token.
    #[must_use]
    pub fn with_issuers<S: Into<String>>(mut self, issuers: impl IntoIterator<Item = S>) -> Self {
        self.issuers.extend(issuers.into_iter().map(Into::into));
        self
    }

    /// How far the issuer's clock may differ, at most 10 minutes; 30 s unless set. A token is accepted, and its
    /// session lives, this long past `exp`.
    #[must_use]
    pub const fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// A claim that every token must have, beside the user and `exp`.
    #[must_use]
    pub fn with_required_claim(mut self, claim: impl Into<String>) -> Self {
        self.required_claims.insert(claim.into());
        self
    }

    /// The claim that holds the user's id, a text or a whole number; `sub` unless set.
    #[must_use]
    pub fn with_user_claim(mut self, claim: impl Into<String>) -> Self {
        self.user_claim = claim.into();
        self
    }

    /// The claim that holds the user's roles in the whole service, an array of texts or one text with spaces between;
    /// `roles` unless set.
    #[must_use]
    pub fn with_roles_claim(mut self, claim: impl Into<String>) -> Self {
        self.roles_claim = claim.into();
        self
    }

    /// Refuses tokens that live longer than this from `iat` to `exp`, and tokens without `iat`; those without `exp`,
    /// where they are allowed, end this long after `iat`. Unset, any lifetime.
    #[must_use]
    pub const fn with_max_lifetime(mut self, max_lifetime: Duration) -> Self {
        self.max_lifetime = Some(max_lifetime);
        self
    }

    /// Refuses longer tokens before looking at them; 8 KiB unless set.
    #[must_use]
    pub const fn with_max_token_bytes(mut self, bytes: usize) -> Self {
        self.max_token_bytes = bytes;
        self
    }

    /// Refuses tokens whose other claims, which the principal keeps, are more JSON than this; 4 KiB unless set.
    #[must_use]
    pub const fn with_max_claims_bytes(mut self, bytes: usize) -> Self {
        self.max_claims_bytes = bytes;
        self
    }

    /// Accepts tokens without `exp`. Their sessions never expire, so have a way to revoke them.
    #[must_use]
    pub const fn with_optional_expiry(mut self) -> Self {
        self.expiry_required = false;
        self
    }

    /// Names the first setting that cannot work.
    pub(super) fn check(&self) -> Result<(), JwtConfigError> {
        let blank = |set: &BTreeSet<String>| set.iter().any(|text| text.trim().is_empty());
        let rules = [
            (blank(&self.audiences), "audience", "it is blank"),
            (self.any_audience && !self.audiences.is_empty(), "audience", "one is named and any is accepted"),
            (blank(&self.issuers), "issuer", "it is blank"),
            (self.leeway > MAX_LEEWAY, "leeway", "it is more than 10 minutes"),
            (blank(&self.required_claims), "required_claim", "it is blank"),
            (self.user_claim.trim().is_empty(), "user_claim", "it is blank"),
            (self.roles_claim.trim().is_empty(), "roles_claim", "it is blank"),
            (self.max_lifetime == Some(Duration::ZERO), "max_lifetime", "it is zero"),
            (self.max_token_bytes == 0, "max_token_bytes", "it is zero"),
        ];
        match rules.into_iter().find(|(broken, ..)| *broken) {
            Some((_, setting, reason)) => Err(JwtConfigError::Setting { setting, reason }),
            None => Ok(()),
        }
    }
}
