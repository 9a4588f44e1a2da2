//! Headers, texts, signatures and keys that are not what they should be.

#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod wallet;

use chat_credentials::{Key, KeySet, Verifier};
use serde_json::{Value, json};
use wallet::{Wallet, base64url, check, credential, good, holder, issuer, presentation, refused, with};

#[test]
fn headers_choose_nothing() {
    let (issuer, holder) = (issuer(), holder());
    let claims = presentation(&holder, &[issuer.sign(&credential(&issuer, &holder))]).to_string();
    let sign = |header: Value| holder.sign_text(&header.to_string(), &claims);
    let thief = Wallet::p256(77);
    let Wallet::P256(key) = &thief else { unreachable!() };
    let point = key.verifying_key().to_encoded_point(false);
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": base64url(point.x().unwrap()), "y": base64url(point.y().unwrap()) });
    let embedded = thief.sign_text(&json!({ "alg": "ES256", "jwk": jwk }).to_string(), &claims);
    refused(&embedded, "the presentation has a wrong signature");
    assert!(
        check(&sign(json!({ "alg": "ES256", "jku": "https://evil.example", "jwk": jwk }))).is_ok(),
        "not looked at"
    );

    refused(
        &sign(json!({ "alg": "ES256", "crit": ["exp"], "exp": 1 })),
        "the presentation has a header that must be understood and is not",
    );
    refused(
        &sign(json!({ "alg": "ES256", "crit": [] })),
        "the presentation has a header that must be understood and is not",
    );
    refused(
        &sign(json!({ "alg": "ES256", "b64": false })),
        "the presentation has a header that must be understood and is not",
    );
    for none in ["none", "None", "NONE"] {
        let token = format!("{}.{}.", base64url(json!({ "alg": none }).to_string()), base64url(&claims));
        refused(&token, "the presentation is not signed");
    }
    refused(
        &sign(json!({ "alg": "ES384" })),
        "the presentation is signed by another algorithm than its key's",
    );
    refused(
        &sign(json!({ "alg": "es256" })),
        "the presentation is signed by an algorithm that is not accepted",
    );
    refused(
        &sign(json!({ "alg": "HS256" })),
        "the presentation is signed by an algorithm that is not accepted",
    );
    refused(&sign(json!({ "alg": ["ES256"] })), "the presentation is malformed");
    refused(&sign(json!({ "typ": "JWT" })), "the presentation is malformed");
    refused(
        &sign(json!({ "alg": "ES256", "kid": issuer.did() })),
        "the presentation is signed by a key that is not known",
    );
    refused(&sign(json!({ "alg": "ES256", "kid": 1 })), "the presentation is malformed");
}

#[test]
fn a_public_key_is_no_secret() {
    use hmac::Mac as _;
    let (issuer, holder) = (issuer(), holder());
    let Wallet::P256(key) = &holder else { unreachable!() };
    let claims = presentation(&holder, &[issuer.sign(&credential(&issuer, &holder))]).to_string();
    let text = format!("{}.{}", base64url(r#"{"alg":"HS256"}"#), base64url(&claims));
    for secret in [key.verifying_key().to_encoded_point(true), key.verifying_key().to_encoded_point(false)] {
        let mut mac = <hmac::Hmac<sha2::Sha256> as hmac::Mac>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(text.as_bytes());
        let token = format!("{text}.{}", base64url(mac.finalize().into_bytes()));
        refused(&token, "the presentation is signed by an algorithm that is not accepted");
    }
}

#[test]
fn texts_are_read_in_one_way_only() {
    let good = good();
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { unreachable!() };
    for bad in [
        format!("{good}."),
        format!(".{good}"),
        format!("{good} "),
        format!("{good}\n"),
        format!("{good}="),
        format!("{header}.{payload}"),
        format!("{header}.{payload}.{signature}.{signature}"),
        format!("{header}..{signature}"),
        format!("{}.{payload}.{signature}", header.replace('e', "é")),
        "..".to_owned(),
        "a.b.c".to_owned(),
        "{}".to_owned(),
    ] {
        assert!(check(&bad).is_err(), "{bad}");
    }
    refused("", "the presentation is missing");
    refused(&"e".repeat(Verifier::MAX_BYTES + 1), "the presentation is too large");
    let (issuer, holder) = (issuer(), holder());
    let claims = presentation(&holder, &[issuer.sign(&credential(&issuer, &holder))]).to_string();
    let twice = claims.replacen("{", r#"{"aud":"https://evil.example","#, 1);
    refused(&holder.sign_text(r#"{"alg":"ES256"}"#, &twice), "the presentation has a name twice in its JSON");
    refused(
        &holder.sign_text(r#"{"alg":"ES256","alg":"ES256"}"#, &claims),
        "the presentation has a name twice in its JSON",
    );
    refused(&holder.sign_text(r#"{"alg":"ES256"}"#, &format!("{claims}x")), "the presentation is malformed");
    refused(&holder.sign_text(r#"{"alg":"ES256"}"#, "[]"), "the presentation is malformed");
}

proptest::proptest! {
    #[test]
    fn no_changed_character_goes_unnoticed(at in 0_usize..10_000, by in 1_u8..64) {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut text = good().into_bytes();
        let at = at % text.len();
        match ALPHABET.iter().position(|known| *known == text[at]) {
            Some(index) => text[at] = ALPHABET[(index + usize::from(by)) % 64],
            None => text[at] = b'A',
        }
        proptest::prop_assert!(check(&String::from_utf8(text).unwrap()).is_err());
    }

    #[test]
    fn no_text_is_too_odd_to_be_refused(header in ".{0,60}", payload in ".{0,200}", rest in "[A-Za-z0-9_.=-]{0,90}") {
        for text in [
            format!("{header}.{payload}.{rest}"),
            format!("{}.{}.{rest}", base64url(&header), base64url(&payload)),
            holder().sign_text(r#"{"alg":"ES256"}"#, &payload),
            holder().sign_text(&header, r#"{"vp":{}}"#),
        ] {
            proptest::prop_assert!(check(&text).is_err());
        }
        for did in [format!("did:key:{payload}"), format!("did:jwk:{}", base64url(&payload)), format!("did:key:z{rest}")] {
            let _ = chat_credentials::did::resolve(&did);
        }
    }
}

#[test]
fn a_signature_is_of_its_length_and_of_numbers_that_can_be() {
    let good = good();
    let (text, signature) = good.rsplit_once('.').unwrap();
    let signature = decoded(signature);
    let (r, s) = signature.split_at(32);
    let n = p256::NonZeroScalar::try_from(s).unwrap();
    let high = (-*n).to_bytes();
    let order = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
        0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let with = |signature: &[u8]| format!("{text}.{}", base64url(signature));
    assert_eq!(
        check(&with(&[r, &high].concat())),
        check(&good),
        "the other half is valid, and names the same"
    );
    for bad in [
        vec![0; 64],
        [r, &[0; 32]].concat(),
        [&[0; 32], s].concat(),
        [&order, s].concat(),
        [r, &order].concat(),
        [r, &s[..31]].concat(),
        [r, s, &[0]].concat(),
        [&[0], r, s].concat(),
        vec![0xff; 64],
        Vec::new(),
    ] {
        refused(&with(&bad), "the presentation has a wrong signature");
    }
}

fn decoded(text: &str) -> Vec<u8> {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

#[test]
fn weak_keys_are_nobodys() {
    // Points of small order: RFC 7748's zero, one, and a compressed point of order 8.
    let small = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a";
    let small: Vec<u8> =
        (0..32).map(|at| u8::from_str_radix(&small[2 * at..2 * at + 2], 16).unwrap()).collect();
    let mut one = vec![0; 32];
    one[0] = 1;
    for point in [vec![0; 32], one, small, vec![0xff; 32], vec![9; 31]] {
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(&point) });
        assert!(Key::jwk(&jwk.to_string()).is_err(), "{point:?}");
        let did = format!("did:key:z{}", bs58::encode([&[0xed, 1], &point[..]].concat()).into_string());
        assert!(chat_credentials::did::resolve(&did).is_err());
    }
    for jwk in [
        // Not on the curve, the point at infinity, short coordinates, few bits, an even exponent.
        json!({ "kty": "EC", "crv": "P-256", "x": base64url([1; 32]), "y": base64url([1; 32]) }),
        json!({ "kty": "EC", "crv": "P-256", "x": base64url([0; 32]), "y": base64url([0; 32]) }),
        json!({ "kty": "EC", "crv": "P-256", "x": base64url([1; 31]), "y": base64url([1; 32]) }),
        json!({ "kty": "RSA", "n": base64url([0xff; 128]), "e": "AQAB" }),
        json!({ "kty": "RSA", "n": base64url([0xff; 256]), "e": "AQ" }),
        json!({ "kty": "RSA", "n": base64url([0xff; 256]), "e": "AQAA" }),
        json!({ "kty": "EC", "crv": "P-999", "x": "AA", "y": "AA" }),
    ] {
        assert!(Key::jwk(&jwk.to_string()).is_err(), "{jwk}");
    }
}

#[test]
fn sets_of_keys_are_clear_about_themselves() {
    let public = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "a" });
    let private =
        with(public.clone(), json!({ "kid": "b", "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A" }));
    let read = |keys: Value| KeySet::jwks(&json!({ "keys": keys }).to_string()).is_ok();
    assert!(read(json!([public])));
    assert!(!read(json!([public, public])), "one name for two");
    assert!(!read(json!([public, private])), "private ones are kept apart");
    assert!(!read(json!([])) && !read(json!([{ "kty": "unknown" }])));
    assert!(KeySet::jwks(r#"{"keys":[],"keys":[]}"#).is_err());
}
