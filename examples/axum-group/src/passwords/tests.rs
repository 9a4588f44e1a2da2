#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

use tokio::task::{JoinHandle, yield_now};

use super::*;

const ANN: &str = "ann@example.com";
const PATIENCE: Duration = Duration::from_secs(60);

type Verifying = JoinHandle<Result<Verified, Error>>;

/// Tries the right password, beside the test.
fn verify(passwords: &Passwords, address: &str, kept: Option<String>) -> Verifying {
    let (passwords, address) = (passwords.clone(), address.to_owned());
    tokio::spawn(async move { passwords.verify(&address, "correct horse".to_owned(), kept).await })
}

/// Waits until so many places are free.
async fn free(places: &Semaphore, count: usize) {
    let freed = async {
        while places.available_permits() != count {
            yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, freed).await.unwrap();
}

fn is_busy(verified: &Result<Verified, Error>) -> bool {
    matches!(verified, Err(Error::Busy { .. }))
}

#[tokio::test]
async fn a_password_is_right_for_its_own_hash_alone() {
    let passwords = Passwords::new().unwrap();
    let kept = passwords.hash("correct horse".to_owned()).await.unwrap();
    assert!(kept.starts_with("$argon2id$") && !kept.contains("horse"));
    let verify = |password: &str, kept: Option<&str>| {
        passwords.verify(ANN, password.to_owned(), kept.map(str::to_owned))
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
        |password: &str, kept: &str| passwords.verify(ANN, password.to_owned(), Some(kept.to_owned()));
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
    let taken_over =
        |number: usize| verify(&passwords, &format!("person{number}@example.com"), Some(foreign(64, 1)));
    let waiting: Vec<_> = (0..WAITING_FOREIGN).map(taken_over).collect();
    free(&passwords.foreign, 0).await;
    assert!(is_busy(&taken_over(WAITING_FOREIGN).await.unwrap()));
    assert!(verify(&passwords, ANN, Some(own)).await.unwrap().unwrap().is_right);
    assert!(passwords.hash("another".to_owned()).await.is_ok());
    drop(all);
    for waited in waiting {
        assert!(waited.await.unwrap().unwrap().is_right);
    }
}

/// Or else whoever knows one of them keeps all others from logging in.
#[tokio::test]
async fn one_address_has_one_place_however_often_it_is_tried() {
    let passwords = Passwords::new().unwrap();
    let all = Arc::clone(&passwords.memory).acquire_many_owned(MAX_MEMORY_KIB).await.unwrap();
    let tried: Vec<_> = (0..WAITING_FOREIGN).map(|_| verify(&passwords, ANN, Some(foreign(64, 1)))).collect();
    let other = verify(&passwords, "bob@example.com", Some(foreign(64, 1)));
    free(&passwords.foreign, WAITING_FOREIGN - 2).await;
    drop(all);
    assert!(other.await.unwrap().unwrap().is_right);
    let mut checked = 0;
    for tried in tried {
        let tried = tried.await.unwrap();
        checked += usize::from(tried.as_ref().is_ok_and(|verified| verified.is_right));
        assert!(tried.is_ok() || is_busy(&tried), "{tried:?}");
    }
    assert_eq!(checked, 1);
}

#[tokio::test]
async fn two_tries_at_once_tell_nothing_of_whether_there_is_an_account() {
    let passwords = Passwords::new().unwrap();
    let own = passwords.hash("correct horse".to_owned()).await.unwrap();
    let cores = passwords.at_work.available_permits();
    let places = passwords.places.available_permits();
    for kept in [None, Some(own), Some(foreign(64, 1)), Some("$2b$10$of.another.kind".to_owned())] {
        let all = passwords.at_work.acquire_many(u32::try_from(cores).unwrap()).await.unwrap();
        let first = verify(&passwords, ANN, kept.clone());
        free(&passwords.places, places - 1).await;
        assert!(is_busy(&verify(&passwords, ANN, kept.clone()).await.unwrap()), "{kept:?}");
        // A client that goes away while it waits leaves the address to others.
        first.abort();
        free(&passwords.places, places).await;
        let second = verify(&passwords, ANN, kept.clone());
        free(&passwords.places, places - 1).await;
        drop(all);
        assert!(second.await.unwrap().is_ok(), "{kept:?}");
        assert!(verify(&passwords, ANN, kept).await.unwrap().is_ok());
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
