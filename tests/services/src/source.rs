//! Where a server comes from, and what to say when there is none.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Error, Result, anyhow, bail};
use url::Url;

/// A server that tests can ask for.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    pub(crate) name: &'static str,
    /// Where one that runs already is.
    pub(crate) variable: &'static str,
    /// What such an address looks like.
    pub(crate) example: &'static str,
    /// Debian's packages with the programs.
    pub(crate) packages: &'static str,
}

impl Kind {
    /// The address that was given for it.
    pub(crate) fn given(self) -> Option<String> {
        env::var(self.variable).ok().filter(|address| !address.is_empty())
    }

    /// There is none, for this reason; and how to get one.
    pub(crate) fn missing(self, reason: &str) -> Error {
        let Self { name, variable, example, packages } = self;
        anyhow!(
            "no {name} for the tests: {reason}. Either install it; on Debian or Ubuntu:\n  sudo apt-get update\n  sudo \
             apt-get install --yes --no-install-recommends {packages}\nor have a Docker engine run and turn on the feature \
             `docker` of chat-test-services\nor name one that runs already:\n  export {variable}={example}"
        )
    }
}

/// Host and port of an address, such as `127.0.0.1:5432`.
pub(crate) fn address(url: &str, default_port: u16) -> Result<String> {
    let url = Url::parse(url).context("the address of a server")?;
    let host = url.host_str().context("an address without a host")?;
    Ok(format!("{host}:{}", url.port().unwrap_or(default_port)))
}

/// A new password. Letters and digits: fits into an address, a statement and a file as it is.
pub(crate) fn password() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(24).collect()
}

/// The folders of `PATH`.
pub(crate) fn path() -> Vec<PathBuf> {
    env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default()
}

/// The first folder that has all of these programs.
pub(crate) fn folder_with(programs: &[&str], folders: &[PathBuf]) -> Result<PathBuf> {
    let has_all = |folder: &&PathBuf| programs.iter().all(|program| folder.join(program).is_file());
    match folders.iter().find(has_all) {
        Some(folder) => Ok(folder.clone()),
        None => bail!("{} not found", programs.join(" and ")),
    }
}

/// The folders `parent/*/inner`, the latest version first.
pub(crate) fn versions(parent: &Path, inner: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = entries
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let digits: String = name.chars().skip_while(|c| !c.is_ascii_digit()).collect();
            let number = digits.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
            (number.parse().unwrap_or(0), entry.path().join(inner))
        })
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, folder)| folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_17_is_tried_before_9_and_15() {
        let parent = tempfile::tempdir().unwrap();
        for version in ["15", "9.6", "17", "readme"] {
            std::fs::create_dir(parent.path().join(version)).unwrap();
        }
        let folders = versions(parent.path(), "bin");
        let expected = ["17", "15", "9.6", "readme"].map(|version| parent.path().join(version).join("bin"));
        assert_eq!(folders, expected);
    }

    #[test]
    fn a_folder_needs_all_of_the_programs() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("initdb"), "").unwrap();
        let folders = [folder.path().to_owned()];
        assert!(folder_with(&["initdb"], &folders).is_ok());
        let error = folder_with(&["initdb", "postgres"], &folders).unwrap_err();
        assert_eq!(error.to_string(), "initdb and postgres not found");
    }
}
