#![doc = include_str!("../README.md")]

mod algorithm;
mod challenges;
mod claims;
mod credential;
pub mod did;
mod issuers;
mod json;
mod jws;
mod key;
mod nonces;
mod presentation;
mod presented;
mod reject;
mod signature;
mod verifier;

use jws::base64url;

pub use self::{
    algorithm::Algorithm,
    challenges::Challenges,
    credential::Credential,
    issuers::TrustedIssuers,
    jws::Jws,
    key::{Key, KeySet},
    nonces::{BoundNonces, NonceStore},
    presentation::Presentation,
    presented::Presented,
    reject::{Part, Reason, Reject},
    verifier::Verifier,
};
