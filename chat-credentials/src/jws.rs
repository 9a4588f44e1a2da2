//! A signed text in compact form ([RFC 7515](https://www.rfc-editor.org/rfc/rfc7515)).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::{Algorithm, Key, KeySet, Reason, json};

/// Keys that are tried for a token that names none.
const MAX_TRIES: usize = 16;

/// Without padding, spaces, or bits that mean nothing.
pub(crate) fn base64url(text: &str) -> Result<Vec<u8>, Reason> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Reason::Malformed)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// A text that was taken apart and whose signature is **not** checked yet.
pub struct Jws<'a> {
    algorithm: Algorithm,
    key_id: Option<String>,
    signed: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Takes it apart. Keys in its header, or addresses of keys (`jwk`, `jku`, `x5u`, `x5c`), are not looked at: whoever signed it
    /// chose them.
    ///
    /// # Errors
    /// [`Reason::TooLarge`], [`Reason::Malformed`], [`Reason::DuplicateName`], [`Reason::Unsigned`],
    /// [`Reason::UnknownAlgorithm`], [`Reason::CriticalHeader`].
    pub fn parse(text: &'a str, max_bytes: usize) -> Result<Self, Reason> {
        if text.is_empty() {
            return Err(Reason::Missing);
        }
        if text.len() > max_bytes {
            return Err(Reason::TooLarge);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Reason::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Reason::Malformed)?;
        let header = json::object(&base64url(header)?)?;
        let algorithm = algorithm(&header)?;
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(Reason::Malformed),
        };
        // RFC 7515 §4.1.11; none is understood here. `b64` (RFC 7797) without it would change what was signed.
        if header.contains_key("crit") || header.get("b64").is_some_and(|b64| *b64 != true) {
            return Err(Reason::CriticalHeader);
        }
        let (payload, signature) = (base64url(payload)?, base64url(signature)?);
        Ok(Self { algorithm, key_id, signed, payload, signature })
    }

    /// How it says it is signed.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Which key it names.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// What it says, before anybody has checked it.
    pub(crate) fn unchecked_claims(&self) -> Result<Map<String, Value>, Reason> {
        json::object(&self.payload)
    }

    /// A SHA-256 of header and payload, in hexadecimal. Not of the signature, of which there can be several that fit.
    #[must_use]
    pub fn digest(&self) -> String {
        hex(&Sha256::digest(self.signed.as_bytes()))
    }

    /// Checks the signature, and gives what was signed.
    ///
    /// # Errors
    /// [`Reason::UnknownKey`], [`Reason::WrongAlgorithm`] or [`Reason::WrongSignature`].
    pub fn verify(&self, keys: &KeySet) -> Result<&[u8], Reason> {
        self.verify_with(keys.candidates(self.key_id()))
    }

    pub(crate) fn verify_with<'k>(&self, keys: impl Iterator<Item = &'k Key>) -> Result<&[u8], Reason> {
        let mut wrong = Reason::UnknownKey;
        let mut tries = 0;
        for key in keys {
            match key.verify(self.algorithm, self.signed.as_bytes(), &self.signature) {
                Ok(()) => return Ok(&self.payload),
                Err(Reason::WrongAlgorithm) if wrong == Reason::UnknownKey => wrong = Reason::WrongAlgorithm,
                Err(Reason::WrongAlgorithm) => {}
                Err(reason) => {
                    wrong = reason;
                    tries += 1;
                    if tries == MAX_TRIES {
                        break;
                    }
                }
            }
        }
        Err(wrong)
    }
}

/// Without the text: whoever has it can present it.
impl fmt::Debug for Jws<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (algorithm, key_id) = (&self.algorithm, &self.key_id);
        f.debug_struct("Jws").field("algorithm", algorithm).field("key_id", key_id).finish_non_exhaustive()
    }
}

fn algorithm(header: &Map<String, Value>) -> Result<Algorithm, Reason> {
    let Some(Value::String(name)) = header.get("alg") else { return Err(Reason::Malformed) };
    if name.eq_ignore_ascii_case("none") {
        return Err(Reason::Unsigned);
    }
    Algorithm::named(name).ok_or(Reason::UnknownAlgorithm)
}
