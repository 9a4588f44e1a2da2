//! Who is let in, and what they may do.

use async_trait::async_trait;
use chat_core::{
    Auth, Backend, Principal, Result,
    auth::{AuthError, Credentials, JwtAuth, JwtConfig, JwtConfigError, RoleAuthorizer},
};

/// Roles that may buy: all there are.
const ROLES: [&str; 3] = ["USER", "SELLER", "ADMIN"];
/// Roles that may sell.
const SELLERS: [&str; 2] = ["SELLER", "ADMIN"];

/// Tokens of users who have one of the shop's roles.
#[derive(Debug)]
pub(crate) struct ShopAuth(JwtAuth);

impl ShopAuth {
    pub(crate) fn new(config: JwtConfig) -> std::result::Result<Self, JwtConfigError> {
        JwtAuth::new(config).map(Self)
    }
}

#[async_trait]
impl Backend for ShopAuth {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    async fn health(&self) -> Result<()> {
        self.0.health().await
    }
}

#[async_trait]
impl Auth for ShopAuth {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal> {
        let principal = self.0.authenticate(credentials).await?;
        if ROLES.iter().any(|role| principal.has_role(role)) {
            return Ok(principal);
        }
        Err(AuthError::Invalid("its role is none of USER, SELLER and ADMIN").into())
    }

    async fn revalidate(&self, principal: &Principal) -> Result<()> {
        self.0.revalidate(principal).await
    }
}

/// Whether they may sell; whether a store is theirs is another question.
pub(crate) fn is_seller(principal: &Principal) -> bool {
    SELLERS.iter().any(|role| principal.has_role(role))
}

/// Members only: an administrator of the shop reads nobody's conversations. The store's side owns the room, so what it says is stored
/// with the authority of a moderator, by which it is told from what the buyer says.
pub(crate) fn rules() -> RoleAuthorizer {
    RoleAuthorizer::new().without_admin_role()
}
