//! Signatures that others published.

use chat_core::Timestamp;
use chat_credentials::{Jws, Key, KeySet, Reason, TrustedIssuers, Verifier};
use serde::Deserialize;
use serde_json::Value;

/// `vectors/README.md` says why.
const REFUSED_ON_PURPOSE: [u32; 6] = [346, 347, 350, 351, 372, 373];
/// To the letter the text of 357, which is valid.
const SAME_AS_A_VALID_ONE: [u32; 2] = [367, 370];

#[derive(Deserialize)]
struct Group {
    key: Value,
    tests: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: u32,
    comment: String,
    /// A text, or the JSON form, which nothing here reads.
    jws: Value,
    valid: bool,
}

#[test]
fn every_case_of_wycheproof_is_judged_as_it_says() {
    let groups: Vec<Group> = serde_json::from_str(include_str!("vectors/wycheproof-jws.json")).unwrap();
    let mut judged = 0;
    for Group { key, tests } in groups {
        let key = Key::jwk(&key.to_string());
        for case in tests {
            let text = case.jws.as_str().map_or_else(|| case.jws.to_string(), str::to_owned);
            let verify = || Jws::parse(&text, 65_536)?.verify(&KeySet::one(key.clone()?)).map(drop);
            let valid = case.valid || SAME_AS_A_VALID_ONE.contains(&case.id);
            let expected = valid && !REFUSED_ON_PURPOSE.contains(&case.id);
            let verified = verify();
            assert_eq!(verified.is_ok(), expected, "{} {}: {verified:?}", case.id, case.comment);
            judged += 1;
        }
    }
    assert_eq!(judged, 401);
}

#[derive(Deserialize)]
struct Line {
    name: String,
    jwk: Value,
    token: String,
    kind: String,
    now: Option<u64>,
    aud: Option<String>,
    expect: String,
}

#[test]
fn published_examples_are_judged_as_their_authors_say() {
    for line in include_str!("vectors/published.jsonl").lines() {
        let Line { name, jwk, token, kind, now, aud, expect } = serde_json::from_str(line).unwrap();
        let keys = Key::jwk(&jwk.to_string()).map(KeySet::one);
        let said = if kind == "jws" {
            let verify = || Jws::parse(&token, 65_536)?.verify(&keys?).map(drop);
            verify().map_err(|reason: Reason| reason.of(chat_credentials::Part::Token))
        } else {
            let verifier = Verifier::new(TrustedIssuers::new());
            let verifier = aud.into_iter().fold(verifier, Verifier::with_audience);
            verifier.token(&token, &keys.unwrap(), Timestamp::from_secs(now.unwrap())).map(drop)
        };
        let said = said.map_or_else(|reject| format!("reject: {reject}"), |()| "accept".to_owned());
        assert_eq!(said, expect, "{name}");
    }
}
