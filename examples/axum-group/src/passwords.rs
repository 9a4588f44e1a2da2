//! Passwords: Argon2id, a few at a time, and in the same time whether or not there is an account.
//!
//! Hashes that were taken over may have other parameters: checking them takes another time until their owner has logged in once, which
//! makes them anew.

use std::{sync::Arc, thread};

use argon2::{
    Algorithm, Argon2, Params, PasswordVerifier as _,
    password_hash::{PasswordHash, PasswordHasher as _, SaltString},
};
use chat_core::{Error, Retry};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError},
    task::spawn_blocking,
};

/// The greatest parameters of a hash that is taken over: what one login may cost.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_PASSES: u32 = 10;
const MAX_LANES: u32 = 16;
/// Memory for all hashes that were taken over and are checked at once, in KiB: one of the greatest.
const MEMORY_KIB: usize = MAX_MEMORY_KIB as usize;

/// How many may wait for their turn; more are refused as busy.
const WAITING: usize = 64;
/// How many of them may be of hashes that were taken over.
const WAITING_FOREIGN: usize = 16;
/// After so long a client may try again.
const RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// Hashes and checks passwords. Each one takes 19 MiB and tens of milliseconds of a core, by design. Hashes that were taken over take what
/// they say, and wait for each other until there is room for it, so that no other one waits for that.
#[derive(Debug, Clone)]
pub(crate) struct Passwords {
    /// Of a password that nobody has: what is checked where there is no account.
    nobody: Arc<str>,
    places: Arc<Semaphore>,
    at_work: Arc<Semaphore>,
    foreign: Arc<Semaphore>,
    /// Of those that were taken over, in KiB.
    memory: Arc<Semaphore>,
}

/// What came of checking a password.
#[derive(Debug)]
pub(crate) struct Verified {
    /// It is the account's.
    pub(crate) is_right: bool,
    /// The hash to keep from now on, where the one that is kept was made with other parameters.
    pub(crate) renewed: Option<String>,
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
            foreign: Arc::new(Semaphore::new(WAITING_FOREIGN)),
            memory: Arc::new(Semaphore::new(MEMORY_KIB)),
        })
    }

    /// The hash to keep, in PHC's form.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub(crate) async fn hash(&self, password: String) -> Result<String, Error> {
        self.work(None, move || hash(password.as_bytes())).await?.map_err(failed)
    }

    /// Whether it is the password of this hash; never for an account that is not there, which takes as long.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub(crate) async fn verify(&self, password: String, kept: Option<String>) -> Result<Verified, Error> {
        // What was taken over in another form lets nobody in.
        let known =
            kept.and_then(|kept| parameters(&kept).map(|(algorithm, params)| (kept, algorithm, params)));
        let is_own = |algorithm: &Algorithm, params: &Params| {
            *algorithm == Algorithm::Argon2id && cost(params) == cost(&Params::DEFAULT)
        };
        let foreign = known.as_ref().filter(|(_, algorithm, params)| !is_own(algorithm, params));
        let memory = foreign.map(|(.., params)| params.m_cost());
        let nobody = Arc::clone(&self.nobody);
        let verified = self.work(memory, move || {
            let Some((kept, algorithm, params)) = known else {
                is_right(&password, &nobody);
                return Ok(Verified { is_right: false, renewed: None });
            };
            if !is_right(&password, &kept) {
                return Ok(Verified { is_right: false, renewed: None });
            }
            let renewed = (!is_own(&algorithm, &params)).then(|| hash(password.as_bytes())).transpose()?;
            Ok::<_, argon2::password_hash::Error>(Verified { is_right: true, renewed })
        });
        verified.await?.map_err(failed)
    }

    /// Runs it on a thread that may block: with this much memory, in KiB, for a hash that was taken over. A caller that goes away leaves it
    /// its turn: the work is done either way.
    async fn work<T: Send + 'static>(
        &self,
        foreign_kib: Option<u32>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let place = place_of(&self.places)?;
        let memory = match foreign_kib {
            None => None,
            Some(kib) => {
                let place = place_of(&self.foreign)?;
                let memory = Arc::clone(&self.memory).acquire_many_owned(kib).await.map_err(failed)?;
                Some((place, memory))
            }
        };
        let turn = Arc::clone(&self.at_work).acquire_owned().await.map_err(failed)?;
        let done = spawn_blocking(move || {
            let done = work();
            drop((place, memory, turn));
            done
        });
        done.await.map_err(failed)
    }
}

/// # Errors
/// [`Error::Busy`].
fn place_of(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Error> {
    Arc::clone(places).try_acquire_owned().map_err(|error| match error {
        TryAcquireError::NoPermits => Error::Busy { retry_after: RETRY },
        TryAcquireError::Closed => failed(error),
    })
}

/// Whether a hash may be taken over. One that is not Argon2's may: it lets nobody in.
///
/// # Errors
/// Checking it would take more memory or time than a login may.
pub(crate) fn check(hash: &str) -> anyhow::Result<()> {
    let is_argon2 = PasswordHash::new(hash).is_ok_and(|hash| Algorithm::try_from(hash.algorithm).is_ok());
    anyhow::ensure!(
        !is_argon2 || parameters(hash).is_some(),
        "the password's hash has parameters beyond m={MAX_MEMORY_KIB},t={MAX_PASSES},p={MAX_LANES}, or none that can be read"
    );
    Ok(())
}

/// Of a hash of Argon2 within the bounds.
fn parameters(hash: &str) -> Option<(Algorithm, Params)> {
    let hash = PasswordHash::new(hash).ok()?;
    let algorithm = Algorithm::try_from(hash.algorithm).ok()?;
    let params = Params::try_from(&hash).ok()?;
    let (memory, passes, lanes, _) = cost(&params);
    (memory <= MAX_MEMORY_KIB && passes <= MAX_PASSES && lanes <= MAX_LANES).then_some((algorithm, params))
}

/// What checking costs, and how long the hash is.
fn cost(params: &Params) -> (u32, u32, u32, usize) {
    let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    (params.m_cost(), params.t_cost(), params.p_cost(), length)
}

fn is_right(password: &str, hash: &str) -> bool {
    let hash = PasswordHash::new(hash);
    hash.and_then(|hash| Argon2::default().verify_password(password.as_bytes(), &hash)).is_ok()
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
        let right = verify("correct horse", Some(&kept)).await.unwrap();
        assert!(right.is_right && right.renewed.is_none());
        assert!(!verify("correct Horse", Some(&kept)).await.unwrap().is_right);
        assert!(!verify("correct horse", None).await.unwrap().is_right);
        assert!(!verify("correct horse", Some("$2b$10$of.another.kind")).await.unwrap().is_right);
    }

    /// As another system made it.
    fn foreign(memory_kib: u32, passes: u32) -> String {
        let params = Params::new(memory_kib, passes, 2, None).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2i, argon2::Version::V0x13, params);
        let salt = SaltString::encode_b64(&[7; 16]).unwrap();
        argon2.hash_password(b"correct horse", &salt).unwrap().to_string()
    }

    #[tokio::test]
    async fn a_hash_with_other_parameters_is_renewed_by_its_password_alone() {
        let passwords = Passwords::new().unwrap();
        let kept = foreign(4_096, 3);
        let verify =
            |password: &str, kept: &str| passwords.verify(password.to_owned(), Some(kept.to_owned()));
        let wrong = verify("wrong horse", &kept).await.unwrap();
        assert!(!wrong.is_right && wrong.renewed.is_none());
        let right = verify("correct horse", &kept).await.unwrap();
        let renewed = right.renewed.unwrap();
        assert!(right.is_right && renewed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{renewed}");
        let again = verify("correct horse", &renewed).await.unwrap();
        assert!(again.is_right && again.renewed.is_none());
    }

    #[test]
    fn a_hash_that_costs_too_much_is_not_taken_over() {
        let kept = foreign(4_096, 3);
        assert!(check(&kept).is_ok() && check("$2b$10$of.another.kind").is_ok());
        for (small, great) in [("m=4096", "m=262145"), ("t=3", "t=11"), ("p=2", "p=17")] {
            assert!(check(&kept.replace(small, great)).is_err(), "{great}");
        }
    }

    #[tokio::test]
    async fn only_hashes_that_were_taken_over_wait_for_memory() {
        let passwords = Passwords::new().unwrap();
        let own = passwords.hash("correct horse".to_owned()).await.unwrap();
        let all = Arc::clone(&passwords.memory).acquire_many_owned(MAX_MEMORY_KIB).await.unwrap();
        let verify = |kept: String| {
            let passwords = passwords.clone();
            tokio::spawn(async move { passwords.verify("correct horse".to_owned(), Some(kept)).await })
        };
        let waiting: Vec<_> = (0..WAITING_FOREIGN).map(|_| verify(foreign(64, 1))).collect();
        while passwords.foreign.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(verify(foreign(64, 1)).await.unwrap(), Err(Error::Busy { .. })));
        assert!(verify(own).await.unwrap().unwrap().is_right);
        assert!(passwords.hash("another".to_owned()).await.is_ok());
        drop(all);
        for waited in waiting {
            assert!(waited.await.unwrap().unwrap().is_right);
        }
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
