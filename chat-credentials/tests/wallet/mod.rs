//! Somebody with a key and an identifier: a holder or an issuer.

#![allow(
    unreachable_pub,
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "for tests, each of which uses a part of it"
)]

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chat_core::Timestamp;
use chat_credentials::{Presentation, Reject, TrustedIssuers, Verifier};
use p256::ecdsa::signature::Signer as _;
use serde_json::{Value, json};

pub const NOW: u64 = 1_800_000_000;

pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub enum Wallet {
    Ed25519(Box<ed25519_dalek::SigningKey>),
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    Secp256k1(k256::ecdsa::SigningKey),
}

impl Wallet {
    pub fn ed25519(seed: u8) -> Self {
        Self::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(&[seed; 32])))
    }

    pub fn p256(seed: u8) -> Self {
        Self::P256(p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap())
    }

    pub fn p384(seed: u8) -> Self {
        Self::P384(p384::ecdsa::SigningKey::from_slice(&[seed; 48]).unwrap())
    }

    pub fn secp256k1(seed: u8) -> Self {
        Self::Secp256k1(k256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap())
    }

    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "EdDSA",
            Self::P256(_) => "ES256",
            Self::P384(_) => "ES384",
            Self::Secp256k1(_) => "ES256K",
        }
    }

    pub fn did(&self) -> String {
        let (codec, point): ([u8; 2], Vec<u8>) = match self {
            Self::Ed25519(key) => ([0xed, 1], key.verifying_key().to_bytes().into()),
            Self::P256(key) => ([0x80, 0x24], key.verifying_key().to_encoded_point(true).as_bytes().into()),
            Self::P384(key) => ([0x81, 0x24], key.verifying_key().to_encoded_point(true).as_bytes().into()),
            Self::Secp256k1(key) => ([0xe7, 1], key.verifying_key().to_encoded_point(true).as_bytes().into()),
        };
        format!("did:key:z{}", bs58::encode([&codec[..], &point].concat()).into_string())
    }

    pub fn raw_sign(&self, text: &[u8]) -> Vec<u8> {
        match self {
            Self::Ed25519(key) => key.sign(text).to_bytes().into(),
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(text);
                signature.to_bytes().to_vec()
            }
            Self::P384(key) => {
                let signature: p384::ecdsa::Signature = key.sign(text);
                signature.to_bytes().to_vec()
            }
            Self::Secp256k1(key) => {
                let signature: k256::ecdsa::Signature = key.sign(text);
                signature.to_bytes().to_vec()
            }
        }
    }

    /// Signs what is given, header and payload as they are.
    pub fn sign_text(&self, header: &str, payload: &str) -> String {
        let text = format!("{}.{}", base64url(header), base64url(payload));
        let signature = base64url(self.raw_sign(text.as_bytes()));
        format!("{text}.{signature}")
    }

    pub fn sign(&self, claims: &Value) -> String {
        let did = self.did();
        let fragment = did.strip_prefix("did:key:").unwrap();
        let header = json!({ "alg": self.algorithm(), "typ": "JWT", "kid": format!("{did}#{fragment}") });
        self.sign_text(&header.to_string(), &claims.to_string())
    }
}

/// Claims with some replaced, or taken away where they are null.
pub fn with(mut claims: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        let target = claims.as_object_mut().unwrap();
        match value {
            Value::Null => _ = target.remove(name),
            value => _ = target.insert(name.clone(), value.clone()),
        }
    }
    claims
}

/// A membership credential in the form of version 1.1.
pub fn credential(issuer: &Wallet, holder: &Wallet) -> Value {
    json!({
        "iss": issuer.did(), "sub": holder.did(), "jti": "urn:uuid:1", "nbf": NOW - 1_000, "exp": NOW + 5_000,
        "vc": {
            "@context": ["https://www.w3.org/2018/credentials/v1"],
            "type": ["VerifiableCredential", "MembershipCredential"],
            "credentialSubject": { "id": holder.did(), "userId": "ann" },
        },
    })
}

/// A presentation of these in the form of version 1.1.
pub fn presentation(holder: &Wallet, credentials: &[String]) -> Value {
    json!({
        "iss": holder.did(), "aud": "https://chat.example", "nonce": "n-1", "iat": NOW - 10, "exp": NOW + 600,
        "vp": {
            "@context": ["https://www.w3.org/2018/credentials/v1"],
            "type": ["VerifiablePresentation"], "verifiableCredential": credentials,
        },
    })
}

pub fn issuer() -> Wallet {
    Wallet::ed25519(1)
}

pub fn holder() -> Wallet {
    Wallet::p256(2)
}

pub fn verifier() -> Verifier {
    let issuers = TrustedIssuers::new().with_did(&issuer().did()).unwrap();
    Verifier::new(issuers).with_audience("https://chat.example").with_type("MembershipCredential")
}

pub fn check(token: &str) -> Result<Presentation, Reject> {
    verifier().presentation(token, Timestamp::from_secs(NOW))
}

pub fn good() -> String {
    let (issuer, holder) = (issuer(), holder());
    holder.sign(&presentation(&holder, &[issuer.sign(&credential(&issuer, &holder))]))
}

/// The presentation with changed claims.
pub fn presented(changes: Value) -> String {
    let (issuer, holder) = (issuer(), holder());
    let token = issuer.sign(&credential(&issuer, &holder));
    holder.sign(&with(presentation(&holder, &[token]), changes))
}

/// A presentation of the credential with changed claims.
pub fn issued(changes: Value) -> String {
    let (issuer, holder) = (issuer(), holder());
    let token = issuer.sign(&with(credential(&issuer, &holder), changes));
    holder.sign(&presentation(&holder, &[token]))
}

/// With other members of `vc`.
pub fn credential_body(changes: Value) -> String {
    let vc = with(credential(&issuer(), &holder())["vc"].clone(), changes);
    issued(json!({ "vc": vc }))
}

#[track_caller]
pub fn refused(token: &str, words: &str) {
    assert_eq!(check(token).map(|_| ()).unwrap_err().to_string(), words);
}
