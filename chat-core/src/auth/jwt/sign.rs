use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, EncodingKey, errors::Result as CryptoResult, jwk::EllipticCurve};
use serde_json::{Value, json};
use ulid::Ulid;

use super::{
    JwtAlgorithm, JwtConfigError, JwtKey,
    key::{MIN_SECRET_BYTES, check_rsa_size, provider},
};
use crate::{Clock, Error, Result, Retry, SystemClock, Timestamp, TokenId, UserId, rooms::Metadata};

/// Default for [`JwtSigner::with_lifetime`]: 1 h.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(3_600);

/// When a token expires.
#[derive(Debug, Clone, Copy)]
enum Expiry {
    After(Option<Duration>),
    At(Timestamp),
    Never,
}

/// What a token shall say.
#[derive(Debug, Clone)]
pub struct JwtClaims {
    user: UserId,
    roles: Vec<String>,
    id: Option<TokenId>,
    expiry: Expiry,
    not_before: Option<Timestamp>,
    others: Metadata,
}

impl JwtClaims {
    /// A token for this user, with a new id and the signer's lifetime.
    #[must_use]
    pub fn new(user: UserId) -> Self {
        Self {
            user,
            roles: Vec::new(),
            id: None,
            expiry: Expiry::After(None),
            not_before: None,
            others: Metadata::new(),
        }
    }

    /// With a role in the whole service.
    #[must_use]
    pub fn with_role(mut self, role: impl Into<String>) -> Self {
        self.roles.push(role.into());
        self
    }

    /// With this id (`jti`).
    #[must_use]
    pub fn with_id(mut self, id: TokenId) -> Self {
        self.id = Some(id);
        self
    }

    /// Expires this long after it was issued.
    #[must_use]
    pub const fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.expiry = Expiry::After(Some(lifetime));
        self
    }

    /// Expires at this time, in whole seconds.
    #[must_use]
    pub const fn with_expiry(mut self, at: Timestamp) -> Self {
        self.expiry = Expiry::At(at);
        self
    }

    /// Never expires.
    #[must_use]
    pub const fn without_expiry(mut self) -> Self {
        self.expiry = Expiry::Never;
        self
    }

    /// Not valid before this time, in whole seconds.
    #[must_use]
    pub const fn with_not_before(mut self, at: Timestamp) -> Self {
        self.not_before = Some(at);
        self
    }

    /// With another claim. Those that have a method of their own here or on the signer win over it.
    #[must_use]
    pub fn with_claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.others.insert(name.into(), value.into());
        self
    }
}

/// Issues tokens that [`JwtAuth`](super::JwtAuth) accepts: for guests, for tests, for services without an identity
/// provider.
///
/// RS256 is for tests and short-lived guests of small services: the pure Rust RSA under it does not sign in constant
/// time ([RUSTSEC-2023-0071](https://rustsec.org/advisories/RUSTSEC-2023-0071)). Checking tokens is not affected, nor are
/// the other algorithms.
#[derive(Clone)]
pub struct JwtSigner {
    id: Option<Arc<str>>,
    algorithm: JwtAlgorithm,
    material: EncodingKey,
    issuer: Option<String>,
    audience: Option<String>,
    lifetime: Duration,
    clock: Arc<dyn Clock>,
}

impl JwtSigner {
    /// Signs with an HS256 secret of at least 32 bytes.
    ///
    /// # Errors
    /// [`JwtConfigError::ShortSecret`].
    pub fn hs256(secret: impl AsRef<[u8]>) -> Result<Self, JwtConfigError> {
        let secret = secret.as_ref();
        if secret.len() < MIN_SECRET_BYTES {
            return Err(JwtConfigError::ShortSecret { bytes: secret.len() });
        }
        Ok(Self::from_material(JwtAlgorithm::Hs256, EncodingKey::from_secret(secret)))
    }

    /// Signs with a private key in PEM (`BEGIN PRIVATE KEY`), for RS256, ES256 or EdDSA.
    ///
    /// # Errors
    /// [`JwtConfigError::BadKey`] if it is no private key of that algorithm, or for [`JwtAlgorithm::Hs256`].
    pub fn pem(algorithm: JwtAlgorithm, pem: impl AsRef<[u8]>) -> Result<Self, JwtConfigError> {
        let pem = pem.as_ref();
        let bad = |reason| JwtConfigError::BadKey { algorithm, reason };
        let material = match algorithm {
            JwtAlgorithm::Hs256 => return Err(bad("a secret is not in PEM")),
            JwtAlgorithm::Rs256 => EncodingKey::from_rsa_pem(pem),
            JwtAlgorithm::Es256 => EncodingKey::from_ec_pem(pem),
            JwtAlgorithm::EdDsa => EncodingKey::from_ed_pem(pem),
        };
        let signer = material.map(|material| Self::from_material(algorithm, material));
        let signer = signer.map_err(|_| bad("it is not a private key of this algorithm"))?;
        // Reads the whole key, so that a bad one shows now and not with the first token.
        signer.key()?;
        Ok(signer)
    }

    fn from_material(algorithm: JwtAlgorithm, material: EncodingKey) -> Self {
        Self {
            id: None,
            algorithm,
            material,
            issuer: None,
            audience: None,
            lifetime: DEFAULT_LIFETIME,
            clock: Arc::new(SystemClock),
        }
    }

    /// With the key's name, which tokens carry as `kid`.
    #[must_use]
    pub fn with_id(mut self, id: impl AsRef<str>) -> Self {
        self.id = Some(id.as_ref().into());
        self
    }

    /// With an issuer (`iss`).
    #[must_use]
    pub fn with_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// With an audience (`aud`).
    #[must_use]
    pub fn with_audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// How long tokens live that say nothing else; 1 h unless set.
    #[must_use]
    pub const fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// With another clock than the system's.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The key that checks this signer's tokens.
    ///
    /// # Errors
    /// [`JwtConfigError::BadKey`] if none can be made of the private key.
    pub fn key(&self) -> Result<JwtKey, JwtConfigError> {
        let (algorithm, private) = (self.algorithm, self.material.as_bytes());
        let bad =
            |_| JwtConfigError::BadKey { algorithm, reason: "it is not a private key of this algorithm" };
        let parts = &provider().key_utils;
        let public = match algorithm {
            JwtAlgorithm::Hs256 => DecodingKey::from_secret(private),
            JwtAlgorithm::Rs256 => {
                let (n, e) = (parts.rsa_pub_components_from_private_key)(private).map_err(bad)?;
                check_rsa_size(&n)?;
                DecodingKey::from_rsa_raw_components(&n, &e)
            }
            JwtAlgorithm::Es256 => {
                let components = parts.ec_pub_components_from_private_key;
                let (_, x, y) = components(private, algorithm.to_crypto()).map_err(bad)?;
                // SEC 1 §2.3.3: an uncompressed point.
                DecodingKey::from_ec_der(&[&[4], x.as_slice(), y.as_slice()].concat())
            }
            JwtAlgorithm::EdDsa => {
                let component = parts.ed_pub_components_from_private_key;
                DecodingKey::from_ed_der(&component(private, &EllipticCurve::Ed25519).map_err(bad)?)
            }
        };
        let key = JwtKey::from_parsed(algorithm, Ok(public))?;
        Ok(match &self.id {
            Some(id) => key.with_id(id),
            None => key,
        })
    }

    /// Issues a token.
    ///
    /// # Errors
    /// [`Error::Backend`] if the key cannot sign.
    pub fn sign(&self, claims: &JwtClaims) -> Result<String> {
        let mut header = json!({ "typ": "JWT", "alg": self.algorithm.as_str() });
        if let Some(id) = &self.id {
            header["kid"] = json!(id);
        }
        let claims = Value::Object(self.payload(claims));
        let mut token = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = self.signature(token.as_bytes());
        let signature = signature.map_err(|error| Error::backend("jwt", "sign", Retry::Never, error))?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    fn payload(&self, claims: &JwtClaims) -> Metadata {
        let now = self.clock.now();
        let expiry = match claims.expiry {
            Expiry::After(lifetime) => Some(now.after(lifetime.unwrap_or(self.lifetime))),
            Expiry::At(time) => Some(time),
            Expiry::Never => None,
        };
        let secs = |time: Timestamp| time.as_millis() / 1_000;
        let id = claims.id.as_ref().map_or_else(|| Ulid::generate().to_string(), ToString::to_string);
        let roles = (!claims.roles.is_empty()).then(|| json!(claims.roles));
        let own = [
            ("sub", Some(json!(claims.user))),
            ("iat", Some(json!(secs(now)))),
            ("jti", Some(json!(id))),
            ("exp", expiry.map(|time| json!(secs(time)))),
            ("nbf", claims.not_before.map(|time| json!(secs(time)))),
            ("roles", roles),
            ("iss", self.issuer.as_ref().map(|issuer| json!(issuer))),
            ("aud", self.audience.as_ref().map(|audience| json!(audience))),
        ];
        let mut payload = claims.others.clone();
        payload.extend(own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        payload
    }

    pub(super) fn signature(&self, message: &[u8]) -> CryptoResult<Vec<u8>> {
        let signer = (provider().signer_factory)(&self.algorithm.to_crypto(), &self.material)?;
        Ok(signer.try_sign(message)?)
    }
}

/// Without the key.
impl fmt::Debug for JwtSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtSigner")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}
