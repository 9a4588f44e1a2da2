//! Runs one case.

use std::{future::Future, time::Duration};

/// A case that is not done by then hangs. Far longer than any takes where the machine is idle: a busy one with a slow disk takes ten
/// times as long.
pub const DEADLINE: Duration = Duration::from_secs(180);

/// Runs a case in a runtime of its own, with real time and real threads.
///
/// # Panics
/// If the case does, or if it is not done within [`DEADLINE`].
pub fn case(name: &str, case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime {
        Ok(runtime) => {
            let done = runtime.block_on(async { tokio::time::timeout(DEADLINE, case).await });
            assert!(done.is_ok(), "{name} was not done within {DEADLINE:?}");
        }
        Err(error) => panic!("{name}: no runtime: {error}"),
    }
}
