//! Identifiers that hold their key: [did:key](https://w3c-ccg.github.io/did-key-spec/) and
//! [did:jwk](https://github.com/quartzjer/did-jwk/blob/main/spec.md). Nothing is fetched.

use crate::{
    Key, Reason, base64url, json,
    key::{Material, Private},
};

/// Longer identifiers are not looked at: an RSA key of 4,096 bits in a `did:jwk` has some 950.
const MAX_BYTES: usize = 1_024;

/// Multicodec's names of keys, as they stand before the key
/// ([table](https://github.com/multiformats/multicodec/blob/master/table.csv)).
const ED25519: [u8; 2] = [0xed, 0x01];
const SECP256K1: [u8; 2] = [0xe7, 0x01];
const P256: [u8; 2] = [0x80, 0x24];
const P384: [u8; 2] = [0x81, 0x24];
const P521: [u8; 2] = [0x82, 0x24];
const RSA: [u8; 2] = [0x85, 0x24];

/// The key of an identifier. Its id is the whole address of the key, `did:key:z…#z…` or `did:jwk:…#0`.
///
/// # Errors
/// [`Reason::UnknownMethod`] for identifiers of other methods, [`Reason::BadKey`] for a key that cannot check signatures, or
/// that is not written as its method says.
pub fn resolve(did: &str) -> Result<Key, Reason> {
    if did.len() > MAX_BYTES {
        return Err(Reason::TooLarge);
    }
    if let Some(multibase) = did.strip_prefix("did:key:") {
        return did_key(did, multibase);
    }
    if let Some(encoded) = did.strip_prefix("did:jwk:") {
        return did_jwk(did, encoded);
    }
    Err(Reason::UnknownMethod)
}

/// Whether an identifier is of one of these methods.
pub(crate) fn holds_its_key(who: &str) -> bool {
    ["did:key:", "did:jwk:"].iter().any(|method| who.starts_with(method))
}

/// Whether a `kid` means the one key of this identifier: its address, the part of it after the identifier, the identifier
/// itself, or nothing.
pub(crate) fn means(kid: Option<&str>, did: &str, key: &Key) -> bool {
    let Some(kid) = kid else { return true };
    let address = key.id().unwrap_or_default();
    let fragment = address.strip_prefix(did).unwrap_or_default();
    kid == address || kid == did || kid == fragment || Some(kid) == fragment.strip_prefix('#')
}

fn did_key(did: &str, multibase: &str) -> Result<Key, Reason> {
    // Base58 in the alphabet of Bitcoin, which is the only one of the method.
    let encoded = multibase.strip_prefix('z').ok_or(Reason::BadKey)?;
    let bytes = bs58::decode(encoded).into_vec().map_err(|_| Reason::BadKey)?;
    let (codec, key) = bytes.split_first_chunk::<2>().ok_or(Reason::BadKey)?;
    // Points on curves are compressed here.
    let point = |curve, bytes| {
        if key.len() == bytes { Material::sec1(curve, key) } else { Err(Reason::BadKey) }
    };
    let material = match *codec {
        ED25519 => Material::ed25519(key)?,
        SECP256K1 => point("secp256k1", 33)?,
        P256 => point("P-256", 33)?,
        P384 => point("P-384", 49)?,
        P521 => point("P-521", 67)?,
        RSA => Material::rsa_der(key)?,
        _ => return Err(Reason::BadKey),
    };
    Ok(Key::from_material(&format!("{did}#{multibase}"), material))
}

fn did_jwk(did: &str, encoded: &str) -> Result<Key, Reason> {
    let jwk = json::object(&base64url(encoded)?)?;
    // An identifier is public: a secret, or a private key, in it is nobody's any more.
    let key = Key::from_jwk(&jwk, Private::Refused)?;
    Ok(key.with_id(&format!("{did}#0")))
}
