//! Accounts and their tokens.

use axum::{Json as Answer, extract::State, http::StatusCode};
use chat_core::{
    Error, UserId,
    auth::JwtClaims,
    rate_limit::{RateDecision, RateKey, RateLimiter as _},
};
use example_support::nest::{Json, Refused};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Group;
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
pub(super) async fn register(State(group): State<Group>, Json(asked): Json<Credentials>) -> Said {
    let email = Email::new(&asked.email).map_err(Refused::bad_request)?;
    if !PASSWORD_CHARS.contains(&asked.password.chars().count()) {
        let (from, to) = (PASSWORD_CHARS.start(), PASSWORD_CHARS.end());
        return Err(Refused::bad_request(format!("password must have {from} to {to} characters")));
    }
    try_once(&group, &email).await?;
    let hash = group.passwords.hash(asked.password).await?;
    let made = group.accounts.add(&email, &hash).await?;
    let id = made.ok_or_else(|| Refused::new(StatusCode::CONFLICT, "this email has an account"))?;
    Ok((StatusCode::CREATED, Answer(json!({ "id": id, "email": email.as_str() }))))
}

/// A token for an account. Whether the address or the password is wrong is not said, and takes the same time.
pub(super) async fn login(State(group): State<Group>, Json(asked): Json<Credentials>) -> Said {
    let wrong = || Refused::new(StatusCode::UNAUTHORIZED, "email or password is wrong");
    let email = Email::new(&asked.email).map_err(Refused::bad_request)?;
    if asked.password.chars().count() > *PASSWORD_CHARS.end() {
        return Err(wrong());
    }
    try_once(&group, &email).await?;
    let (id, hash) = group.accounts.find(&email).await?.unzip();
    let is_right = group.passwords.verify(asked.password, hash).await?;
    let id = id.filter(|_| is_right).ok_or_else(wrong)?;
    let claims = JwtClaims::new(id.clone()).with_claim("email", email.as_str());
    let token = group.signer.sign(&claims.with_lifetime(group.token_lifetime))?;
    let said = json!({
        "accessToken": token, "tokenType": "Bearer", "expiresIn": group.token_lifetime.as_secs(),
        "user": { "id": id, "email": email.as_str() },
    });
    Ok((StatusCode::CREATED, Answer(said)))
}

/// Takes from what may be tried for an address, whether or not it has an account.
async fn try_once(group: &Group, email: &Email) -> Result<(), Error> {
    let whose = UserId::new(email.as_str()).map_err(|error| Error::invalid("email", error))?;
    match group.tries.check(RateKey::UserSignals(whose)).await? {
        RateDecision::Allowed => Ok(()),
        RateDecision::Limited { retry_after } => Err(Error::RateLimited { retry_after }),
    }
}
