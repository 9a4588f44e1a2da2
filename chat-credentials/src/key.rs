//! A key that checks signatures: from a JSON Web Key, or from the bytes in a DID.

use std::{fmt, sync::Arc};

use rsa::{BigUint, RsaPublicKey, pkcs1::DecodeRsaPublicKey as _, traits::PublicKeyParts as _};
use serde_json::{Map, Value};

use crate::{Algorithm, Reason, base64url, json, signature};

/// RSA keys of 2,048 to 4,096 bits: fewer are not safe, more cost too much to check.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=4_096;
/// Keys of one set.
const MAX_KEYS: usize = 100;

/// A key, for the one kind of algorithm that its type is for.
#[derive(Clone)]
pub struct Key {
    pub(crate) id: Option<Arc<str>>,
    /// The key says that it is for this one.
    only: Option<Algorithm>,
    material: Material,
}

#[derive(Clone)]
pub(crate) enum Material {
    P256(p256::ecdsa::VerifyingKey),
    P384(Box<p384::ecdsa::VerifyingKey>),
    P521(Box<p521::ecdsa::VerifyingKey>),
    Secp256k1(k256::ecdsa::VerifyingKey),
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
    Rsa(Box<RsaPublicKey>),
    Secret(Box<[u8]>),
}

/// What to do with a JSON Web Key that has private members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Private {
    /// Uses its public ones.
    Ignored,
    /// Somebody published what only they should have.
    Refused,
}

impl Key {
    /// A JSON Web Key ([RFC 7517](https://www.rfc-editor.org/rfc/rfc7517)); private members of it are not looked at.
    ///
    /// # Errors
    /// [`Reason::Malformed`], [`Reason::DuplicateName`], or [`Reason::BadKey`] for one that is weak, of an unknown kind, or for
    /// something else than checking signatures.
    pub fn jwk(text: &str) -> Result<Self, Reason> {
        Self::from_jwk(&json::object(text.as_bytes())?, Private::Ignored)
    }

    /// The key of this name (`kid`).
    #[must_use]
    pub fn with_id(mut self, id: &str) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(crate) fn from_jwk(jwk: &Map<String, Value>, private: Private) -> Result<Self, Reason> {
        let text = |name: &str| match jwk.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(Reason::Malformed),
        };
        let bytes = |name: &str| base64url(text(name)?.ok_or(Reason::Malformed)?);
        if private == Private::Refused && is_private(jwk) {
            return Err(Reason::BadKey);
        }
        if text("use")?.is_some_and(|to| to != "sig") {
            return Err(Reason::BadKey);
        }
        match jwk.get("key_ops") {
            None => {}
            Some(Value::Array(may)) if may.iter().any(|may| may == "verify") => {}
            Some(_) => return Err(Reason::BadKey),
        }
        let material = match (text("kty")?.ok_or(Reason::Malformed)?, text("crv")?) {
            ("EC", Some(curve)) => Material::point(curve, &bytes("x")?, &bytes("y")?)?,
            ("OKP", Some("Ed25519")) => Material::ed25519(&bytes("x")?)?,
            ("RSA", None) => {
                let (n, e) = (BigUint::from_bytes_be(&bytes("n")?), BigUint::from_bytes_be(&bytes("e")?));
                Material::rsa(RsaPublicKey::new(n, e))?
            }
            ("oct", None) => Material::Secret(bytes("k")?.into()),
            _ => return Err(Reason::BadKey),
        };
        let only = match text("alg")? {
            None => None,
            Some(name) => Some(Algorithm::named(name).ok_or(Reason::BadKey)?),
        };
        if only.is_some_and(|only| !material.takes(only)) {
            return Err(Reason::BadKey);
        }
        Ok(Self { id: text("kid")?.map(Into::into), only, material })
    }

    pub(crate) fn from_material(id: &str, material: Material) -> Self {
        Self { id: Some(id.into()), only: None, material }
    }

    /// Whether it is a secret that two share rather than a public key.
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        matches!(self.material, Material::Secret(_))
    }

    pub(crate) fn takes(&self, algorithm: Algorithm) -> bool {
        self.only.map_or_else(|| self.material.takes(algorithm), |only| only == algorithm)
    }

    pub(crate) fn verify(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> Result<(), Reason> {
        if !self.takes(algorithm) {
            return Err(Reason::WrongAlgorithm);
        }
        let fits = signature::verify(&self.material, algorithm, signed, signature);
        fits.ok_or(Reason::WrongSignature)
    }
}

pub(crate) fn is_private(jwk: &Map<String, Value>) -> bool {
    ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|name| jwk.contains_key(*name))
}

impl Material {
    fn point(curve: &str, x: &[u8], y: &[u8]) -> Result<Self, Reason> {
        // RFC 7518 §6.2.1.2: a coordinate has all its bytes, leading zeros included.
        let bytes = match curve {
            "P-256" | "secp256k1" => 32,
            "P-384" => 48,
            "P-521" => 66,
            _ => return Err(Reason::BadKey),
        };
        if x.len() != bytes || y.len() != bytes {
            return Err(Reason::BadKey);
        }
        Self::sec1(curve, &[&[4], x, y].concat())
    }

    /// A point on this curve, compressed or not. It is checked to be on the curve.
    pub(crate) fn sec1(curve: &str, point: &[u8]) -> Result<Self, Reason> {
        let key = match curve {
            "P-256" => p256::ecdsa::VerifyingKey::from_sec1_bytes(point).ok().map(Self::P256),
            "P-384" => {
                p384::ecdsa::VerifyingKey::from_sec1_bytes(point).ok().map(|key| Self::P384(Box::new(key)))
            }
            "P-521" => {
                p521::ecdsa::VerifyingKey::from_sec1_bytes(point).ok().map(|key| Self::P521(Box::new(key)))
            }
            _ => k256::ecdsa::VerifyingKey::from_sec1_bytes(point).ok().map(Self::Secp256k1),
        };
        key.ok_or(Reason::BadKey)
    }

    /// Points of small order are refused: for those some signatures fit almost anything.
    pub(crate) fn ed25519(point: &[u8]) -> Result<Self, Reason> {
        let point: [u8; 32] = point.try_into().map_err(|_| Reason::BadKey)?;
        // RFC 8032 §5.1.3: a coordinate is below 2^255 - 19, or one point had two names.
        let [low, between @ .., high] = &point;
        if *low >= 0xed && between.iter().all(|byte| *byte == 0xff) && high & 0x7f == 0x7f {
            return Err(Reason::BadKey);
        }
        let key = ed25519_dalek::VerifyingKey::from_bytes(&point).map_err(|_| Reason::BadKey)?;
        if key.is_weak() { Err(Reason::BadKey) } else { Ok(Self::Ed25519(Box::new(key))) }
    }

    pub(crate) fn rsa_der(der: &[u8]) -> Result<Self, Reason> {
        Self::rsa(RsaPublicKey::from_pkcs1_der(der))
    }

    fn rsa<E>(key: Result<RsaPublicKey, E>) -> Result<Self, Reason> {
        let key = key.map_err(|_| Reason::BadKey)?;
        let odd = |number: &BigUint| number.to_bytes_le().first().is_some_and(|low| low & 1 == 1);
        let usable = RSA_BITS.contains(&key.n().bits())
            && odd(key.n())
            && odd(key.e())
            && *key.e() >= BigUint::from(3_u8)
            && !has_structure(&key.n().to_bytes_be());
        if usable { Ok(Self::Rsa(Box::new(key))) } else { Err(Reason::BadKey) }
    }

    /// Whether this kind of key is for that algorithm. A public key is never one for HMAC.
    fn takes(&self, algorithm: Algorithm) -> bool {
        use Algorithm as A;
        match self {
            Self::P256(_) => algorithm == A::Es256,
            Self::P384(_) => algorithm == A::Es384,
            Self::P521(_) => algorithm == A::Es512,
            Self::Secp256k1(_) => algorithm == A::Es256k,
            Self::Ed25519(_) => algorithm == A::EdDsa,
            Self::Rsa(_) => {
                matches!(algorithm, A::Rs256 | A::Rs384 | A::Rs512 | A::Ps256 | A::Ps384 | A::Ps512)
            }
            Self::Secret(_) => algorithm.is_symmetric(),
        }
    }
}

/// Whether a modulus is of the kind that some smart cards made (CVE-2017-15361), whose factors can be found: modulo each of these primes
/// it is a power of 65537. Of other moduli hardly one in a hundred million is.
fn has_structure(modulus: &[u8]) -> bool {
    const PRIMES: [u32; 38] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101,
        103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    ];
    PRIMES.into_iter().all(|prime| {
        let rest = modulus.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        let mut power = 1;
        (0..prime).any(|_| {
            power = power * 65_537 % prime;
            power == rest
        })
    })
}

/// Without the material.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("only", &self.only).finish_non_exhaustive()
    }
}

/// Some keys, told apart by their names.
#[derive(Debug, Clone)]
pub struct KeySet {
    keys: Vec<Key>,
}

impl KeySet {
    /// Of one key. Where it or a token has no name, there is nothing to mistake it for.
    #[must_use]
    pub fn one(key: Key) -> Self {
        Self { keys: vec![key] }
    }

    /// A JSON Web Key Set of public keys or, for tests and HMAC, of secrets. Keys of unknown kinds and for encryption are passed
    /// over ([RFC 7517 §5](https://www.rfc-editor.org/rfc/rfc7517#section-5)).
    ///
    /// # Errors
    /// [`Reason::BadKey`] where nothing is left, where a name occurs twice, or where private keys are among public ones.
    pub fn jwks(text: &str) -> Result<Self, Reason> {
        Self::from_jwks(&json::object(text.as_bytes())?)
    }

    pub(crate) fn from_jwks(set: &Map<String, Value>) -> Result<Self, Reason> {
        let Some(Value::Array(keys)) = set.get("keys") else { return Err(Reason::Malformed) };
        if keys.len() > MAX_KEYS {
            return Err(Reason::TooLarge);
        }
        let keys = keys.iter().map(|key| key.as_object().ok_or(Reason::Malformed));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let private = keys.iter().filter(|key| is_private(key)).count();
        if private > 0 && private < keys.len() {
            return Err(Reason::BadKey);
        }
        let mut names: Vec<_> = keys.iter().filter_map(|key| key.get("kid")).collect();
        names.sort_by_key(ToString::to_string);
        if names.windows(2).any(|two| two[0] == two[1]) {
            return Err(Reason::BadKey);
        }
        let keys: Vec<_> =
            keys.into_iter().filter_map(|key| Key::from_jwk(key, Private::Ignored).ok()).collect();
        if keys.is_empty() { Err(Reason::BadKey) } else { Ok(Self { keys }) }
    }

    /// The keys that a token may mean.
    pub(crate) fn candidates(&self, id: Option<&str>) -> impl Iterator<Item = &Key> {
        let single = self.keys.len() == 1;
        self.keys.iter().filter(move |key| match (key.id(), id) {
            (Some(own), Some(id)) => own == id,
            (None, Some(_)) => single,
            (_, None) => true,
        })
    }
}
