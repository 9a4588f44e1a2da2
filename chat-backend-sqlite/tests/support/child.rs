//! This test binary as another process.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

const FILE: &str = "CHAT_TEST_FILE";
const SEED: &str = "CHAT_TEST_SEED";

/// Runs one ignored test of this binary in a process of its own. What it says comes over its standard error, where the
/// test runner says nothing.
pub fn start(test: &str, file: &Path, seed: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads", "1"])
        .env(FILE, file)
        .env(SEED, seed.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The file and the seed, if this is such a process.
pub fn asked() -> Option<(PathBuf, u64)> {
    let file = std::env::var_os(FILE)?;
    Some((file.into(), std::env::var(SEED).ok()?.parse().ok()?))
}
