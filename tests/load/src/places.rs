//! Who is where: rooms, and the users that connect to each.

use anyhow::{Context as _, Result, ensure};
use chat_core::{
    UserId,
    auth::{JwtClaims, JwtSigner},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A room and who connects to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The name or id that the server knows it by.
    pub room: String,
    /// One connection each. The first ones are those that send.
    pub users: Vec<String>,
}

/// `connections` users in `rooms` rooms, one room for each: `user-0`, `user-1` … in `room-0`, `room-1` …
///
/// # Errors
/// There are fewer connections than rooms, or no rooms.
pub fn numbered(connections: usize, rooms: usize) -> Result<Vec<Place>> {
    ensure!(rooms > 0, "there must be a room");
    ensure!(connections >= rooms, "{connections} connections cannot be in {rooms} rooms");
    Ok((0..rooms)
        .map(|room| Place {
            room: format!("room-{room}"),
            users: (room..connections).step_by(rooms).map(|user| format!("user-{user}")).collect(),
        })
        .collect())
}

/// Makes the users' tokens.
pub struct Tokens {
    signer: JwtSigner,
    claims: Map<String, Value>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("claims", &self.claims).finish_non_exhaustive()
    }
}

impl Tokens {
    /// HS256 with this secret, `sub` the user, and other claims that are the same for all.
    ///
    /// # Errors
    /// The secret is too short.
    pub fn new(secret: &str, claims: Map<String, Value>) -> Result<Self> {
        Ok(Self { signer: JwtSigner::hs256(secret)?, claims })
    }

    /// A user's token, which holds for longer than any run.
    ///
    /// # Errors
    /// The name cannot be a user's.
    pub fn of(&self, user: &str) -> Result<String> {
        let id = UserId::new(user).with_context(|| format!("user {user}"))?;
        let day = std::time::Duration::from_secs(86_400);
        let claims = JwtClaims::new(id).with_lifetime(day);
        let claims =
            self.claims.iter().fold(claims, |claims, (name, value)| claims.with_claim(name, value.clone()));
        Ok(self.signer.sign(&claims)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_spread_evenly() {
        let places = numbered(7, 3).unwrap();
        let sizes: Vec<_> = places.iter().map(|place| place.users.len()).collect();
        assert_eq!(sizes, [3, 2, 2]);
        assert_eq!(places[1].users, ["user-1", "user-4"]);
        assert!(numbered(2, 3).is_err());
        assert!(numbered(2, 0).is_err());
    }
}
