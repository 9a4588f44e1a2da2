//! A presentation beside a token.

#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod wallet;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chat_core::{
    Auth, Clock, Timestamp,
    auth::{Cached, CachedConfig, Credentials, JwtAuth, JwtClaims, JwtConfig, JwtSigner, Principal},
};
use chat_credentials::{BoundNonces, Challenges, Presented, TrustedIssuers, Verifier};
use serde_json::{Value, json};
use wallet::{NOW, Wallet, credential, presentation, with};

const SECRET: &str = "a secret for tests that is long enough";

#[derive(Debug, Clone, Copy)]
struct At(u64);

impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.0)
    }
}

fn bindings() -> Arc<dyn chat_core::auth::SessionBindings> {
    Arc::new(chat_core::memory::MemoryBindings::new())
}

fn auth(at: u64, nonces: &Arc<dyn chat_core::auth::SessionBindings>) -> Presented<JwtAuth> {
    let signer = JwtSigner::hs256(SECRET).unwrap();
    let tokens = JwtAuth::new(JwtConfig::new([signer.key().unwrap()])).unwrap().with_clock(At(at));
    let issuers = TrustedIssuers::new().with_did(&Wallet::ed25519(1).did()).unwrap();
    let verifier = Verifier::new(issuers).with_audience("https://chat.example");
    Presented::new(tokens, verifier, Arc::new(BoundNonces::new(Arc::clone(nonces)))).with_clock(At(at))
}

fn token(user: &str, did: Option<&str>) -> String {
    let signer =
        JwtSigner::hs256(SECRET).unwrap().with_clock(At(NOW)).with_lifetime(Duration::from_secs(3_600));
    let mut claims = JwtClaims::new(user.parse().unwrap());
    if let Some(did) = did {
        claims = claims.with_claim("did", did);
    }
    signer.sign(&claims).unwrap()
}

fn presented(changes: Value) -> String {
    let (issuer, holder) = (Wallet::ed25519(1), Wallet::p256(2));
    holder.sign(&with(presentation(&holder, &[issuer.sign(&credential(&issuer, &holder))]), changes))
}

async fn enter(auth: &impl Auth, token: &str, presentation: &str) -> Result<Principal, String> {
    let credentials = Credentials::token(token).with_presentation(presentation);
    auth.authenticate(&credentials)
        .await
        .map_err(|error| error.to_string().replace("not authenticated: ", ""))
}

#[tokio::test]
async fn a_session_is_bound_to_what_was_presented_and_ends_with_it() {
    let auth = auth(NOW, &bindings());
    let ann = enter(&auth, &token("ann", None), &presented(json!({}))).await.unwrap();
    assert_eq!(ann.user.as_str(), "ann");
    assert_eq!(ann.claims["did"], Wallet::p256(2).did());
    assert_eq!(ann.expires_at, Some(Timestamp::from_secs(NOW + 605)));
    let again = enter(&auth, &token("ann", None), &presented(json!({}))).await.unwrap();
    assert_eq!(ann.bound_to, again.bound_to, "the same presentation");
    let other = enter(&auth, &token("ann", None), &presented(json!({ "nonce": "n-2" }))).await.unwrap();
    assert_ne!(ann.bound_to, other.bound_to);
    assert!(ann.bound_to.is_some_and(|to| to.len() == 64));
}

#[tokio::test]
async fn without_or_with_a_bad_one_nobody_gets_in() {
    let auth = auth(NOW, &bindings());
    let alone = auth.authenticate(&Credentials::token(token("ann", None))).await.unwrap_err();
    assert!(alone.to_string().ends_with("the credentials are not valid: the presentation is missing"));
    for (changes, words) in [
        (json!({ "exp": NOW - 60 }), "the presentation has expired"),
        (json!({ "nonce": null }), "the presentation has no nonce"),
        (json!({ "nonce": "" }), "the presentation has no nonce"),
        (json!({ "nonce": "x".repeat(257) }), "the presentation is too large"),
    ] {
        let error = enter(&auth, &token("ann", None), &presented(changes)).await.unwrap_err();
        assert_eq!(error, format!("the credentials are not valid: {words}"));
    }
    let error = enter(&auth, "no token", &presented(json!({}))).await.unwrap_err();
    assert_eq!(error, "the credentials are malformed");
}

#[tokio::test]
async fn it_is_of_the_tokens_user() {
    let auth = auth(NOW, &bindings());
    let (holder, other) = (Wallet::p256(2).did(), Wallet::p256(3).did());
    let presented = presented(json!({}));
    for (user, did, is_of) in [
        ("ann", None, true),
        ("bob", None, false),
        ("bob", Some(&*holder), true),
        ("ann", Some(&*other), false),
        (&*holder, None, true),
        (&*other, None, false),
    ] {
        let entered = enter(&auth, &token(user, did), &presented).await;
        assert_eq!(entered.is_ok(), is_of, "{user} {did:?}: {entered:?}");
        if !is_of {
            assert!(entered.unwrap_err().ends_with("is of somebody else than the token"));
        }
    }
}

#[tokio::test]
async fn a_nonce_is_for_one_presentation_on_all_nodes() {
    let nonces = bindings();
    let (one, two) = (auth(NOW, &nonces), auth(NOW, &nonces));
    let first = presented(json!({}));
    enter(&one, &token("ann", None), &first).await.unwrap();
    enter(&two, &token("ann", None), &first).await.unwrap();
    let replay = enter(&two, &token("ann", None), &presented(json!({ "exp": NOW + 601 }))).await.unwrap_err();
    assert_eq!(replay, "the credentials are not valid: the presentation has a nonce that was used before");
    // Somebody else's nonces are their own.
    enter(&two, &token("did:key:x", Some(&Wallet::p256(2).did())), &first).await.unwrap();
}

#[tokio::test]
async fn where_nonces_are_given_out_no_other_is_taken() {
    let challenges = Challenges::new(SECRET.as_bytes()).unwrap();
    let auth = auth(NOW, &bindings()).with_challenges(challenges.clone());
    let issue = |ago: u64| challenges.issue(Timestamp::from_secs(NOW - ago)).unwrap();
    let present = async |changes: Value| enter(&auth, &token("ann", None), &presented(changes)).await;
    let words =
        "the credentials are not valid: the presentation has a nonce that was not given out here in time";
    let good = issue(20);
    assert!(present(json!({ "nonce": good })).await.is_ok());
    assert!(present(json!({ "nonce": good })).await.is_ok(), "the same one");
    for changes in [
        json!({}),
        json!({ "nonce": issue(400) }),
        json!({ "nonce": issue(20), "iat": null }),
        json!({ "nonce": issue(0), "iat": NOW - 100 }),
    ] {
        assert_eq!(present(changes).await.unwrap_err(), words);
    }
}

#[tokio::test]
async fn a_presentation_that_is_first_shown_after_the_nonces_time_is_refused_whatever_its_date() {
    let challenges = Challenges::new(SECRET.as_bytes()).unwrap();
    let (nonces, token) = (bindings(), token("ann", None));
    let node = |at| auth(at, &nonces).with_challenges(challenges.clone());
    let nonce = || challenges.issue(Timestamp::from_secs(NOW - 10)).unwrap();
    let (seen, kept) = (presented(json!({ "nonce": nonce() })), presented(json!({ "nonce": nonce() })));
    enter(&node(NOW), &token, &seen).await.unwrap();
    // The nonce is good for 300 s, and 5 s of leeway.
    let late = node(NOW + 296);
    enter(&late, &token, &seen).await.unwrap();
    for _ in 0..2 {
        let words = enter(&late, &token, &kept).await.unwrap_err();
        assert!(words.ends_with("a nonce that was not given out here in time"), "{words}");
    }
    enter(&node(NOW + 295), &token, &kept).await.unwrap();
}

#[tokio::test]
async fn only_a_credential_that_was_asked_for_says_who_somebody_is() {
    let (one, two, holder) = (Wallet::ed25519(1), Wallet::ed25519(4), Wallet::p256(2));
    let issued = |issuer: &Wallet, kind: &str, user: &str| {
        let mut claims = credential(issuer, &holder);
        claims["vc"]["type"] = json!(["VerifiableCredential", kind]);
        claims["vc"]["credentialSubject"]["userId"] = json!(user);
        issuer.sign(&claims)
    };
    let several = [issued(&one, "MembershipCredential", "bob"), issued(&two, "LibraryCardCredential", "ann")];
    let text = holder.sign(&presentation(&holder, &several));
    for (kinds, ann, bob) in [
        (&[][..], true, true),
        (&["MembershipCredential"], false, true),
        (&["MembershipCredential", "LibraryCardCredential"], true, true),
    ] {
        let issuers = [&one, &two]
            .into_iter()
            .fold(TrustedIssuers::new(), |issuers, wallet| issuers.with_did(&wallet.did()).unwrap());
        let verifier = Verifier::new(issuers).with_audience("https://chat.example");
        let verifier = kinds.iter().fold(verifier, |verifier, kind| verifier.with_type(*kind));
        let signer = JwtSigner::hs256(SECRET).unwrap();
        let tokens = JwtAuth::new(JwtConfig::new([signer.key().unwrap()])).unwrap().with_clock(At(NOW));
        let nonces = Arc::new(BoundNonces::new(bindings()));
        let auth = Presented::new(tokens, verifier, nonces).with_clock(At(NOW));
        for (user, enters) in [("ann", ann), ("bob", bob)] {
            let entered = enter(&auth, &token(user, None), &text).await;
            assert_eq!(entered.is_ok(), enters, "{kinds:?} {user}: {entered:?}");
        }
    }
}

#[tokio::test]
async fn a_cached_yes_ends_with_the_credential() {
    let clock = Moving(Arc::new(AtomicU64::new(NOW)));
    let presented_auth = auth(NOW, &bindings()).with_clock(clock.clone());
    let cached = Cached::new(presented_auth, CachedConfig::default()).with_clock(clock.clone());
    let (token, presented) = (token("ann", None), presented(json!({ "exp": NOW + 20 })));
    for (at, holds) in [(NOW, true), (NOW + 24, true), (NOW + 25, false)] {
        clock.0.store(at, Ordering::SeqCst);
        assert_eq!(enter(&cached, &token, &presented).await.is_ok(), holds, "{at}");
    }
}

#[derive(Debug, Clone)]
struct Moving(Arc<AtomicU64>);

impl Clock for Moving {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.0.load(Ordering::SeqCst))
    }
}
