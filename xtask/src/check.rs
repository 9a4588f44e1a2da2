//! What can be said about the code without running it.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{
    install,
    process::{Steps, cargo, output, run as run_command},
    workspace::{Package, Workspace},
};

/// Crates that the core must never pull in: stores, web frameworks, HTTP clients. Whoever embeds the core chooses theirs.
const FOREIGN_TO_THE_CORE: [&str; 18] = [
    "actix-web",
    "axum",
    "deadpool",
    "diesel",
    "fred",
    "h2",
    "hyper",
    "libsqlite3-sys",
    "rdkafka",
    "redis",
    "reqwest",
    "rusqlite",
    "socketioxide",
    "sqlx",
    "sqlx-core",
    "tokio-tungstenite",
    "tungstenite",
    "warp",
];

/// Runs every check.
pub(crate) fn run(steps: &mut Steps, workspace: &Workspace) -> Result<()> {
    let root = &workspace.root;
    steps.run("format", || run_command(cargo(root, ["fmt", "--all", "--check"])))?;
    steps.run(install::KAFKA_CLIENT, install::kafka_client)?;
    steps.run("lints", || {
        let all = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
        run_command(cargo(root, all))
    })?;
    steps.run("documentation", || {
        let mut doc = cargo(root, ["doc", "--workspace", "--no-deps", "--all-features"]);
        doc.env("RUSTDOCFLAGS", "-D warnings");
        run_command(doc)
    })?;
    steps.run("each feature alone", || {
        workspace.libraries().try_for_each(|package| each_feature_alone(workspace, package))
    })?;
    steps.run("the core pulls in no store and no web framework", || {
        let tree = ["tree", "-p", "chat-core", "--no-default-features", "-e", "normal", "--prefix", "none"];
        core_is_free(&output(cargo(root, tree))?)
    })
}

/// Lints are errors here too: code that only one feature uses shows up as unused without it.
fn each_feature_alone(workspace: &Workspace, package: &Package) -> Result<()> {
    let without_any = std::iter::once(None);
    let features = package.features.keys().filter(|feature| *feature != "default").map(Some);
    for feature in without_any.chain(features) {
        let mut clippy: Command = cargo(&workspace.root, ["clippy", "--package", &package.name]);
        clippy.arg("--no-default-features");
        if let Some(feature) = feature {
            clippy.args(["--features", feature]);
        }
        clippy.args(["--", "-D", "warnings"]);
        run_command(clippy)?;
    }
    Ok(())
}

/// Looks for foreign crates in what `cargo tree --prefix none` printed: a name and a version per line.
fn core_is_free(tree: &str) -> Result<()> {
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    if !names.contains(&"chat-core") {
        bail!("cargo tree does not name the core itself");
    }
    let foreign: Vec<&str> = FOREIGN_TO_THE_CORE.into_iter().filter(|name| names.contains(name)).collect();
    if !foreign.is_empty() {
        bail!("chat-core depends on {}", foreign.join(", "));
    }
    println!("none of {} crates that do not belong there", FOREIGN_TO_THE_CORE.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_or_web_framework_under_the_core_is_found() {
        assert!(core_is_free("chat-core v0.1.0 (/src)\nbytes v1.10.0\n").is_ok());
        let error = core_is_free("chat-core v0.1.0 (/src)\nredis v1.0.0\nhyper v1.6.0 (*)\n").unwrap_err();
        assert_eq!(error.to_string(), "chat-core depends on hyper, redis");
    }

    #[test]
    fn a_tree_without_the_core_proves_nothing() {
        assert!(core_is_free("").is_err());
    }

    #[test]
    fn names_are_compared_whole() {
        assert!(core_is_free("chat-core v0.1.0\nhyperloglog v1.0.0\naxum-core v0.5.0\n").is_ok());
    }
}
