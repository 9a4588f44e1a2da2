//! Keys, settings and bounds.

use super::*;

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
