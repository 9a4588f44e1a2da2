//! What the claims say, and which of them are taken.

use super::*;

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
