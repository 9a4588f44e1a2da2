//! Passwords: Argon2id, a few at a time, and in the same time whether or not there is an account.

use std::{sync::Arc, thread};

use argon2::{
    Argon2, PasswordVerifier as _,
    password_hash::{PasswordHash, PasswordHasher as _, SaltString},
};
use chat_core::{Error, Retry};
use tokio::{
    sync::{Semaphore, TryAcquireError},
    task::spawn_blocking,
};

/// How many may wait for their turn; more are refused as busy.
const WAITING: usize = 64;
/// After so long a client may try again.
const RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// Hashes and checks passwords. Each one takes 19 MiB and tens of milliseconds of a core, by design.
#[derive(Debug, Clone)]
pub(crate) struct Passwords {
    /// Of a password that nobody has: what is checked where there is no account.
    nobody: Arc<str>,
    places: Arc<Semaphore>,
    at_work: Arc<Semaphore>,
}

impl Passwords {
    /// # Errors
    /// The system has no random numbers.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            nobody: hash(&secret).map_err(failed)?.into(),
            places: Arc::new(Semaphore::new(cores + WAITING)),
            at_work: Arc::new(Semaphore::new(cores)),
        })
    }

    /// The hash to keep, in PHC's form.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub(crate) async fn hash(&self, password: String) -> Result<String, Error> {
        self.work(move || hash(password.as_bytes())).await?.map_err(failed)
    }

    /// Whether it is the password of this hash; never for an account that is not there, which takes as long.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub(crate) async fn verify(&self, password: String, kept: Option<String>) -> Result<bool, Error> {
        let is_known = kept.is_some();
        let kept = kept.unwrap_or_else(|| self.nobody.to_string());
        let nobody = Arc::clone(&self.nobody);
        let is_right = self.work(move || {
            let verify = |hash: &str| {
                PasswordHash::new(hash)
                    .and_then(|hash| Argon2::default().verify_password(password.as_bytes(), &hash))
            };
            match PasswordHash::new(&kept) {
                Ok(_) => verify(&kept).is_ok(),
                // What was taken over in another form lets nobody in.
                Err(_) => {
                    let _ = verify(&nobody);
                    false
                }
            }
        });
        Ok(is_right.await? && is_known)
    }

    /// Runs it on a thread that may block. A caller that goes away leaves it its turn: the work is done either way.
    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|error| match error {
            TryAcquireError::NoPermits => Error::Busy { retry_after: RETRY },
            TryAcquireError::Closed => failed(error),
        })?;
        let turn = Arc::clone(&self.at_work).acquire_owned().await.map_err(failed)?;
        let done = spawn_blocking(move || {
            let done = work();
            drop((place, turn));
            done
        });
        done.await.map_err(failed)
    }
}

fn hash(password: &[u8]) -> Result<String, argon2::password_hash::Error> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|_| argon2::password_hash::Error::Crypto)?;
    let salt = SaltString::encode_b64(&salt)?;
    Ok(Argon2::default().hash_password(password, &salt)?.to_string())
}

/// Of what has no detail that a client might use.
fn failed(error: impl std::fmt::Display) -> Error {
    Error::backend("passwords", "hash", Retry::Never, std::io::Error::other(error.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

    use super::*;

    #[tokio::test]
    async fn a_password_is_right_for_its_own_hash_alone() {
        let passwords = Passwords::new().unwrap();
        let kept = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(kept.starts_with("$argon2id$") && !kept.contains("horse"));
        let verify = |password: &str, kept: Option<&str>| {
            passwords.verify(password.to_owned(), kept.map(str::to_owned))
        };
        assert!(verify("correct horse", Some(&kept)).await.unwrap());
        assert!(!verify("correct Horse", Some(&kept)).await.unwrap());
        assert!(!verify("correct horse", None).await.unwrap());
        assert!(!verify("correct horse", Some("$2b$10$of.another.kind")).await.unwrap());
    }

    #[tokio::test]
    async fn more_than_may_wait_are_refused_as_busy() {
        let mut passwords = Passwords::new().unwrap();
        passwords.places = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&passwords.places).try_acquire_owned().unwrap();
        assert!(matches!(passwords.hash("x".to_owned()).await, Err(Error::Busy { .. })));
        drop(place);
        assert!(passwords.hash("x".to_owned()).await.is_ok());
    }
}
