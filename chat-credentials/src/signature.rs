//! The arithmetic, each algorithm in the crate that is known for it.

use hmac::Hmac;
use p256::ecdsa::signature::Verifier as _;
use rsa::{RsaPublicKey, pkcs1v15, pss};
use sha2::{Sha256, Sha384, Sha512};

use crate::{Algorithm, key::Material};

/// `Some` if the signature fits. Wrong lengths, and numbers that are zero or not below the order, do not.
///
/// Both of the two values that are valid as the second half of an ECDSA signature are accepted, as in RFC 7515 A.3: nothing here
/// takes a signature for the name of what it signs.
pub(crate) fn verify(key: &Material, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> Option<()> {
    match key {
        Material::P256(key) => {
            let signature = p256::ecdsa::Signature::from_slice(signature).ok()?;
            key.verify(signed, &signature).ok()
        }
        Material::P384(key) => {
            let signature = p384::ecdsa::Signature::from_slice(signature).ok()?;
            key.verify(signed, &signature).ok()
        }
        Material::P521(key) => {
            let signature = p521::ecdsa::Signature::from_slice(signature).ok()?;
            key.verify(signed, &signature).ok()
        }
        Material::Secp256k1(key) => {
            let signature = k256::ecdsa::Signature::from_slice(signature).ok()?;
            // This crate itself only takes the lower one.
            key.verify(signed, &signature.normalize_s().unwrap_or(signature)).ok()
        }
        Material::Ed25519(key) => {
            let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
            key.verify_strict(signed, &signature).ok()
        }
        Material::Rsa(key) => rsa(key, algorithm, signed, signature),
        Material::Secret(secret) => match algorithm {
            Algorithm::Hs256 => mac::<Hmac<Sha256>>(secret, signed, signature, 32),
            Algorithm::Hs384 => mac::<Hmac<Sha384>>(secret, signed, signature, 48),
            Algorithm::Hs512 => mac::<Hmac<Sha512>>(secret, signed, signature, 64),
            _ => None,
        },
    }
}

fn rsa(key: &RsaPublicKey, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> Option<()> {
    macro_rules! check {
        ($scheme:ident, $hash:ty) => {{
            let signature = $scheme::Signature::try_from(signature).ok()?;
            $scheme::VerifyingKey::<$hash>::new(key.clone()).verify(signed, &signature).ok()
        }};
    }
    // RFC 8017 §8.1.2: a signature is as long as the modulus.
    if signature.len() != rsa::traits::PublicKeyParts::size(key) {
        return None;
    }
    match algorithm {
        Algorithm::Rs256 => check!(pkcs1v15, Sha256),
        Algorithm::Rs384 => check!(pkcs1v15, Sha384),
        Algorithm::Rs512 => check!(pkcs1v15, Sha512),
        Algorithm::Ps256 => check!(pss, Sha256),
        Algorithm::Ps384 => check!(pss, Sha384),
        Algorithm::Ps512 => check!(pss, Sha512),
        _ => None,
    }
}

/// The comparison takes the same time wherever the first difference is. RFC 7518 §3.2: a secret is at least as long as the hash.
fn mac<M: hmac::Mac + hmac::digest::KeyInit>(
    secret: &[u8],
    signed: &[u8],
    tag: &[u8],
    hash: usize,
) -> Option<()> {
    if secret.len() < hash {
        return None;
    }
    let mut mac = <M as hmac::Mac>::new_from_slice(secret).ok()?;
    mac.update(signed);
    mac.verify_slice(tag).ok()
}
