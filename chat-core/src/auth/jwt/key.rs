use std::{collections::BTreeMap, fmt, sync::Arc};

use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind,
    crypto::{CryptoProvider, JwtVerifier, rust_crypto::DEFAULT_PROVIDER},
    errors::Result as CryptoResult,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};

use super::JwtConfigError;

/// An HS256 secret has at least this many bytes ([RFC 7518 §3.2](https://www.rfc-editor.org/rfc/rfc7518#section-3.2)).
pub(super) const MIN_SECRET_BYTES: usize = 32;

/// RSA keys of 2,048 to 4,096 bits: fewer are not safe, more are not supported.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// How a token is signed. It belongs to the key; what a token's header says is compared with it and never followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256: whoever can check a token can issue one.
    Hs256,
    /// RSA (PKCS #1 v1.5) with SHA-256, 2,048 to 4,096 bits.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl JwtAlgorithm {
    /// The name in a token's header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    pub(super) const fn to_crypto(self) -> Algorithm {
        match self {
            Self::Hs256 => Algorithm::HS256,
            Self::Rs256 => Algorithm::RS256,
            Self::Es256 => Algorithm::ES256,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}

impl fmt::Display for JwtAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The cryptography, named rather than taken from the process-wide default: that one panics when another crate in the
/// same build switches on a second provider.
pub(super) fn provider() -> &'static CryptoProvider {
    &DEFAULT_PROVIDER
}

/// A key that checks tokens: its material, the one algorithm it is for, and the name (`kid`) that tokens call it by.
#[derive(Clone)]
pub struct JwtKey {
    id: Option<Arc<str>>,
    algorithm: JwtAlgorithm,
    material: DecodingKey,
}

impl JwtKey {
    /// An HS256 secret of at least 32 bytes.
    ///
    /// # Errors
    /// [`JwtConfigError::ShortSecret`].
    pub fn hs256(secret: impl AsRef<[u8]>) -> Result<Self, JwtConfigError> {
        let secret = secret.as_ref();
        if secret.len() < MIN_SECRET_BYTES {
            return Err(JwtConfigError::ShortSecret { bytes: secret.len() });
        }
        Ok(Self { id: None, algorithm: JwtAlgorithm::Hs256, material: DecodingKey::from_secret(secret) })
    }

    /// A public key in PEM (`BEGIN PUBLIC KEY`), for RS256, ES256 or EdDSA.
    ///
    /// # Errors
    /// [`JwtConfigError::BadKey`] if it is no public key of that algorithm, or for [`JwtAlgorithm::Hs256`]: a PEM file
    /// is never a secret.
    pub fn pem(algorithm: JwtAlgorithm, pem: impl AsRef<[u8]>) -> Result<Self, JwtConfigError> {
        let pem = pem.as_ref();
        let material = match algorithm {
            JwtAlgorithm::Hs256 => {
                return Err(JwtConfigError::BadKey { algorithm, reason: "a secret is not in PEM" });
            }
            JwtAlgorithm::Rs256 => DecodingKey::from_rsa_pem(pem),
            JwtAlgorithm::Es256 => DecodingKey::from_ec_pem(pem),
            JwtAlgorithm::EdDsa => DecodingKey::from_ed_pem(pem),
        };
        Self::from_parsed(algorithm, material)
    }

    /// A JSON Web Key ([RFC 7517](https://www.rfc-editor.org/rfc/rfc7517)). Type and curve decide the algorithm (`RSA`
    /// is RS256), its `kid` becomes the id.
    ///
    /// # Errors
    /// [`JwtConfigError::NotAJwk`]; [`JwtConfigError::BadKey`] if its `alg` says something else or the key is no good;
    /// [`JwtConfigError::ShortSecret`].
    pub fn jwk(json: &str) -> Result<Self, JwtConfigError> {
        let jwk = serde_json::from_str(json).map_err(|_| JwtConfigError::NotAJwk)?;
        Self::from_jwk(&jwk)
    }

    /// The keys of a JSON Web Key Set, as an identity provider publishes it. Keys for encryption and of kinds that are
    /// not known here are passed over, as [RFC 7517 §5](https://www.rfc-editor.org/rfc/rfc7517#section-5) asks, and so
    /// are secrets: a published set has none.
    ///
    /// # Errors
    /// As for [`jwk`](Self::jwk).
    pub fn jwks(json: &str) -> Result<Vec<Self>, JwtConfigError> {
        #[derive(serde::Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let set: Set = serde_json::from_str(json).map_err(|_| JwtConfigError::NotAJwk)?;
        set.keys
            .into_iter()
            .filter_map(|value| serde_json::from_value::<Jwk>(value).ok())
            .filter(|jwk| {
                jwk.common.public_key_use != Some(PublicKeyUse::Encryption)
                    && algorithm_of(jwk).is_some_and(|algorithm| {
                        algorithm != JwtAlgorithm::Hs256 && alg_agrees(jwk.common.key_algorithm, algorithm)
                    })
            })
            .map(|jwk| Self::from_jwk(&jwk))
            .collect()
    }

    fn from_jwk(jwk: &Jwk) -> Result<Self, JwtConfigError> {
        let algorithm = algorithm_of(jwk).ok_or(JwtConfigError::NotAJwk)?;
        if !alg_agrees(jwk.common.key_algorithm, algorithm) {
            return Err(JwtConfigError::BadKey { algorithm, reason: "the key's alg is another one" });
        }
        if jwk.common.public_key_use == Some(PublicKeyUse::Encryption) {
            return Err(JwtConfigError::BadKey { algorithm, reason: "the key is for encryption" });
        }
        let key = Self::from_parsed(algorithm, DecodingKey::from_jwk(jwk))?;
        Ok(match &jwk.common.key_id {
            Some(id) => key.with_id(id),
            None => key,
        })
    }

    /// Checks now what the cryptography would find out, or trip over, with the first token.
    pub(super) fn from_parsed(
        algorithm: JwtAlgorithm,
        material: CryptoResult<DecodingKey>,
    ) -> Result<Self, JwtConfigError> {
        let bad = |reason| JwtConfigError::BadKey { algorithm, reason };
        let unreadable = |_| bad("it is not a public key of this algorithm");
        let material = material.map_err(unreadable)?;
        let material = match (algorithm, material.kind()) {
            (JwtAlgorithm::Rs256, DecodingKeyKind::SecretOrDer(der)) => {
                let components = provider().key_utils.rsa_pub_components_from_public_key;
                let (modulus, exponent) = components(der).map_err(unreadable)?;
                DecodingKey::from_rsa_raw_components(&modulus, &exponent)
            }
            _ => material,
        };
        match (algorithm, material.kind()) {
            (JwtAlgorithm::Hs256, DecodingKeyKind::SecretOrDer(secret))
                if secret.len() < MIN_SECRET_BYTES =>
            {
                return Err(JwtConfigError::ShortSecret { bytes: secret.len() });
            }
            (JwtAlgorithm::EdDsa, DecodingKeyKind::SecretOrDer(point)) if point.len() != 32 => {
                return Err(bad("it is not a public key of this algorithm"));
            }
            (JwtAlgorithm::Rs256, DecodingKeyKind::RsaModulusExponent { n, .. }) => check_rsa_size(n)?,
            _ => {}
        }
        let key = Self { id: None, algorithm, material };
        key.verifier().map_err(unreadable)?;
        Ok(key)
    }

    /// With the name by which tokens call it (`kid`).
    #[must_use]
    pub fn with_id(mut self, id: impl AsRef<str>) -> Self {
        self.id = Some(id.as_ref().into());
        self
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The one algorithm it is for.
    #[must_use]
    pub const fn algorithm(&self) -> JwtAlgorithm {
        self.algorithm
    }

    pub(super) fn verifier(&self) -> CryptoResult<Box<dyn JwtVerifier>> {
        (provider().verifier_factory)(&self.algorithm.to_crypto(), &self.material)
    }
}

/// Without the material.
impl fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtKey")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

pub(super) fn check_rsa_size(modulus: &[u8]) -> Result<(), JwtConfigError> {
    let leading_zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    if RSA_BYTES.contains(&(modulus.len() - leading_zeros)) {
        return Ok(());
    }
    Err(JwtConfigError::BadKey { algorithm: JwtAlgorithm::Rs256, reason: "an RSA key has 2048 to 4096 bits" })
}

fn algorithm_of(jwk: &Jwk) -> Option<JwtAlgorithm> {
    match &jwk.algorithm {
        AlgorithmParameters::OctetKey(_) => Some(JwtAlgorithm::Hs256),
        AlgorithmParameters::RSA(_) => Some(JwtAlgorithm::Rs256),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            Some(JwtAlgorithm::Es256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            Some(JwtAlgorithm::EdDsa)
        }
        _ => None,
    }
}

fn alg_agrees(said: Option<KeyAlgorithm>, algorithm: JwtAlgorithm) -> bool {
    said.is_none_or(|said| said == KeyAlgorithm::from(algorithm.to_crypto()))
}

/// The keys that hold at one time.
#[derive(Debug)]
pub(super) enum KeySet {
    One(JwtKey),
    Many(BTreeMap<Arc<str>, JwtKey>),
}

impl KeySet {
    pub(super) fn new(keys: Vec<JwtKey>) -> Result<Self, JwtConfigError> {
        let keys = match <[JwtKey; 1]>::try_from(keys) {
            Ok([only]) => return Ok(Self::One(only)),
            Err(keys) if keys.is_empty() => return Err(JwtConfigError::NoKeys),
            Err(keys) => keys,
        };
        let mut by_id = BTreeMap::new();
        for key in keys {
            let id = key.id.clone().ok_or(JwtConfigError::NoKeyId)?;
            if by_id.insert(Arc::clone(&id), key).is_some() {
                return Err(JwtConfigError::DuplicateKeyId { id: id.as_ref().to_owned() });
            }
        }
        Ok(Self::Many(by_id))
    }

    /// The key for a token that names `id`.
    pub(super) fn select(&self, id: Option<&str>) -> Option<&JwtKey> {
        match (self, id) {
            // Where either side has no name for the only key there is nothing to mistake it for.
            (Self::One(key), Some(id)) => key.id().is_none_or(|own| own == id).then_some(key),
            (Self::One(key), None) => Some(key),
            (Self::Many(keys), Some(id)) => keys.get(id),
            (Self::Many(_), None) => None,
        }
    }
}
