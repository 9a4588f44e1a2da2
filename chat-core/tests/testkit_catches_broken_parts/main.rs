//! Backends that are broken on purpose: the kit must notice each of them, and nothing where nothing is broken.
#![allow(clippy::unwrap_used, reason = "what fails here is a failing test")]

mod archive;
mod auth;
mod fanout;
mod presence;
mod rooms;
mod search;
mod unread;

/// Runs a case on a harness, and answers whether it failed by a panic.
macro_rules! panics {
    ($harness:expr, $case:path) => {{
        let harness = $harness;
        match tokio::spawn(async move { $case(&harness).await }).await {
            Ok(()) => false,
            Err(error) => {
                assert!(error.is_panic(), "{error}");
                true
            }
        }
    }};
}

/// One test per fault: the case passes without it and fails with it.
macro_rules! catches {
    ($($test:ident: $harness:ident, $fault:expr, $case:path;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                assert!(!panics!($harness::new(None), $case), "the case fails on a sound backend");
                assert!(panics!($harness::new(Some($fault)), $case), "the case does not notice the fault");
            }
        )+
    };
}

use {catches, panics};
