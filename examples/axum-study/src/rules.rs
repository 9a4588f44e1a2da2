//! Who is let in, and who may do what.

use async_trait::async_trait;
use chat_core::{
    Auth, Authority, Backend, EntryKind, Principal, Result,
    auth::{Access, Action, AuthError, Authorize, Credentials, Decision, RoleAuthorizer},
};

use crate::wire::number;

/// Users are numbers in this contract: a token of anybody else is none of ours.
#[derive(Debug)]
pub(crate) struct Numbered<A>(pub(crate) A);

#[async_trait]
impl<A: Auth> Backend for Numbered<A> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    async fn health(&self) -> Result<()> {
        self.0.health().await
    }
}

#[async_trait]
impl<A: Auth> Auth for Numbered<A> {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal> {
        let principal = self.0.authenticate(credentials).await?;
        match number(principal.user.as_str()) {
            Some(_) => Ok(principal),
            None => Err(AuthError::Invalid("the user is not a number").into()),
        }
    }

    async fn revalidate(&self, principal: &Principal) -> Result<()> {
        self.0.revalidate(principal).await
    }
}

/// The default rules, with rooms that anybody may enter, and nobody who may everything.
///
/// What members announce, that they join or leave, is a system message: it counts for nobody as unread.
#[derive(Debug)]
pub(crate) struct Rules(RoleAuthorizer);

impl Rules {
    pub(crate) fn new() -> Self {
        Self(RoleAuthorizer::new().open_rooms(true).without_admin_role())
    }
}

#[async_trait]
impl Authorize for Rules {
    async fn authorize(&self, access: Access<'_>) -> Result<Decision> {
        let decision = self.0.decide(access);
        Ok(match (access.action, decision) {
            (Action::Send(EntryKind::Custom), Decision::Allow(_)) => Decision::Allow(Authority::System),
            // The contract's clients send nothing else, and so nobody changes what was said.
            (Action::Send(kind), Decision::Allow(_)) if kind != EntryKind::Chat => {
                Decision::Deny("messages are not changed here")
            }
            (_, decision) => decision,
        })
    }
}
