use std::collections::BTreeMap;

use crate::{KeySet, Reason, did};

/// Whose credentials are believed, and by which keys they are known.
#[derive(Debug, Clone, Default)]
pub struct TrustedIssuers {
    known: BTreeMap<String, KeySet>,
    anybody: bool,
}

impl TrustedIssuers {
    /// Nobody yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Believes everybody whose identifier holds their key: only the signatures count then, which is for tests of them.
    #[must_use]
    pub const fn anybody() -> Self {
        Self { known: BTreeMap::new(), anybody: true }
    }

    /// With an issuer whose identifier holds its key: `did:key` or `did:jwk`.
    ///
    /// # Errors
    /// Those of [`did::resolve`].
    pub fn with_did(mut self, issuer: &str) -> Result<Self, Reason> {
        self.known.insert(issuer.to_owned(), KeySet::one(did::resolve(issuer)?));
        Ok(self)
    }

    /// With an issuer of any name, such as an `https` address or a `did:web`, whose keys are these. The names of the keys are as
    /// in its key set; tokens may also put the issuer's name in front, with a `#` between.
    #[must_use]
    pub fn with_keys(mut self, issuer: &str, keys: KeySet) -> Self {
        self.known.insert(issuer.to_owned(), keys);
        self
    }

    /// How many are named.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Nobody is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub(crate) fn trusts(&self, issuer: &str) -> bool {
        self.anybody || self.known.contains_key(issuer)
    }

    pub(crate) fn keys(&self, issuer: &str) -> Option<&KeySet> {
        self.known.get(issuer)
    }
}
