use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chat_core::{
    Auth, Backend, Clock, Result, SystemClock,
    auth::{AuthError, Credentials, Principal},
};
use serde_json::Value;

use crate::{Challenges, NonceStore, Part, Presentation, Reason, Reject, Verifier};

/// Lets in whom `inner` lets in by the token, if the presentation beside the token
/// ([`Credentials::presentation`]) holds and is of the same person.
///
/// The session ends when the first of token, presentation and credentials does, and is bound to the presentation
/// ([`Principal::bound_to`]): where the chat has bindings, a second session with the same one ends the first. A nonce is used up by
/// the first presentation that has it; the same presentation may be shown again until it expires, so that a client can come back
/// after a lost connection.
///
/// The presentation is of the token's user where the token's claim `did` names the holder; or, without that claim, the user's id is
/// the holder's; or, where it is neither, a credential says of its subject which user it is (`userId`):
/// one of a type that the verifier asks for ([`Verifier::with_type`]), where it asks for any.
///
/// Round this belong [`Cached`](chat_core::auth::Cached) and the like, not below: they tell tokens with different presentations
/// apart.
#[derive(Debug)]
pub struct Presented<A> {
    inner: A,
    verifier: Verifier,
    nonces: Arc<dyn NonceStore>,
    challenges: Option<Challenges>,
    clock: Arc<dyn Clock>,
    holder_claim: String,
    user_claim: String,
}

impl<A: Auth> Presented<A> {
    /// How long a nonce is remembered for a presentation that never ends, which only a [`Verifier`] without a greatest age accepts.
    pub const NONCE_TIME: Duration = Duration::from_secs(366 * 24 * 3_600);
    /// Longer nonces are refused.
    pub const MAX_NONCE_BYTES: usize = 256;

    /// Asks for a presentation beside the token.
    #[must_use]
    pub fn new(inner: A, verifier: Verifier, nonces: Arc<dyn NonceStore>) -> Self {
        let (holder_claim, user_claim) = ("did".to_owned(), "userId".to_owned());
        Self {
            inner,
            verifier,
            nonces,
            challenges: None,
            clock: Arc::new(SystemClock),
            holder_claim,
            user_claim,
        }
    }

    /// With another clock than the system's.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Takes only nonces that these gave out, for presentations that say when they were made (`iat`). They have to be made, and
    /// shown for the first time, within the nonce's time. Unset, whoever presents makes the nonces.
    #[must_use]
    pub fn with_challenges(mut self, challenges: Challenges) -> Self {
        self.challenges = Some(challenges);
        self
    }

    /// The token's claim that names the holder; `did` unless set.
    #[must_use]
    pub fn with_holder_claim(mut self, name: impl Into<String>) -> Self {
        self.holder_claim = name.into();
        self
    }

    /// What a credential calls the user whom it is about; `userId` unless set.
    #[must_use]
    pub fn with_user_claim(mut self, name: impl Into<String>) -> Self {
        self.user_claim = name.into();
        self
    }

    fn is_of(&self, presentation: &Presentation, principal: &Principal) -> bool {
        let user = principal.user.as_str();
        if let Some(holder) = principal.claims.get(&self.holder_claim) {
            return *holder == presentation.holder.as_str();
        }
        if user.starts_with("did:") {
            return user == presentation.holder;
        }
        // An issuer of something else, though trusted with that, has no say in who somebody is.
        let mut asked_for =
            presentation.credentials.iter().filter(|credential| self.verifier.asks_for(credential));
        asked_for.any(|credential| match credential.says.get(&self.user_claim) {
            Some(Value::String(named)) => named == user,
            Some(Value::Number(named)) => named.to_string() == user,
            _ => false,
        })
    }

    async fn use_up(&self, presentation: &Presentation, principal: &Principal) -> Result<()> {
        let nonce = presentation.nonce.as_deref().filter(|nonce| !nonce.is_empty());
        let nonce = nonce.ok_or_else(|| refused(Reason::NoNonce))?;
        if nonce.len() > Self::MAX_NONCE_BYTES {
            return Err(refused(Reason::TooLarge).into());
        }
        let now = self.clock.now();
        if let Some(challenges) = &self.challenges {
            let (user, digest) = (&principal.user, &presentation.digest);
            let until = presentation
                .issued_at
                .and_then(|made| challenges.accepts(nonce, made, self.verifier.leeway))
                .ok_or_else(|| refused(Reason::UnknownNonce))?;
            // When it was made is what the holder says. So it has to be seen in time as well; shown again, it was.
            if now > until && !self.nonces.was_used(user, nonce, digest).await? {
                return Err(refused(Reason::UnknownNonce).into());
            }
        }
        let time = presentation.expires_at.map_or(Self::NONCE_TIME, |end| end.since(now));
        // A clock of another node may be a little behind.
        let time = time + Verifier::LEEWAY;
        if self.nonces.use_up(&principal.user, nonce, &presentation.digest, time).await? {
            Ok(())
        } else {
            Err(refused(Reason::NonceUsed).into())
        }
    }
}

fn refused(reason: Reason) -> AuthError {
    told(reason.of(Part::Presentation))
}

fn told(reject: Reject) -> AuthError {
    AuthError::Invalid(reject.as_str())
}

#[async_trait]
impl<A: Auth> Backend for Presented<A> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn health(&self) -> Result<()> {
        self.inner.health().await?;
        self.nonces.health().await
    }
}

#[async_trait]
impl<A: Auth> Auth for Presented<A> {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Principal> {
        let mut principal = self.inner.authenticate(credentials).await?;
        let text = credentials.presentation.as_ref().ok_or_else(|| refused(Reason::Missing))?;
        let presentation = self.verifier.presentation(text.expose(), self.clock.now()).map_err(told)?;
        if !self.is_of(&presentation, &principal) {
            return Err(refused(Reason::OtherUser).into());
        }
        self.use_up(&presentation, &principal).await?;
        let ends = [principal.expires_at, presentation.expires_at];
        principal.expires_at = ends.into_iter().flatten().min();
        principal.claims.insert(self.holder_claim.clone(), presentation.holder.into());
        principal.bound_to = Some(presentation.digest);
        Ok(principal)
    }

    async fn revalidate(&self, principal: &Principal) -> Result<()> {
        self.inner.revalidate(principal).await
    }
}
