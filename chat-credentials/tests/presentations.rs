//! What is accepted of presentations and credentials, and what is refused with which words.

mod wallet;

use chat_core::Timestamp;
use chat_credentials::{KeySet, Reject, TrustedIssuers, Verifier};
use serde_json::{Value, json};
use wallet::{
    NOW, Wallet, base64url, check, credential, credential_body, good, holder, issued, issuer, presentation,
    presented, refused, with,
};

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
    refused(
        &credential_body(json!({ "expirationDate": "2020-01-01T00:00:00Z" })),
        "the credential has expired",
    );
    refused(
        &credential_body(json!({ "issuanceDate": "2040-01-01T00:00:00Z" })),
        "the credential is not valid yet",
    );
    refused(&credential_body(json!({ "expirationDate": "tomorrow" })), "the credential is malformed");
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
    let changed = json!({ "vc": with(credential(&issuer(), &holder)["vc"].clone(), json!({ "issuer": mallory.did() })) });
    refused(&issued(changed), "the credential contradicts itself");
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
        &thief.sign(&presentation(&thief, std::slice::from_ref(&stolen))),
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
    refused(&credential_body(two), "the credential is not bound to a holder");
    assert!(check(&issued(json!({ "sub": null }))).is_ok(), "the subject's own id is enough");
}

#[test]
fn one_bad_credential_spoils_a_presentation() {
    let (issuer, holder) = (issuer(), holder());
    let whole = good();
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
        &credential_body(json!({ "type": ["VerifiableCredential", "Other"] })),
        "the credential is not of the type that is asked for",
    );
    refused(
        &credential_body(json!({ "credentialStatus": { "id": "x" } })),
        "the credential has a status that cannot be looked up",
    );
    // One is not the other.
    refused(&holder.sign(&credential(&holder, &holder)), "the presentation is malformed");
    let within = holder.sign(&presentation(&holder, &[whole]));
    refused(&within, "the credential is malformed");
}
