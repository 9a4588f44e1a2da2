mod claims;
mod keys;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::{Error, Timestamp, TokenId, UserId};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const OTHER_SECRET: &str = "another secret that is long enough";
const NOW: u64 = 1_750_000_000;

const RSA_PRIVATE: &str = include_str!("test_keys/rsa.pem");
const RSA_PUBLIC: &str = include_str!("test_keys/rsa.pub");
const SMALL_RSA_PUBLIC: &str = include_str!("test_keys/small.pub");
const EC_PRIVATE: &str = include_str!("test_keys/ec.pem");
const EC_PUBLIC: &str = include_str!("test_keys/ec.pub");
const EC384_PRIVATE: &str = include_str!("test_keys/ec384.pem");
const EC384_PUBLIC: &str = include_str!("test_keys/ec384.pub");
const ED_PRIVATE: &str = include_str!("test_keys/ed.pem");
const ED_PUBLIC: &str = include_str!("test_keys/ed.pub");

#[derive(Debug)]
struct TestClock(AtomicU64);

impl TestClock {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(NOW * 1_000)))
    }

    fn set(&self, millis: u64) {
        self.0.store(millis, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn config() -> JwtConfig {
    JwtConfig::new([JwtKey::hs256(SECRET).unwrap()])
}

fn signer() -> JwtSigner {
    JwtSigner::hs256(SECRET).unwrap().with_clock(TestClock::new())
}

fn auth(config: JwtConfig) -> JwtAuth {
    JwtAuth::new(config).unwrap().with_clock(TestClock::new())
}

fn check(auth: &JwtAuth, token: &str) -> Result<Principal, AuthError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    match runtime.block_on(auth.authenticate(&Credentials::token(token))) {
        Ok(principal) => Ok(principal),
        Err(Error::Unauthenticated(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

fn sign(claims: &JwtClaims) -> String {
    signer().sign(claims).unwrap()
}

/// A genuine HS256 token with exactly these claims.
fn token_of(claims: &Value) -> String {
    token_with_header(&json!({ "alg": "HS256" }), claims, SECRET.as_bytes())
}

fn token_with_header(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let parts = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let signer = JwtSigner::hs256(secret).unwrap();
    let signature = signer.signature(parts.as_bytes()).unwrap();
    format!("{parts}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn pairs() -> Vec<(JwtAlgorithm, JwtSigner, JwtKey)> {
    let pair = |algorithm, private: &str, public: &str| {
        let signer = JwtSigner::pem(algorithm, private).unwrap().with_clock(TestClock::new());
        (algorithm, signer, JwtKey::pem(algorithm, public).unwrap())
    };
    vec![
        (JwtAlgorithm::Hs256, signer(), JwtKey::hs256(SECRET).unwrap()),
        pair(JwtAlgorithm::Rs256, RSA_PRIVATE, RSA_PUBLIC),
        pair(JwtAlgorithm::Es256, EC_PRIVATE, EC_PUBLIC),
        pair(JwtAlgorithm::EdDsa, ED_PRIVATE, ED_PUBLIC),
    ]
}

#[test]
fn a_token_of_each_algorithm_is_accepted_by_its_key_and_by_no_other() {
    for (algorithm, signer, _) in pairs() {
        let claims = JwtClaims::new(user("ann")).with_role("admin").with_id(TokenId::new("t1").unwrap());
        let token = signer.sign(&claims.with_claim("shop", 7)).unwrap();
        for (other, _, key) in pairs() {
            let answer = check(&auth(JwtConfig::new([key])), &token);
            if algorithm != other {
                assert_eq!(
                    answer,
                    Err(AuthError::Invalid("the algorithm is not the key's")),
                    "{algorithm} {other}"
                );
                continue;
            }
            let principal = answer.unwrap();
            assert_eq!(principal.user, user("ann"));
            assert_eq!(principal.roles, ["admin"]);
            assert_eq!(principal.token, Some(TokenId::new("t1").unwrap()));
            assert_eq!(principal.issued_at, Some(Timestamp::from_secs(NOW)));
            assert_eq!(principal.expires_at, Some(Timestamp::from_secs(NOW + 3_600 + 30)));
            assert_eq!(Value::Object(principal.claims), json!({ "shop": 7 }));
        }
        assert!(
            check(&auth(JwtConfig::new([signer.key().unwrap()])), &token).is_ok(),
            "{algorithm}: derived key"
        );
    }
}

#[test]
fn a_changed_payload_or_signature_is_refused_for_each_algorithm() {
    for (algorithm, signer, key) in pairs() {
        let auth = auth(JwtConfig::new([key]));
        let token = signer.sign(&JwtClaims::new(user("ann"))).unwrap();
        let other = signer.sign(&JwtClaims::new(user("bob"))).unwrap();
        let (signed, _) = token.rsplit_once('.').unwrap();
        let (_, signature) = other.rsplit_once('.').unwrap();
        for forged in [format!("{signed}.{signature}"), format!("{signed}."), format!("{signed}.AAAA")] {
            assert_eq!(
                check(&auth, &forged),
                Err(AuthError::Invalid("the signature is wrong")),
                "{algorithm}"
            );
        }
    }
}

#[test]
fn a_public_key_used_as_a_secret_signs_nothing() {
    let auth = auth(JwtConfig::new([JwtKey::pem(JwtAlgorithm::Rs256, RSA_PUBLIC).unwrap()]));
    let claims = json!({ "sub": "ann", "exp": NOW + 60 });
    let forged = token_with_header(&json!({ "alg": "HS256" }), &claims, RSA_PUBLIC.as_bytes());
    assert_eq!(check(&auth, &forged), Err(AuthError::Invalid("the algorithm is not the key's")));
    let forged = token_with_header(&json!({ "alg": "RS256" }), &claims, RSA_PUBLIC.as_bytes());
    assert_eq!(check(&auth, &forged), Err(AuthError::Invalid("the signature is wrong")));
    assert!(matches!(JwtKey::pem(JwtAlgorithm::Hs256, RSA_PUBLIC), Err(JwtConfigError::BadKey { .. })));
}

#[test]
fn the_header_cannot_choose_the_algorithm() {
    let claims = json!({ "sub": "ann", "exp": NOW + 60 });
    for alg in ["none", "None", "", "HS384", "hs256", "RS256"] {
        let token = token_with_header(&json!({ "alg": alg }), &claims, SECRET.as_bytes());
        assert_eq!(
            check(&auth(config()), &token),
            Err(AuthError::Invalid("the algorithm is not the key's")),
            "{alg}"
        );
    }
    let (header, _) = token_of(&claims).split_once('.').map(|(h, p)| (h.to_owned(), p.to_owned())).unwrap();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    let unsigned = token_of(&claims).replacen(&header, &none, 1);
    let (unsigned, _) = unsigned.rsplit_once('.').unwrap();
    assert!(check(&auth(config()), &format!("{unsigned}.")).is_err());
    let critical = token_with_header(&json!({ "alg": "HS256", "crit": ["b64"] }), &claims, SECRET.as_bytes());
    assert_eq!(check(&auth(config()), &critical), Err(AuthError::Invalid("a critical header is not known")));
    assert!(check(&auth(config()), &token_of(&claims)).is_ok());
}

#[test]
fn what_is_no_token_is_malformed_or_missing() {
    assert_eq!(check(&auth(config()), ""), Err(AuthError::Missing));
    let payload = URL_SAFE_NO_PAD.encode("[1]");
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    for text in ["abc", "a.b", "a.b.c", "..", "a.b.c.d", &format!("{header}.{payload}")] {
        assert_eq!(check(&auth(config()), text), Err(AuthError::Malformed), "{text}");
    }
    let none = futures::FutureExt::now_or_never(auth(config()).authenticate(&Credentials::none()));
    assert!(matches!(none, Some(Err(Error::Unauthenticated(AuthError::Missing)))));
}

#[test]
fn keys_are_chosen_by_their_id() {
    let old = || JwtKey::hs256(SECRET).unwrap().with_id("old");
    let new = || JwtKey::hs256(OTHER_SECRET).unwrap().with_id("new");
    let by_old = signer().with_id("old").sign(&JwtClaims::new(user("ann"))).unwrap();
    let claims = JwtClaims::new(user("ann"));
    let by_new =
        JwtSigner::hs256(OTHER_SECRET).unwrap().with_clock(TestClock::new()).with_id("new").sign(&claims);
    let by_new = by_new.unwrap();
    let unknown = Err(AuthError::Invalid("the key id is not known"));

    let auth = auth(JwtConfig::new([old()]));
    let clone = auth.clone();
    assert!(check(&auth, &by_old).is_ok());
    assert_eq!(check(&auth, &by_new), unknown);
    assert!(check(&auth, &sign(&claims)).is_ok(), "with one key a token needs no key id");

    auth.set_keys([old(), new()]).unwrap();
    assert!(check(&clone, &by_old).is_ok());
    assert!(check(&clone, &by_new).is_ok());
    assert_eq!(check(&clone, &sign(&claims)), unknown, "with two keys it needs one");
    let mixed = signer().with_id("new").sign(&claims).unwrap();
    assert_eq!(check(&clone, &mixed), Err(AuthError::Invalid("the signature is wrong")));

    auth.set_keys([new()]).unwrap();
    assert_eq!(check(&clone, &by_old), unknown);
    assert!(check(&clone, &by_new).is_ok());

    assert_eq!(auth.set_keys([]), Err(JwtConfigError::NoKeys));
    assert_eq!(auth.set_keys([old(), old()]), Err(JwtConfigError::DuplicateKeyId { id: "old".into() }));
    assert_eq!(auth.set_keys([old(), JwtKey::hs256(SECRET).unwrap()]), Err(JwtConfigError::NoKeyId));
    assert!(check(&clone, &by_new).is_ok(), "refused keys change nothing");
}
