//! Prints a token that the example lets in, for one hour:
//! `CHAT_SECRET=… cargo run -p example-axum-embed --example token ann`.
use std::env;

use anyhow::Context;
use chat_core::{
    UserId,
    auth::{JwtClaims, JwtSigner},
};

fn main() -> anyhow::Result<()> {
    let secret = env::var("CHAT_SECRET").context("CHAT_SECRET must be the server's")?;
    let user = UserId::new(&env::args().nth(1).context("for which user?")?)?;
    // These two lines, wherever your service has seen who somebody is:
    let signer = JwtSigner::hs256(secret)?;
    let token = signer.sign(&JwtClaims::new(user))?;
    println!("{token}");
    Ok(())
}
