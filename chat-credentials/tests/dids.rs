//! Identifiers of the methods' own documents.

use chat_credentials::{Reason, did};

#[test]
fn keys_of_did_key_are_found() {
    for name in [
        "z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
        "z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp",
        "zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169",
        "zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv",
        "z82Lm1MpAkeJcix9K8TMiLd5NMAhnwkjjCBeWHXyu3U4oT2MVJJKXkcVBgjGhnLBn2Kaau9",
        "z82LkvCwHNreneWpsgPEbV3gu1C6NFJEBg4srfJ5gdxEsMGRJUz2sG9FE42shbn2xkZJh54",
        "z2J9gaYxrKVpdoG9A4gRnmpnRCcxU6agDtFVVBVdn1JedouoZN7SzcyREXXzWgt3gGiwpoHq7K68X4m32D8HgzG8wv3sY5j7",
        "zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme",
        "zQ3shtxV1FrJfhqE1dvxYRcCknWNjHc3c5X1y3ZSoPDi2aur2",
        "z4MXj1wBzi9jUstyPMS4jQqB6KdJaiatPkAtVtGc6bQEQEEsKTic4G7Rou3iBf9vPmT5dbkm9qsZsuVNjq8HCuW1w24nhBFGkRE4cd2Uf2tfrB3N7h4mnyPp1BF3ZttHTYv3DLUPi1zMdkULiow3M1GfXkoC6DoxDUm1jmN6GBj22SjVsr6dxezRVQc7aj9TxE7JLbMH1wh5X3kA58H3DFW8rnYMakFGbca5CB2Jf6CnGQZmL7o5uJAdTwXfy2iiiyPxXEGerMhHwhjTA1mKYobyk2CpeEcmvynADfNZ5MBvcCS7m3XkFCMNUYBS9NQ3fze6vMSUPsNa6GVYmKx2x6JrdEjCk3qRMMmyjnjCMfR4pXbRMZa3i",
    ] {
        let key = did::resolve(&format!("did:key:{name}")).unwrap();
        assert_eq!(key.id(), Some(format!("did:key:{name}#{name}").as_str()));
        assert!(!key.is_secret());
    }
}

#[test]
fn keys_that_sign_nothing_or_are_written_otherwise_are_not() {
    for bad in [
        // X25519, BLS12-381: not for signatures that are known here.
        "did:key:z6LSeu9HkTHSfLLeUs2nnzUSNedgDUevfNQgQjQC23ZCit6F",
        "did:key:zUC7K4ndUaGZgV7Cp2yJy6JtMoUHY6u7tkcSYUvPrEidqBmLCTLmi6d5WvwnUqejscAkERJ3bfjEiSYtdPkRSE8kSa11hFBr4sTgnbZ95SJj19PN2jdvJjyzpSZgxkyyxNnBNnY",
        "did:key:6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
        "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2do0",
        "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2",
        "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK#x",
        "did:key:z",
        "did:key:",
    ] {
        assert_eq!(did::resolve(bad).map(drop), Err(Reason::BadKey), "{bad}");
    }
    for other in ["did:web:example.com", "https://example.com", "did:KEY:z6Mk", ""] {
        assert_eq!(did::resolve(other).map(drop), Err(Reason::UnknownMethod), "{other}");
    }
    assert_eq!(did::resolve(&format!("did:key:z{}", "1".repeat(2_000))).map(drop), Err(Reason::TooLarge));
}

#[test]
fn keys_of_did_jwk_are_found() {
    let p256 = "did:jwk:eyJjcnYiOiJQLTI1NiIsImt0eSI6IkVDIiwieCI6ImFjYklRaXVNczNpOF91c3pFakoydHBUdFJNNEVVM3l6OTFQSDZDZEgyVjAiLCJ5IjoiX0tjeUxqOXZXTXB0bm1LdG00NkdxRHo4d2Y3NEk1TEtncmwyR3pIM25TRSJ9";
    assert_eq!(did::resolve(p256).unwrap().id(), Some(format!("{p256}#0").as_str()));
    // X25519, the other example of the method, agrees on keys and signs nothing.
    let x25519 = "did:jwk:eyJrdHkiOiJPS1AiLCJjcnYiOiJYMjU1MTkiLCJ1c2UiOiJlbmMiLCJ4IjoiM3A3YmZYdDl3YlRUVzJIQzdPUTFOei1EUThoYmVHZE5yZngtRkctSUswOCJ9";
    assert_eq!(did::resolve(x25519).map(drop), Err(Reason::BadKey));
    let secp256k1 = "did:jwk:eyJjcnYiOiJzZWNwMjU2azEiLCJrdHkiOiJFQyIsIngiOiJBWkpreFVRZlNwS3VvNjVaMWlSeWJZallaRUZOQ2N4VzA2TURCOEpjSHdBIiwieSI6Im5uQk5yZ09OeEFkbGFwZ2RSWlpzT1FxQkNZREFieWtnQ2R2b1ZiNWxtVVkifQ";
    assert!(did::resolve(secp256k1).is_ok());
}

#[test]
fn a_did_jwk_with_a_secret_is_nobodys() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    for jwk in [
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}"#,
        r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#,
        r#"{"kty":"OKP","crv":"Ed25519","use":"enc","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
    ] {
        let did = format!("did:jwk:{}", URL_SAFE_NO_PAD.encode(jwk));
        assert_eq!(did::resolve(&did).map(drop), Err(Reason::BadKey), "{jwk}");
    }
    assert_eq!(did::resolve("did:jwk:e30=").map(drop), Err(Reason::Malformed));
}
