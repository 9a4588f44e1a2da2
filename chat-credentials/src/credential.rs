//! A credential as a JWT: in the form of version 1.1 of the data model, in a claim `vc`
//! ([§6.3.1](https://www.w3.org/TR/vc-data-model/#json-web-token)), or of version 2.0, where the claims are the credential
//! ([VC-JOSE-COSE](https://www.w3.org/TR/vc-jose-cose/)).

use chat_core::Timestamp;
use serde_json::{Map, Value};

use crate::{
    Jws, Part, Reason, Reject, Verifier,
    claims::{self, Times, agreed, id_of, text, texts},
};

/// A credential that was checked.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Credential {
    /// Who issued it.
    pub issuer: String,
    /// About whom.
    pub subject: String,
    /// Its own name, if it has one.
    pub id: Option<String>,
    /// Its types, `VerifiableCredential` among them.
    pub types: Vec<String>,
    /// What it says of the subject.
    pub says: Map<String, Value>,
    /// From when on it is not accepted any more.
    pub expires_at: Option<Timestamp>,
}

impl Verifier {
    /// Checks a credential by itself: who issued it, that it holds now, and that it is about somebody.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn credential(&self, text: &str, now: Timestamp) -> Result<Credential, Reject> {
        self.read_credential(text, now).map_err(|reason| reason.of(Part::Credential))
    }

    fn read_credential(&self, token: &str, now: Timestamp) -> Result<Credential, Reason> {
        let jws = Jws::parse(token, self.max_bytes)?;
        let claims = jws.unchecked_claims()?;
        let credential = body(&claims)?;
        let issuer = agreed([text(&claims, "iss")?, id_of(credential, "issuer")?])?;
        let issuer = issuer.ok_or(Reason::NoIssuer)?;
        if !self.issuers.trusts(issuer) && self.keys.is_none() {
            return Err(Reason::UntrustedIssuer);
        }
        self.check_signature(&jws, issuer)?;

        let types = texts(credential.get("type"))?;
        if !types.iter().any(|name| name == "VerifiableCredential") {
            return Err(Reason::WrongType);
        }
        let times = Times::of(&claims)?.and_of(credential)?;
        let expires_at = times.check(now, self.leeway, None)?;
        if claims.contains_key("aud") {
            claims::audience(&claims, &self.audiences)?;
        }
        if credential.contains_key("credentialStatus") && !self.any_status {
            return Err(Reason::StatusUnknown);
        }
        let says = subject(credential)?;
        let named = says.map(|says| text(says, "id")).transpose()?.flatten();
        let subject = agreed([text(&claims, "sub")?, named])?.ok_or(Reason::NoSubject)?;
        let id = agreed([text(&claims, "jti")?, text(credential, "id")?])?;
        Ok(Credential {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            id: id.map(str::to_owned),
            types,
            says: says.cloned().unwrap_or_default(),
            expires_at,
        })
    }
}

/// Where the credential is.
fn body(claims: &Map<String, Value>) -> Result<&Map<String, Value>, Reason> {
    if claims.contains_key("vp") {
        return Err(Reason::Malformed);
    }
    match claims.get("vc") {
        Some(Value::Object(credential)) => Ok(credential),
        None if claims.contains_key("credentialSubject") => Ok(claims),
        _ => Err(Reason::Malformed),
    }
}

/// The one subject. Of several, which one presents it could not be told.
fn subject(credential: &Map<String, Value>) -> Result<Option<&Map<String, Value>>, Reason> {
    match credential.get("credentialSubject") {
        None => Ok(None),
        Some(Value::Object(subject)) => Ok(Some(subject)),
        Some(Value::Array(several)) => match &several[..] {
            [Value::Object(subject)] => Ok(Some(subject)),
            _ => Err(Reason::NoSubject),
        },
        Some(_) => Err(Reason::Malformed),
    }
}
