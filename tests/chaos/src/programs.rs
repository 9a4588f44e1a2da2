//! The servers' programs as they are at the start of a run: whoever builds meanwhile does not change what is started again.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// All that any pipeline starts.
pub(crate) const ALL: [&str; 5] = [
    "example-axum-quickstart",
    "example-axum-shop",
    "example-axum-study",
    "example-axum-group",
    "example-axum-group-worker",
];

/// A folder with them, which goes with this value.
#[derive(Debug)]
pub(crate) struct Programs(PathBuf);

impl Programs {
    /// # Errors
    /// One of them was not built.
    pub(crate) fn keep(from: &Path, folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        let kept = Self(folder);
        for name in ALL {
            let (from, to) = (from.join(name), kept.0.join(name));
            // A second name costs nothing; a copy does where the folders are on different disks.
            fs::hard_link(&from, &to)
                .or_else(|_| fs::copy(&from, &to).map(drop))
                .with_context(|| format!("{} is not there; `cargo xtask chaos` builds it", from.display()))?;
        }
        Ok(kept)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
