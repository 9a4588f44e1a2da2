//! The packages of this workspace, as Cargo sees them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;

/// The members and where they are built.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    target: PathBuf,
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

/// One member.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) features: BTreeMap<String, Vec<String>>,
    targets: Vec<Target>,
    /// Where it may be published; empty means nowhere, absent means anywhere.
    publish: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Package {
    fn has(&self, kind: &str) -> bool {
        self.targets.iter().any(|target| target.is(kind))
    }
}

impl Target {
    fn is(&self, kind: &str) -> bool {
        self.kind.iter().any(|have| have == kind)
    }
}

/// Examples that listen nowhere, or have settings without which they do not start. Their own tests start them, or the examples' check
/// does.
const NOT_ALONE: [&str; 7] = [
    "example-axum-group",
    "example-axum-group-worker",
    "example-axum-shop",
    "example-axum-study",
    "example-axum-verified",
    "example-custom-backend",
    "example-kafka-worker",
];

impl Workspace {
    pub(crate) fn load() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent folder")?;
        let text = process::output(process::cargo(root, ["metadata", "--no-deps", "--format-version", "1"]))?;
        let metadata: Metadata = serde_json::from_str(&text).context("the answer of cargo metadata")?;
        let mut packages = metadata.packages;
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { root: root.to_owned(), target: metadata.target_directory, packages })
    }

    /// What we publish: the crates that others build on.
    pub(crate) fn libraries(&self) -> impl Iterator<Item = &Package> {
        let published = |package: &&Package| !package.publish.as_ref().is_some_and(Vec::is_empty);
        self.packages.iter().filter(published).filter(|package| package.has("lib"))
    }

    /// The example servers, by the name of their program.
    pub(crate) fn example_servers(&self) -> impl Iterator<Item = &str> {
        let examples = self.packages.iter().filter(|package| package.name.starts_with("example-"));
        let targets = examples.flat_map(|package| &package.targets);
        let programs = targets.filter(|target| target.is("bin")).map(|target| target.name.as_str());
        programs.filter(|name| !NOT_ALONE.contains(name))
    }

    /// Where everything that is made goes.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// The folder of the debug builds of all programs.
    pub(crate) fn programs(&self) -> PathBuf {
        self.target.join("debug")
    }

    /// The folder of the optimised builds, with the symbols that a profile needs.
    pub(crate) fn optimised(&self) -> PathBuf {
        self.target.join("release")
    }

    /// The debug build of a program.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs().join(name)
    }
}
