use std::{fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chat_core::{Error, Result, Retry, Timestamp};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::base64url;

/// Seconds, chance, and the first half of an HMAC over both.
const TIME: usize = 8;
const CHANCE: usize = 16;
const TAG: usize = 16;

/// Gives out nonces and knows them again, without remembering any: they are signed. Every node with the same secret knows those of
/// the others.
#[derive(Clone)]
pub struct Challenges {
    secret: Box<[u8]>,
    lifetime: Duration,
}

impl Challenges {
    /// Default of [`with_lifetime`](Self::with_lifetime): 5 minutes.
    pub const LIFETIME: Duration = Duration::from_secs(300);
    /// Shorter secrets can be found by trying.
    pub const MIN_SECRET_BYTES: usize = 32;

    /// Signs with this secret; `None` if it is too short.
    #[must_use]
    pub fn new(secret: &[u8]) -> Option<Self> {
        let is_long = secret.len() >= Self::MIN_SECRET_BYTES;
        is_long.then(|| Self { secret: secret.into(), lifetime: Self::LIFETIME })
    }

    /// A presentation has to be made, and shown for the first time, within this time; 5 minutes unless set.
    #[must_use]
    pub const fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// How long a nonce is good for.
    #[must_use]
    pub const fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// A new one.
    ///
    /// # Errors
    /// The operating system has no random numbers.
    pub fn issue(&self, now: Timestamp) -> Result<String> {
        let mut nonce = [0; TIME + CHANCE + TAG];
        // Whole seconds, as `iat` mostly has.
        nonce[..TIME].copy_from_slice(&(now.as_millis() / 1_000).to_be_bytes());
        getrandom::fill(&mut nonce[TIME..TIME + CHANCE])
            .map_err(|error| Error::backend("credentials", "issue a nonce", Retry::Later, error))?;
        let tag = self.mac(&nonce[..TIME + CHANCE]).map(|mac| mac.finalize().into_bytes());
        let tag =
            tag.ok_or_else(|| Error::backend("credentials", "issue a nonce", Retry::Never, "no key"))?;
        nonce[TIME + CHANCE..].copy_from_slice(&tag[..TAG]);
        Ok(URL_SAFE_NO_PAD.encode(nonce))
    }

    /// Until when a presentation with this nonce may be shown for the first time; `None` if it was not given out here, or the
    /// presentation was not made in its time.
    pub(crate) fn accepts(&self, nonce: &str, made: Timestamp, leeway: Duration) -> Option<Timestamp> {
        let nonce: [u8; TIME + CHANCE + TAG] = base64url(nonce).ok()?.try_into().ok()?;
        let (said, tag) = nonce.split_at(TIME + CHANCE);
        self.mac(said)?.verify_truncated_left(tag).ok()?;
        let given = Timestamp::from_secs(u64::from_be_bytes(said.first_chunk().copied()?));
        let until = given.after(self.lifetime).after(leeway);
        (given <= made.after(leeway) && made <= until).then_some(until)
    }

    fn mac(&self, said: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = <Hmac<Sha256> as hmac::Mac>::new_from_slice(&self.secret).ok()?;
        // So that the secret may have other uses.
        mac.update(b"nonce of a presentation\0");
        mac.update(said);
        Some(mac)
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenges").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_known_again_in_its_time_and_by_its_secret() {
        let challenges = Challenges::new(&[1; 32]).unwrap();
        let at = Timestamp::from_secs(1_000);
        let nonce = challenges.issue(at).unwrap();
        assert_ne!(nonce, challenges.issue(at).unwrap());
        let leeway = Duration::from_secs(5);
        for (made, good) in [(994, false), (995, true), (1_000, true), (1_305, true), (1_306, false)] {
            let until = challenges.accepts(&nonce, Timestamp::from_secs(made), leeway);
            assert_eq!(until, good.then_some(Timestamp::from_secs(1_305)), "{made}");
        }
        assert!(Challenges::new(&[2; 32]).unwrap().accepts(&nonce, at, leeway).is_none());
        for other in
            ["", "x", &nonce[1..], &format!("{nonce}A"), &nonce.replace(nonce.chars().next().unwrap(), "_")]
        {
            assert!(challenges.accepts(other, at, leeway).is_none(), "{other}");
        }
        assert!(Challenges::new(&[1; 31]).is_none());
        assert!(!format!("{challenges:?}").contains('1'));
    }
}
