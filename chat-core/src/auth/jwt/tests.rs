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

#[test]
fn the_audience_must_be_ours() {
    let of = |audience: Value| token_of(&json!({ "sub": "ann", "exp": NOW + 60, "aud": audience }));
    let none = token_of(&json!({ "sub": "ann", "exp": NOW + 60 }));
    let other = Err(AuthError::Invalid("the audience is another one"));
    let chat = auth(config().with_audiences(["chat", "chat-test"]));
    assert!(check(&chat, &of(json!("chat"))).is_ok());
    assert!(check(&chat, &of(json!(["mail", "chat-test"]))).is_ok());
    for wrong in [json!("mail"), json!([]), json!(["mail"]), json!(1), json!(null)] {
        assert_eq!(check(&chat, &of(wrong)), other);
    }
    assert_eq!(check(&chat, &none), other);
    assert_eq!(check(&auth(config()), &of(json!("mail"))), other);
    assert!(check(&auth(config()), &none).is_ok());
    assert!(check(&auth(config().with_any_audience()), &of(json!("mail"))).is_ok());
}

#[test]
fn the_issuer_must_be_accepted() {
    let of = |issuer: Value| token_of(&json!({ "sub": "ann", "exp": NOW + 60, "iss": issuer }));
    let auth = auth(config().with_issuer("https://a").with_issuers(["https://b"]));
    assert!(check(&auth, &of(json!("https://a"))).is_ok());
    assert!(check(&auth, &of(json!("https://b"))).is_ok());
    for wrong in [json!("https://c"), json!(["https://a"]), json!(null)] {
        assert_eq!(check(&auth, &of(wrong)), Err(AuthError::Invalid("the issuer is not accepted")));
    }
}

#[test]
fn a_token_expires_when_the_leeway_has_passed() {
    let clock = TestClock::new();
    let auth = JwtAuth::new(config()).unwrap().with_clock(Arc::clone(&clock));
    let token = token_of(&json!({ "sub": "ann", "exp": NOW + 100 }));
    clock.set((NOW + 130) * 1_000 - 1);
    let principal = check(&auth, &token).unwrap();
    assert_eq!(principal.expires_at, Some(Timestamp::from_secs(NOW + 130)));
    clock.set((NOW + 130) * 1_000);
    assert_eq!(check(&auth, &token), Err(AuthError::Expired));

    let strict = JwtAuth::new(config().with_leeway(Duration::ZERO)).unwrap().with_clock(Arc::clone(&clock));
    clock.set((NOW + 100) * 1_000 - 1);
    assert!(check(&strict, &token).is_ok());
    clock.set((NOW + 100) * 1_000);
    assert_eq!(check(&strict, &token), Err(AuthError::Expired));
}

#[test]
fn a_token_is_not_valid_before_its_time_less_the_leeway() {
    let clock = TestClock::new();
    let auth = JwtAuth::new(config()).unwrap().with_clock(Arc::clone(&clock));
    let cases = [("nbf", "it is not valid yet"), ("iat", "it was issued in the future")];
    for (claim, reason) in cases {
        let mut claims = json!({ "sub": "ann", "exp": NOW + 1_000 });
        claims[claim] = json!(NOW + 100);
        let token = token_of(&claims);
        clock.set((NOW + 70) * 1_000 - 1);
        assert_eq!(check(&auth, &token), Err(AuthError::Invalid(reason)));
        clock.set((NOW + 70) * 1_000);
        assert!(check(&auth, &token).is_ok());
    }
}

#[test]
fn an_expiry_is_required_unless_said_otherwise() {
    let token = sign(&JwtClaims::new(user("ann")).without_expiry());
    assert_eq!(check(&auth(config()), &token), Err(AuthError::Invalid("it has no expiry")));
    let principal = check(&auth(config().with_optional_expiry()), &token).unwrap();
    assert_eq!(principal.expires_at, None);
}

#[test]
fn a_lifetime_can_be_bounded() {
    let auth = auth(config().with_max_lifetime(Duration::from_secs(100)).with_optional_expiry());
    let of =
        |exp: Value, iat: Value| check(&auth, &token_of(&json!({ "sub": "ann", "exp": exp, "iat": iat })));
    assert!(of(json!(NOW + 100), json!(NOW)).is_ok());
    assert_eq!(of(json!(NOW + 101), json!(NOW)), Err(AuthError::Invalid("it lives too long")));
    assert_eq!(of(json!(NOW + 10), json!(null)), Err(AuthError::Invalid("it has no time of issue")));
    assert_eq!(of(json!(null), json!(NOW)).unwrap().expires_at, Some(Timestamp::from_secs(NOW + 130)));
    assert_eq!(of(json!(null), json!(NOW - 200)), Err(AuthError::Expired));
}

#[test]
fn times_may_have_a_fraction_and_must_be_times() {
    let of = |exp: Value| check(&auth(config()), &token_of(&json!({ "sub": "ann", "exp": exp })));
    let half = of(serde_json::from_str(&format!("{NOW}.5")).unwrap()).unwrap();
    assert_eq!(half.expires_at, Some(Timestamp::from_millis((NOW + 30) * 1_000 + 500)));
    assert!(of(json!(u64::MAX)).is_ok());
    for wrong in [json!(-1), json!("soon"), json!(1e300), json!([NOW + 5])] {
        assert_eq!(of(wrong), Err(AuthError::Malformed));
    }
}

#[test]
fn the_user_and_the_roles_come_from_the_claims_that_are_set() {
    let auth = auth(config().with_user_claim("uid").with_roles_claim("scope").with_required_claim("tenant"));
    let of = |claims: Value| check(&auth, &token_of(&claims));
    let principal = of(json!({ "uid": 42, "scope": "a  b", "tenant": "t", "sub": "x", "exp": NOW })).unwrap();
    assert_eq!(principal.user, user("42"));
    assert_eq!(principal.roles, ["a", "b"]);
    assert_eq!(Value::Object(principal.claims), json!({ "tenant": "t", "sub": "x" }));
    let wrong = [
        (json!({ "tenant": "t", "sub": "x", "exp": NOW }), "it names no user"),
        (json!({ "uid": "a", "exp": NOW }), "a required claim is missing"),
        (json!({ "uid": "a", "tenant": null, "exp": NOW }), "a required claim is missing"),
        (json!({ "uid": ["a"], "tenant": "t", "exp": NOW }), "the user is not a text"),
        (json!({ "uid": "a b", "tenant": "t", "exp": NOW }), "the user id is not valid"),
        (json!({ "uid": "a", "tenant": "t", "scope": [1], "exp": NOW }), "the roles are not texts"),
    ];
    for (claims, reason) in wrong {
        assert_eq!(of(claims), Err(AuthError::Invalid(reason)));
    }
}

#[test]
fn a_token_without_a_usable_id_is_named_by_what_was_signed() {
    let of = |claims: Value| check(&auth(config()), &token_of(&claims)).unwrap().token.unwrap();
    let one = of(json!({ "sub": "ann", "exp": NOW + 1 }));
    assert_eq!(one.as_str().len(), 64);
    assert_eq!(one, of(json!({ "sub": "ann", "exp": NOW + 1 })));
    assert_ne!(one, of(json!({ "sub": "ann", "exp": NOW + 2 })));
    assert_eq!(of(json!({ "sub": "ann", "exp": NOW + 1, "jti": "two words" })).as_str().len(), 64);
    assert_eq!(of(json!({ "sub": "ann", "exp": NOW + 1, "jti": "j1" })).as_str(), "j1");
    let token = token_of(&json!({ "sub": "ann", "exp": NOW + 1, "jti": 1 }));
    assert_eq!(check(&auth(config()), &token), Err(AuthError::Malformed));

    // Two ECDSA signatures of one text are both genuine; they must not count as two tokens.
    let (_, signer, key) = pairs().remove(2);
    let text = [json!({ "alg": "ES256" }), json!({ "sub": "ann", "exp": NOW + 1 })];
    let text = text.map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let (low, high) = malleable(&signer.signature(text.as_bytes()).unwrap());
    let auth = auth(JwtConfig::new([key]));
    let names = [low, high].map(|signature| {
        check(&auth, &format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
            .map(|principal| principal.token)
    });
    assert!(names[0].is_ok(), "{names:?}");
    assert_eq!(names[0], names[1]);
}

/// A signature (r, s) and its twin (r, n - s).
fn malleable(signature: &[u8]) -> (Vec<u8>, Vec<u8>) {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
        0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let mut twin = signature.to_vec();
    let mut borrow = 0_i16;
    for index in (0..32).rev() {
        let difference = i16::from(ORDER[index]) - i16::from(signature[32 + index]) - borrow;
        borrow = i16::from(difference < 0);
        twin[32 + index] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    assert_ne!(twin, signature);
    (signature.to_vec(), twin)
}

#[test]
fn size_is_bounded_before_anything_else() {
    let token = sign(&JwtClaims::new(user("ann")).with_claim("pad", "x".repeat(5_900)));
    assert!(token.len() <= 8 * 1024);
    assert_eq!(check(&auth(config()), &token), Err(AuthError::Invalid("it has too many claims")));
    assert!(check(&auth(config().with_max_claims_bytes(8_000)), &token).is_ok());
    assert_eq!(
        check(&auth(config().with_max_token_bytes(token.len() - 1)), &token),
        Err(AuthError::Malformed)
    );
    let long = sign(&JwtClaims::new(user("ann")).with_claim("pad", "x".repeat(7_000)));
    assert_eq!(check(&auth(config().with_max_claims_bytes(8_000)), &long), Err(AuthError::Malformed));
}

#[test]
fn a_key_set_is_read_and_what_is_not_for_signatures_passed_over() {
    let (_, rsa, _) = pairs().remove(1);
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let private = jsonwebtoken::EncodingKey::from_rsa_pem(RSA_PRIVATE.as_bytes()).unwrap();
    let (n, e) = (key::provider().key_utils.rsa_pub_components_from_private_key)(private.as_bytes()).unwrap();
    let (n, e) = (encode(&n), encode(&e));
    let set = json!({ "keys": [
        { "kty": "RSA", "kid": "r1", "use": "sig", "alg": "RS256", "n": n, "e": e },
        { "kty": "RSA", "kid": "r2", "use": "enc", "n": n, "e": e },
        { "kty": "RSA", "kid": "r3", "alg": "PS256", "n": n, "e": e },
        { "kty": "oct", "kid": "s1", "k": encode(SECRET.as_bytes()) },
        { "kty": "EC", "kid": "e1", "crv": "P-521", "x": "AA", "y": "AA" },
        { "kty": "LATTICE", "kid": "l1" },
    ] });
    let keys = JwtKey::jwks(&set.to_string()).unwrap();
    assert_eq!(
        keys.iter().map(|key| (key.id(), key.algorithm())).collect::<Vec<_>>(),
        [(Some("r1"), JwtAlgorithm::Rs256)]
    );
    let token = rsa.with_id("r1").sign(&JwtClaims::new(user("ann"))).unwrap();
    assert!(check(&auth(JwtConfig::new(keys)), &token).is_ok());

    let secret = JwtKey::jwk(&json!({ "kty": "oct", "k": encode(SECRET.as_bytes()) }).to_string()).unwrap();
    assert!(check(&auth(JwtConfig::new([secret])), &sign(&JwtClaims::new(user("ann")))).is_ok());
    let bad = [
        json!({ "kty": "oct", "k": encode(b"short") }),
        json!({ "kty": "oct", "k": encode(SECRET.as_bytes()), "alg": "HS512" }),
        json!({ "kty": "EC", "crv": "P-384", "x": "AA", "y": "AA" }),
        json!({ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" }),
        json!({ "kty": "OKP", "crv": "Ed25519", "x": "AA" }),
        json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB" }),
        json!({}),
    ];
    for jwk in bad {
        assert!(JwtKey::jwk(&jwk.to_string()).is_err(), "{jwk}");
    }
}

#[test]
fn a_key_that_cannot_work_is_refused_at_once() {
    use JwtAlgorithm::{EdDsa, Es256, Rs256};
    assert_eq!(JwtKey::hs256(&SECRET[1..]).unwrap_err(), JwtConfigError::ShortSecret { bytes: 31 });
    assert_eq!(JwtSigner::hs256(&SECRET[1..]).unwrap_err(), JwtConfigError::ShortSecret { bytes: 31 });
    let bad_public = [
        (Rs256, EC_PUBLIC),
        (Rs256, RSA_PRIVATE),
        (Rs256, SMALL_RSA_PUBLIC),
        (Rs256, ""),
        (Es256, RSA_PUBLIC),
        (Es256, EC384_PUBLIC),
        (Es256, EC_PRIVATE),
        (EdDsa, EC_PUBLIC),
        (EdDsa, ED_PRIVATE),
    ];
    for (algorithm, pem) in bad_public {
        let error = JwtKey::pem(algorithm, pem).unwrap_err();
        assert!(matches!(error, JwtConfigError::BadKey { algorithm: named, .. } if named == algorithm));
    }
    let bad_private = [(Rs256, RSA_PUBLIC), (Rs256, EC_PRIVATE), (Es256, EC384_PRIVATE), (EdDsa, EC_PRIVATE)];
    for (algorithm, pem) in bad_private {
        assert!(matches!(JwtSigner::pem(algorithm, pem), Err(JwtConfigError::BadKey { .. })), "{algorithm}");
    }
}

#[test]
fn a_setting_that_cannot_work_is_named() {
    let cases = [
        (config().with_audience(" "), "audience"),
        (config().with_audience("a").with_any_audience(), "audience"),
        (config().with_issuer(""), "issuer"),
        (config().with_leeway(Duration::from_secs(601)), "leeway"),
        (config().with_required_claim(""), "required_claim"),
        (config().with_user_claim(""), "user_claim"),
        (config().with_roles_claim(""), "roles_claim"),
        (config().with_max_lifetime(Duration::ZERO), "max_lifetime"),
        (config().with_max_token_bytes(0), "max_token_bytes"),
    ];
    for (config, name) in cases {
        let error = JwtAuth::new(config).unwrap_err();
        assert!(matches!(error, JwtConfigError::Setting { setting, .. } if setting == name), "{error}");
    }
    assert_eq!(JwtAuth::new(JwtConfig::new([])).unwrap_err(), JwtConfigError::NoKeys);
}

#[test]
fn debug_shows_no_key_and_no_token() {
    let key = JwtKey::hs256(SECRET).unwrap().with_id("k1");
    let jwk = format!(r#"{{"kty":"oct","k":"{}"}}"#, URL_SAFE_NO_PAD.encode(&SECRET[..20]));
    let token = sign(&JwtClaims::new(user("ann")));
    let shown = [
        format!("{key:?}"),
        format!("{:?}", JwtConfig::new([key.clone()])),
        format!("{:?}", auth(JwtConfig::new([key]))),
        format!("{:?}", signer()),
        format!("{:?} {0}", JwtKey::jwk(&jwk).unwrap_err()),
        format!("{:?}", Credentials::token(token.as_str())),
        format!("{:?} {0}", check(&auth(config()), &token[1..]).unwrap_err()),
    ];
    let bytes = format!("{:?}", SECRET.as_bytes());
    for text in &shown {
        for secret in
            [SECRET, &SECRET[..20], &bytes[1..40], &token[10..40], &URL_SAFE_NO_PAD.encode(&SECRET[..20])]
        {
            assert!(!text.contains(secret), "{text}");
        }
    }
    assert!(shown[0].contains("k1"), "{}", shown[0]);
}
