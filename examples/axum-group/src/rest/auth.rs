//! Accounts and their tokens.

use std::net::IpAddr;

use axum::{Json as Answer, extract::State, http::StatusCode};
use chat_core::{
    Error, UserId,
    auth::JwtClaims,
    rate_limit::{RateDecision, RateKey, RateLimiter as _},
};
use example_support::nest::{Json, Refused};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Group, client::Client};
use crate::accounts::Email;

/// Characters of a password. Longer ones say no more, and take longer to hash.
const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 8..=128;

#[derive(Deserialize)]
pub(super) struct Credentials {
    email: String,
    password: String,
}

type Said = Result<(StatusCode, Answer<Value>), Refused>;

/// Makes an account.
pub(super) async fn register(
    State(group): State<Group>,
    Client(client): Client,
    Json(asked): Json<Credentials>,
) -> Said {
    let email = Email::new(&asked.email).map_err(Refused::bad_request)?;
    if !PASSWORD_CHARS.contains(&asked.password.chars().count()) {
        let (from, to) = (PASSWORD_CHARS.start(), PASSWORD_CHARS.end());
        return Err(Refused::bad_request(format!("password must have {from} to {to} characters")));
    }
    try_once(&group, client, &email).await?;
    let hash = group.passwords.hash(asked.password).await?;
    let made = group.accounts.add(&email, &hash).await?;
    let id = made.ok_or_else(|| Refused::new(StatusCode::CONFLICT, "this email has an account"))?;
    Ok((StatusCode::CREATED, Answer(json!({ "id": id, "email": email.as_str() }))))
}

/// A token for an account. Whether the address or the password is wrong is not said, and takes the same time. While another password is
/// tried for the address, any second one is refused as busy.
pub(super) async fn login(
    State(group): State<Group>,
    Client(client): Client,
    Json(asked): Json<Credentials>,
) -> Said {
    let wrong = || Refused::new(StatusCode::UNAUTHORIZED, "email or password is wrong");
    let email = Email::new(&asked.email).map_err(Refused::bad_request)?;
    if asked.password.chars().count() > *PASSWORD_CHARS.end() {
        return Err(wrong());
    }
    try_once(&group, client, &email).await?;
    let (id, hash) = group.accounts.find(&email).await?.unzip();
    let verified = group.passwords.verify(email.as_str(), asked.password, hash.clone()).await?;
    let id = id.filter(|_| verified.is_right).ok_or_else(wrong)?;
    if let (Some(from), Some(to)) = (hash, verified.renewed)
        && let Err(error) = group.accounts.rehash(&id, &from, &to).await
    {
        // The next login does it.
        tracing::warn!(error = %error.with_causes(), "a password's hash was not renewed");
    }
    let claims = JwtClaims::new(id.clone()).with_claim("email", email.as_str());
    let token = group.signer.sign(&claims.with_lifetime(group.token_lifetime))?;
    let said = json!({
        "accessToken": token, "tokenType": "Bearer", "expiresIn": group.token_lifetime.as_secs(),
        "user": { "id": id, "email": email.as_str() },
    });
    Ok((StatusCode::CREATED, Answer(said)))
}

/// Takes from what may be tried for an address, whether or not it has an account: first from what one client may try at all, then from
/// what it may try there, so that nobody takes from others more than that.
async fn try_once(group: &Group, client: IpAddr, email: &Email) -> Result<(), Error> {
    let named = |name: &str| UserId::new(name).map_err(|error| Error::invalid("email", error));
    let by_client = RateKey::UserSends(named(&client.to_string())?);
    let by_one = RateKey::UserSignals(named(&format!("{client}/{}", email.as_str()))?);
    let by_all = RateKey::UserReads(named(email.as_str())?);
    for key in [by_client, by_one, by_all] {
        if let RateDecision::Limited { retry_after } = group.tries.check(key).await? {
            return Err(Error::RateLimited { retry_after });
        }
    }
    Ok(())
}
