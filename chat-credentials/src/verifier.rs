use std::{collections::BTreeSet, time::Duration};

use chat_core::Timestamp;
use serde_json::{Map, Value};

use crate::{
    Jws, Key, KeySet, Part, Reason, Reject, TrustedIssuers,
    claims::{self, Times},
    did,
};

/// What is accepted. Nothing here asks anybody: no network, no clock but the one that is given.
#[derive(Debug, Clone)]
pub struct Verifier {
    pub(crate) issuers: TrustedIssuers,
    /// Instead of all others.
    pub(crate) keys: Option<KeySet>,
    pub(crate) audiences: BTreeSet<String>,
    pub(crate) types: BTreeSet<String>,
    pub(crate) leeway: Duration,
    pub(crate) max_age: Option<Duration>,
    pub(crate) max_bytes: usize,
    pub(crate) max_credentials: usize,
    pub(crate) any_status: bool,
}

impl Verifier {
    /// Default of [`with_leeway`](Self::with_leeway): 5 s.
    pub const LEEWAY: Duration = Duration::from_secs(5);
    /// Default of [`with_max_age`](Self::with_max_age): 24 hours.
    pub const MAX_AGE: Duration = Duration::from_secs(24 * 3_600);
    /// Default of [`with_max_bytes`](Self::with_max_bytes): 32 KiB.
    pub const MAX_BYTES: usize = 32 * 1_024;
    /// Credentials in one presentation.
    pub const MAX_CREDENTIALS: usize = 8;

    /// Accepts credentials of these issuers.
    #[must_use]
    pub const fn new(issuers: TrustedIssuers) -> Self {
        Self {
            issuers,
            keys: None,
            audiences: BTreeSet::new(),
            types: BTreeSet::new(),
            leeway: Self::LEEWAY,
            max_age: Some(Self::MAX_AGE),
            max_bytes: Self::MAX_BYTES,
            max_credentials: Self::MAX_CREDENTIALS,
            any_status: false,
        }
    }

    /// Uses these keys for everything, whoever it names. For tests of signatures.
    #[must_use]
    pub fn with_keys(mut self, keys: KeySet) -> Self {
        self.keys = Some(keys);
        self
    }

    /// This service's name in a presentation's `aud`; may be called several times. Without any, `aud` is not looked at.
    #[must_use]
    pub fn with_audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.insert(audience.into());
        self
    }

    /// One credential has to be of this type, or of another one that is given so.
    #[must_use]
    pub fn with_type(mut self, name: impl Into<String>) -> Self {
        self.types.insert(name.into());
        self
    }

    /// How far other clocks may differ; 5 s unless set. Everything is accepted this long past its expiry.
    #[must_use]
    pub const fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// A presentation holds at most so long after it was made (`iat`); one without `iat` has to end within this time. 24 hours
    /// unless set; `None` accepts presentations that never end.
    #[must_use]
    pub const fn with_max_age(mut self, age: Option<Duration>) -> Self {
        self.max_age = age;
        self
    }

    /// Longer texts are refused before they are looked at; 32 KiB unless set.
    #[must_use]
    pub const fn with_max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Accepts credentials that say where their status could be looked up (`credentialStatus`): nothing here does that, so they
    /// may have been withdrawn. Otherwise they are refused.
    #[must_use]
    pub const fn with_any_status(mut self) -> Self {
        self.any_status = true;
        self
    }

    /// A plain token: signature, times, audience. Gives what it says.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn token(&self, text: &str, keys: &KeySet, now: Timestamp) -> Result<Map<String, Value>, Reject> {
        let check = || {
            let jws = Jws::parse(text, self.max_bytes)?;
            jws.verify(keys)?;
            let claims = jws.unchecked_claims()?;
            Times::of(&claims)?.check(now, self.leeway, None)?;
            claims::audience(&claims, &self.audiences)?;
            Ok(claims)
        };
        check().map_err(|reason: Reason| reason.of(Part::Token))
    }

    /// Checks that `who` signed it.
    pub(crate) fn check_signature(&self, jws: &Jws<'_>, who: &str) -> Result<(), Reason> {
        // Whoever can check such a signature could have made it.
        if jws.algorithm().is_symmetric() {
            return Err(Reason::UnknownAlgorithm);
        }
        let kid = jws.key_id();
        if let Some(keys) = &self.keys {
            return jws.verify(keys).map(drop);
        }
        if let Some(keys) = self.issuers.keys(who).filter(|_| !did::holds_its_key(who)) {
            let short = kid.and_then(|kid| kid.strip_prefix(who)?.strip_prefix('#'));
            let named = |id| keys.candidates(id);
            return match short {
                Some(_) if named(kid).next().is_none() => jws.verify_with(named(short)),
                _ => jws.verify_with(named(kid)),
            }
            .map(drop);
        }
        let key = did::resolve(who)?;
        if !did::means(kid, who, &key) {
            return Err(Reason::UnknownKey);
        }
        jws.verify_with(std::iter::once::<&Key>(&key)).map(drop)
    }
}
