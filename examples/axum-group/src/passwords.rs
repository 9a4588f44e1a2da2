//! Passwords: Argon2id, a few at a time, and in the same time whether or not there is an account.
//!
//! Hashes that were taken over may have other parameters: checking them takes another time until their owner has logged in once, which
//! makes them anew.

mod addresses;
#[cfg(test)]
mod tests;

use std::{sync::Arc, thread, time::Duration};

use argon2::{
    Algorithm, Argon2, Params, PasswordVerifier as _,
    password_hash::{PasswordHash, PasswordHasher as _, SaltString},
};
use chat_core::{Error, Retry};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError},
    task::spawn_blocking,
};

use self::addresses::Addresses;

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
const BUSY: Error = Error::Busy { retry_after: Duration::from_secs(1) };

/// Hashes and checks passwords. Each one takes 19 MiB and tens of milliseconds of a core, by design. Hashes that were taken over take what
/// they say, and wait for each other until there is room for it, so that no other one waits for that.
///
/// For each address one is checked at a time, so that nobody takes the places of all who were taken over by trying one of them. It is so
/// for all addresses: for which of them there is an account is nothing that a second try at the same time tells.
#[derive(Debug, Clone)]
pub(crate) struct Passwords {
    /// Of a password that nobody has: what is checked where there is no account.
    nobody: Arc<str>,
    places: Arc<Semaphore>,
    under_way: Addresses,
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
            under_way: Addresses::default(),
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
        self.work(None, None, move || hash(password.as_bytes())).await?.map_err(failed)
    }

    /// Whether it is the password of this hash, which is kept for this address; never for an account that is not there, which takes as
    /// long.
    ///
    /// # Errors
    /// [`Error::Busy`], also while another password is checked for this address.
    ///
    /// # Cancel safety
    /// A dropped call gives up its turn and the address, unless the check has begun: then when that is done.
    pub(crate) async fn verify(
        &self,
        address: &str,
        password: String,
        kept: Option<String>,
    ) -> Result<Verified, Error> {
        // What was taken over in another form lets nobody in.
        let known =
            kept.and_then(|kept| parameters(&kept).map(|(algorithm, params)| (kept, algorithm, params)));
        let is_own = |algorithm: &Algorithm, params: &Params| {
            *algorithm == Algorithm::Argon2id && cost(params) == cost(&Params::DEFAULT)
        };
        let foreign = known.as_ref().filter(|(_, algorithm, params)| !is_own(algorithm, params));
        let memory = foreign.map(|(.., params)| params.m_cost());
        let nobody = Arc::clone(&self.nobody);
        let verified = self.work(Some(address), memory, move || {
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

    /// Runs it on a thread that may block: alone for this address, and with this much memory, in KiB, for a hash that was taken over. A
    /// caller that goes away leaves it its turn: the work is done either way.
    async fn work<T: Send + 'static>(
        &self,
        address: Option<&str>,
        foreign_kib: Option<u32>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let place = place_of(&self.places)?;
        // Whatever is kept for it, and before anything that is only for some.
        let taken = address.map(|address| self.under_way.take(address).ok_or(BUSY)).transpose()?;
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
            drop((place, taken, memory, turn));
            done
        });
        done.await.map_err(failed)
    }
}

/// # Errors
/// [`Error::Busy`].
fn place_of(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Error> {
    Arc::clone(places).try_acquire_owned().map_err(|error| match error {
        TryAcquireError::NoPermits => BUSY,
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
