use std::{fmt::Write as _, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{JwtConfig, key::KeySet};
use crate::{
    Timestamp, TokenId, UserId,
    auth::{AuthError, Principal},
    rooms::Metadata,
};

type Result<T> = std::result::Result<T, AuthError>;

/// The part of the header that matters.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

pub(super) fn verify(token: &str, config: &JwtConfig, keys: &KeySet, now: Timestamp) -> Result<Principal> {
    if token.is_empty() {
        return Err(AuthError::Missing);
    }
    if token.len() > config.max_token_bytes {
        return Err(AuthError::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(AuthError::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(AuthError::Malformed)?;
    check_signature(header, signed, signature, keys)?;
    let claims: Metadata = decode_json(payload)?;
    let digest = || hex_digest(signed);
    Claims { all: claims, config, now }.into_principal(digest)
}

fn decode(part: &str) -> Result<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| AuthError::Malformed)
}

fn decode_json<T: for<'a> Deserialize<'a>>(part: &str) -> Result<T> {
    serde_json::from_slice(&decode(part)?).map_err(|_| AuthError::Malformed)
}

fn check_signature(header: &str, signed: &str, signature: &str, keys: &KeySet) -> Result<()> {
    let Header { alg, kid, crit } = decode_json(header)?;
    let key = keys.select(kid.as_deref()).ok_or(AuthError::Invalid("the key id is not known"))?;
    if alg != key.algorithm().as_str() {
        return Err(AuthError::Invalid("the algorithm is not the key's"));
    }
    // RFC 7515 §4.1.11: what must be understood and is not makes the token invalid. None is understood here.
    if crit.is_some() {
        return Err(AuthError::Invalid("a critical header is not known"));
    }
    let wrong = AuthError::Invalid("the signature is wrong");
    let signature = decode(signature)?;
    let verifier = key.verifier().map_err(|_| wrong.clone())?;
    verifier.verify(signed.as_bytes(), &signature).map_err(|_| wrong)
}

fn hex_digest(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// What a genuine token says, on its way to a principal. What is taken out has its own field there.
struct Claims<'a> {
    all: Metadata,
    config: &'a JwtConfig,
    now: Timestamp,
}

impl Claims<'_> {
    fn into_principal(mut self, digest: impl FnOnce() -> String) -> Result<Principal> {
        self.check_required()?;
        self.check_issuer()?;
        self.check_audience()?;
        let (issued_at, expires_at) = self.take_times()?;
        let user = self.take_user()?;
        let roles = self.take_roles()?;
        let token = match self.take("jti") {
            None => None,
            Some(Value::String(jti)) => TokenId::new(&jti).ok(),
            Some(_) => return Err(AuthError::Malformed),
        };
        let token = match token {
            Some(token) => token,
            None => TokenId::new(&digest()).map_err(|_| AuthError::Malformed)?,
        };
        let kept = serde_json::to_vec(&self.all).map_or(usize::MAX, |json| json.len());
        if !self.all.is_empty() && kept > self.config.max_claims_bytes {
            return Err(AuthError::Invalid("it has too many claims"));
        }
        let mut principal = Principal::new(user).with_token(token);
        principal.roles = roles;
        principal.expires_at = expires_at;
        principal.issued_at = issued_at;
        // A map that everything was taken out of keeps its room, and a session its principal.
        principal.claims = if self.all.is_empty() { Metadata::new() } else { self.all };
        Ok(principal)
    }

    /// A claim that is `null` is none.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.all.remove(name).filter(|value| !value.is_null())
    }

    fn check_required(&self) -> Result<()> {
        let has = |name: &String| self.all.get(name).is_some_and(|value| !value.is_null());
        if self.config.required_claims.iter().all(has) {
            return Ok(());
        }
        Err(AuthError::Invalid("a required claim is missing"))
    }

    fn check_issuer(&self) -> Result<()> {
        let known = |issuer: &str| self.config.issuers.contains(issuer);
        if self.config.issuers.is_empty() || self.all.get("iss").and_then(Value::as_str).is_some_and(known) {
            return Ok(());
        }
        Err(AuthError::Invalid("the issuer is not accepted"))
    }

    fn check_audience(&self) -> Result<()> {
        if self.config.any_audience {
            return Ok(());
        }
        let ours =
            |audience: &Value| audience.as_str().is_some_and(|name| self.config.audiences.contains(name));
        let accepted = match self.all.get("aud") {
            None | Some(Value::Null) => self.config.audiences.is_empty(),
            Some(Value::Array(several)) => several.iter().any(ours),
            Some(one) => ours(one),
        };
        if accepted { Ok(()) } else { Err(AuthError::Invalid("the audience is another one")) }
    }

    /// `iat`, and from when on the token is no longer accepted.
    fn take_times(&mut self) -> Result<(Option<Timestamp>, Option<Timestamp>)> {
        let (now, leeway, max_lifetime) = (self.now, self.config.leeway, self.config.max_lifetime);
        let (issued_at, not_before, expiry) =
            (self.take_time("iat")?, self.take_time("nbf")?, self.take_time("exp")?);
        if expiry.is_none() && self.config.expiry_required {
            return Err(AuthError::Invalid("it has no expiry"));
        }
        let expiry = match (max_lifetime, issued_at) {
            (None, _) => expiry,
            (Some(_), None) => return Err(AuthError::Invalid("it has no time of issue")),
            (Some(max), Some(issued)) => {
                if expiry.is_some_and(|expiry| expiry.since(issued) > max) {
                    return Err(AuthError::Invalid("it lives too long"));
                }
                Some(expiry.unwrap_or_else(|| issued.after(max)))
            }
        };
        let ends = expiry.map(|expiry| expiry.after(leeway));
        if ends.is_some_and(|ends| now >= ends) {
            return Err(AuthError::Expired);
        }
        let latest = now.after(leeway);
        if not_before.is_some_and(|time| time > latest) {
            return Err(AuthError::Invalid("it is not valid yet"));
        }
        // Such a token would outlive every "issued before" revocation.
        if issued_at.is_some_and(|time| time > latest) {
            return Err(AuthError::Invalid("it was issued in the future"));
        }
        Ok((issued_at, ends))
    }

    /// A NumericDate: seconds since the epoch, with or without a fraction.
    fn take_time(&mut self, name: &str) -> Result<Option<Timestamp>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        if let Some(secs) = value.as_u64() {
            return Ok(Some(Timestamp::from_secs(secs)));
        }
        let since = value.as_f64().and_then(|secs| Duration::try_from_secs_f64(secs).ok());
        since.map(|since| Some(Timestamp::EPOCH.after(since))).ok_or(AuthError::Malformed)
    }

    fn take_user(&mut self) -> Result<UserId> {
        let text = match self.take(&self.config.user_claim) {
            Some(Value::String(text)) => text,
            // Some services number their users.
            Some(Value::Number(number)) if number.is_u64() => number.to_string(),
            Some(_) => return Err(AuthError::Invalid("the user is not a text")),
            None => return Err(AuthError::Invalid("it names no user")),
        };
        UserId::new(&text).map_err(|_| AuthError::Invalid("the user id is not valid"))
    }

    fn take_roles(&mut self) -> Result<Vec<String>> {
        let wrong = AuthError::Invalid("the roles are not texts");
        match self.take(&self.config.roles_claim) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(text.split_whitespace().map(str::to_owned).collect()),
            Some(Value::Array(values)) => values
                .into_iter()
                .map(|value| match value {
                    Value::String(role) => Ok(role),
                    _ => Err(wrong.clone()),
                })
                .collect(),
            Some(_) => Err(wrong),
        }
    }
}
