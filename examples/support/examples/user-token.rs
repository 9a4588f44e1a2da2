//! Prints a token for one of the examples, good for an hour. What it says besides the user's id comes after it:
//! `cargo run -q -p example-support --example user-token -- ann role=USER`, with the server's `JWT_SECRET` or `CHAT_SECRET`.

use std::env;

use anyhow::Context as _;
use chat_core::{
    UserId,
    auth::{JwtClaims, JwtSigner},
};

fn main() -> anyhow::Result<()> {
    let secret = env::var("JWT_SECRET").or_else(|_| env::var("CHAT_SECRET"));
    let secret = secret.context("export the server's JWT_SECRET or CHAT_SECRET")?;
    let mut words = env::args().skip(1);
    let user = words.next().context("usage: user-token USER [CLAIM=VALUE]...")?;
    let mut claims = JwtClaims::new(UserId::new(&user)?);
    for word in words {
        let (name, value) = word.split_once('=').with_context(|| format!("{word}: not CLAIM=VALUE"))?;
        claims = claims.with_claim(name, value);
    }
    println!("{}", JwtSigner::hs256(secret)?.sign(&claims)?);
    Ok(())
}
