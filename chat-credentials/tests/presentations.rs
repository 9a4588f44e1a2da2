//! What is accepted of presentations and credentials, and what is refused with which words.

mod wallet;

use chat_core::Timestamp;
use chat_credentials::{Key, KeySet, Presentation, Reject, TrustedIssuers, Verifier};
use serde_json::{Value, json};
use wallet::{NOW, Wallet, base64url, credential, presentation, with};

fn issuer() -> Wallet {
    Wallet::ed25519(1)
}

fn holder() -> Wallet {
    Wallet::p256(2)
}

fn verifier() -> Verifier {
    let issuers = TrustedIssuers::new().with_did(&issuer().did()).unwrap();
    Verifier::new(issuers).with_audience("https://chat.example").with_type("MembershipCredential")
}

fn check(token: &str) -> Result<Presentation, Reject> {
    verifier().presentation(token, Timestamp::from_secs(NOW))
}

fn good() -> String {
    let (issuer, holder) = (issuer(), holder());
    holder.sign(&presentation(&holder, &[issuer.sign(&credential(&issuer, &holder))]))
}

/// The presentation with changed claims.
fn presented(changes: Value) -> String {
    let (issuer, holder) = (issuer(), holder());
    let token = issuer.sign(&credential(&issuer, &holder));
    holder.sign(&with(presentation(&holder, &[token]), changes))
}

/// A presentation of the credential with changed claims.
fn issued(changes: Value) -> String {
    let (issuer, holder) = (issuer(), holder());
    let token = issuer.sign(&with(credential(&issuer, &holder), changes));
    holder.sign(&presentation(&holder, &[token]))
}

/// With other members of `vc`.
fn body(changes: Value) -> String {
    let vc = with(credential(&issuer(), &holder())["vc"].clone(), changes);
    issued(json!({ "vc": vc }))
}

#[track_caller]
fn refused(token: &str, words: &str) {
    assert_eq!(check(token).map(|_| ()).unwrap_err().to_string(), words);
}

#[test]
fn a_presentation_of_its_holders_credential_holds() {
    let presentation = check(&good()).unwrap();
    assert_eq!(presentation.holder, holder().did());
    assert_eq!(presentation.nonce.as_deref(), Some("n-1"));
    assert_eq!(presentation.expires_at, Some(Timestamp::from_secs(NOW + 605)));
    assert_eq!(presentation.credentials[0].issuer, issuer().did());
    assert_eq!(presentation.credentials[0].says["userId"], "ann");
    assert!(presentation.expect_nonce("n-1").is_ok());
    assert_eq!(
        presentation.expect_nonce("n-2").unwrap_err().to_string(),
        "the presentation has another nonce"
    );
    // The credential ends first.
    let ends = check(&issued(json!({ "exp": NOW + 60 }))).unwrap().expires_at;
    assert_eq!(ends, Some(Timestamp::from_secs(NOW + 65)));
}

#[test]
fn every_kind_of_key_signs() {
    let wallets = [Wallet::ed25519(3), Wallet::p256(4), Wallet::p384(5), Wallet::secp256k1(6)];
    for issuer in &wallets {
        for holder in &wallets {
            let issuers = TrustedIssuers::new().with_did(&issuer.did()).unwrap();
            let token = issuer.sign(&credential(issuer, holder));
            let token = holder.sign(&presentation(holder, &[token]));
            let checked = Verifier::new(issuers).presentation(&token, Timestamp::from_secs(NOW));
            assert!(checked.is_ok(), "{} {}: {checked:?}", issuer.algorithm(), holder.algorithm());
        }
    }
}

#[test]
fn version_2_of_the_data_model_is_understood() {
    let (issuer, holder) = (issuer(), holder());
    let claims = json!({
        "@context": ["https://www.w3.org/ns/credentials/v2"],
        "type": ["VerifiableCredential", "MembershipCredential"], "issuer": { "id": issuer.did() },
        "validFrom": "2026-01-01T00:00:00Z", "validUntil": "2027-01-15T09:00:00+01:00",
        "credentialSubject": { "id": holder.did() },
    });
    let envelope = |claims: &Value| {
        let id = format!("data:application/vc+jwt,{}", issuer.sign(claims));
        json!({
            "@context": ["https://www.w3.org/ns/credentials/v2"], "type": ["VerifiablePresentation"], "holder": holder.did(),
            "verifiableCredential": [{ "id": id, "type": "EnvelopedVerifiableCredential" }],
            "aud": "https://chat.example", "nonce": "n", "exp": NOW + 60,
        })
    };
    assert!(check(&holder.sign(&envelope(&claims))).is_ok());
    let late = with(claims.clone(), json!({ "validUntil": "2027-01-15T07:00:00Z" }));
    refused(&holder.sign(&envelope(&late)), "the credential has expired");
    let other = with(envelope(&claims), json!({ "iss": issuer.did() }));
    refused(&holder.sign(&other), "the presentation contradicts itself");
}

#[test]
fn times_hold() {
    refused(&presented(json!({ "exp": NOW - 5 })), "the presentation has expired");
    refused(&presented(json!({ "nbf": NOW + 6 })), "the presentation is not valid yet");
    refused(&presented(json!({ "iat": NOW + 6 })), "the presentation is not valid yet");
    refused(&presented(json!({ "iat": null, "exp": null })), "the presentation has no expiry");
    refused(
        &presented(json!({ "iat": null, "exp": NOW + 90_000 })),
        "the presentation is valid for too long",
    );
    refused(&presented(json!({ "exp": "soon" })), "the presentation is malformed");
    assert!(check(&presented(json!({ "exp": NOW - 4, "nbf": NOW + 5 }))).is_ok());
    refused(&issued(json!({ "exp": NOW - 5 })), "the credential has expired");
    refused(&issued(json!({ "nbf": NOW + 6 })), "the credential is not valid yet");
    refused(&body(json!({ "expirationDate": "2020-01-01T00:00:00Z" })), "the credential has expired");
    refused(&body(json!({ "issuanceDate": "2040-01-01T00:00:00Z" })), "the credential is not valid yet");
    refused(&body(json!({ "expirationDate": "tomorrow" })), "the credential is malformed");
}

#[test]
fn it_is_for_this_service_only() {
    refused(
        &presented(json!({ "aud": "https://shop.example" })),
        "the presentation is meant for another audience",
    );
    refused(&presented(json!({ "aud": null })), "the presentation is meant for another audience");
    assert!(check(&presented(json!({ "aud": ["x", "https://chat.example"] }))).is_ok());
    refused(
        &issued(json!({ "aud": "https://shop.example" })),
        "the credential is meant for another audience",
    );
}

#[test]
fn issuers_are_trusted_by_name_and_key() {
    let (mallory, holder) = (Wallet::ed25519(66), holder());
    let present = |token: String| holder.sign(&presentation(&holder, &[token]));
    refused(
        &present(mallory.sign(&credential(&mallory, &holder))),
        "the credential has an issuer that is not trusted",
    );
    // In the name of the issuer.
    let forged = mallory.sign(&credential(&issuer(), &holder));
    refused(&present(forged), "the credential is signed by a key that is not known");
    let claims = credential(&issuer(), &holder).to_string();
    refused(
        &present(mallory.sign_text(r#"{"alg":"EdDSA"}"#, &claims)),
        "the credential has a wrong signature",
    );
    let body = json!({ "vc": with(credential(&issuer(), &holder)["vc"].clone(), json!({ "issuer": mallory.did() })) });
    refused(&issued(body), "the credential contradicts itself");
    refused(&issued(json!({ "iss": null })), "the credential does not say whose it is");
}

#[test]
fn an_issuer_of_any_name_is_known_by_its_key_set() {
    let (issuer, holder) = (issuer(), holder());
    let Wallet::Ed25519(key) = &issuer else { unreachable!() };
    let x = base64url(key.verifying_key().to_bytes());
    let set = json!({ "keys": [
        { "kty": "OKP", "crv": "Ed25519", "x": x, "kid": "one" },
        { "kty": "OKP", "crv": "X448", "x": "AA", "kid": "two" },
    ] });
    let issuers =
        TrustedIssuers::new().with_keys("https://issuer.example", KeySet::jwks(&set.to_string()).unwrap());
    let verifier = Verifier::new(issuers);
    let claims = with(credential(&issuer, &holder), json!({ "iss": "https://issuer.example" })).to_string();
    let check = |kid: &str| {
        let header = json!({ "alg": "EdDSA", "kid": kid }).to_string();
        let token = holder.sign(&presentation(&holder, &[issuer.sign_text(&header, &claims)]));
        verifier.presentation(&token, Timestamp::from_secs(NOW)).map(drop).map_err(Reject::as_str)
    };
    assert_eq!(check("one"), Ok(()));
    assert_eq!(check("https://issuer.example#one"), Ok(()));
    assert_eq!(check("two"), Err("the credential is signed by a key that is not known"));
    assert_eq!(
        check("https://other.example#one"),
        Err("the credential is signed by a key that is not known")
    );
}

#[test]
fn the_presenter_is_the_subject() {
    let (issuer, holder, thief) = (issuer(), holder(), Wallet::p256(77));
    let stolen = issuer.sign(&credential(&issuer, &holder));
    refused(
        &thief.sign(&presentation(&thief, &[stolen.clone()])),
        "the credential is about somebody else than the holder",
    );
    // With the owner's name, but not the key.
    refused(
        &thief.sign(&presentation(&holder, &[stolen])),
        "the presentation is signed by a key that is not known",
    );
    let without = json!({ "sub": null, "vc": with(credential(&issuer, &holder)["vc"].clone(), json!({ "credentialSubject": { "userId": "ann" } })) });
    refused(&issued(without), "the credential is not bound to a holder");
    refused(&issued(json!({ "sub": thief.did() })), "the credential contradicts itself");
    let two = json!({ "credentialSubject": [{ "id": holder.did() }, { "id": thief.did() }] });
    refused(&body(two), "the credential is not bound to a holder");
    assert!(check(&issued(json!({ "sub": null }))).is_ok(), "the subject's own id is enough");
}

#[test]
fn one_bad_credential_spoils_a_presentation() {
    let (issuer, holder) = (issuer(), holder());
    let good = issuer.sign(&credential(&issuer, &holder));
    let old = issuer.sign(&with(credential(&issuer, &holder), json!({ "exp": NOW - 100 })));
    refused(&holder.sign(&presentation(&holder, &[good.clone(), old])), "the credential has expired");
    refused(&holder.sign(&presentation(&holder, &[])), "the presentation has no credential");
    refused(
        &holder.sign(&presentation(&holder, &vec![good; 9])),
        "the presentation has too many credentials",
    );
    let jsonld =
        json!({ "vp": { "type": "VerifiablePresentation", "verifiableCredential": [{ "proof": {} }] } });
    refused(&presented(jsonld), "the presentation is malformed");
    refused(
        &body(json!({ "type": ["VerifiableCredential", "Other"] })),
        "the credential is not of the type that is asked for",
    );
    refused(
        &body(json!({ "credentialStatus": { "id": "x" } })),
        "the credential has a status that cannot be looked up",
    );
    // One is not the other.
    refused(&holder.sign(&credential(&holder, &holder)), "the presentation is malformed");
    let within = holder.sign(&presentation(&holder, &[self::good()]));
    refused(&within, "the credential is malformed");
}

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
    let signature = chat_credentials_decode(signature);
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

fn chat_credentials_decode(text: &str) -> Vec<u8> {
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
