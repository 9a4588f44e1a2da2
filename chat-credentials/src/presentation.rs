//! A presentation as a JWT, in the form of either version of the data model.

use chat_core::Timestamp;
use serde_json::{Map, Value};

use crate::{
    Credential, Jws, Part, Reason, Reject, Verifier,
    claims::{self, Times, agreed, id_of, text, texts},
};

/// Before a credential that is put into a presentation of version 2.0 as an address.
const ENVELOPES: [&str; 2] = ["data:application/vc+jwt,", "data:application/vc+ld+json+jwt,"];

/// A presentation that was checked, with all that is in it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Presentation {
    /// Who presents: the one who signed it, and whom every credential is about.
    pub holder: String,
    /// For this one occasion. Whether it was used before is not known here.
    pub nonce: Option<String>,
    /// When it was made.
    pub issued_at: Option<Timestamp>,
    /// From when on it is not accepted any more: it, or one of its credentials.
    pub expires_at: Option<Timestamp>,
    /// A name of it that is the same however its signature is written: a SHA-256 in hexadecimal.
    pub digest: String,
    /// At least one.
    pub credentials: Vec<Credential>,
}

impl Verifier {
    /// Checks a presentation: its holder's signature, audience and time, each credential in it, and that the holder is whom the
    /// credentials are about.
    ///
    /// # Errors
    /// What is wrong with it, or with a credential in it.
    pub fn presentation(&self, text: &str, now: Timestamp) -> Result<Presentation, Reject> {
        let (mut presentation, tokens) =
            self.read_presentation(text, now).map_err(|reason| reason.of(Part::Presentation))?;
        for token in tokens {
            let credential = self.credential(&token, now)?;
            if credential.subject != presentation.holder {
                return Err(Reason::NotTheHolder.of(Part::Credential));
            }
            let ends = [presentation.expires_at, credential.expires_at];
            presentation.expires_at = ends.into_iter().flatten().min();
            presentation.credentials.push(credential);
        }
        if !presentation.credentials.iter().any(|credential| self.asks_for(credential)) {
            return Err(Reason::WrongType.of(Part::Credential));
        }
        Ok(presentation)
    }

    /// Whether it is of a type that was asked for; with none asked for, each is.
    pub(crate) fn asks_for(&self, credential: &Credential) -> bool {
        self.types.is_empty() || credential.types.iter().any(|name| self.types.contains(name))
    }

    /// All but the credentials, which are given as they are.
    fn read_presentation(&self, token: &str, now: Timestamp) -> Result<(Presentation, Vec<String>), Reason> {
        let jws = Jws::parse(token, self.max_bytes)?;
        let claims = jws.unchecked_claims()?;
        let body = body(&claims)?;
        let holder = agreed([text(&claims, "iss")?, id_of(body, "holder")?])?.ok_or(Reason::NoIssuer)?;
        self.check_signature(&jws, holder)?;

        if !texts(body.get("type"))?.iter().any(|name| name == "VerifiablePresentation") {
            return Err(Reason::WrongType);
        }
        let times = Times::of(&claims)?;
        let (issued_at, expires_at) = (times.issued_at(), times.check(now, self.leeway, self.max_age)?);
        claims::audience(&claims, &self.audiences)?;
        let nonce = text(&claims, "nonce")?.map(str::to_owned);
        let tokens = tokens(body, self.max_credentials)?;
        let (holder, digest) = (holder.to_owned(), jws.digest());
        Ok((Presentation { holder, nonce, issued_at, expires_at, digest, credentials: Vec::new() }, tokens))
    }
}

impl Presentation {
    /// Checks that it was made for this occasion.
    ///
    /// # Errors
    /// [`Reason::NoNonce`] or [`Reason::WrongNonce`].
    pub fn expect_nonce(&self, nonce: &str) -> Result<(), Reject> {
        match self.nonce.as_deref() {
            Some(own) if own == nonce => Ok(()),
            Some(_) => Err(Reason::WrongNonce.of(Part::Presentation)),
            None => Err(Reason::NoNonce.of(Part::Presentation)),
        }
    }
}

fn body(claims: &Map<String, Value>) -> Result<&Map<String, Value>, Reason> {
    if claims.contains_key("vc") {
        return Err(Reason::Malformed);
    }
    match claims.get("vp") {
        Some(Value::Object(presentation)) => Ok(presentation),
        None if claims.contains_key("verifiableCredential") => Ok(claims),
        _ => Err(Reason::Malformed),
    }
}

fn tokens(body: &Map<String, Value>, most: usize) -> Result<Vec<String>, Reason> {
    let given = match body.get("verifiableCredential") {
        None => return Err(Reason::NoCredential),
        Some(Value::Array(several)) => several.iter().collect(),
        Some(one) => vec![one],
    };
    if given.is_empty() {
        return Err(Reason::NoCredential);
    }
    if given.len() > most {
        return Err(Reason::TooManyCredentials);
    }
    given.into_iter().map(|given| token(given).map(str::to_owned).ok_or(Reason::Malformed)).collect()
}

/// A credential in JWT form, bare or in an envelope.
fn token(given: &Value) -> Option<&str> {
    match given {
        Value::String(token) => Some(token),
        Value::Object(envelope) => {
            let is_envelope =
                texts(envelope.get("type")).ok()?.iter().any(|name| name == "EnvelopedVerifiableCredential");
            let address = envelope.get("id")?.as_str().filter(|_| is_envelope)?;
            ENVELOPES.iter().find_map(|before| address.strip_prefix(before))
        }
        _ => None,
    }
}
