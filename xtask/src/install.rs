//! What the tests of the page need beside Rust: Node.js, npm, Chromium.

use std::{env, fs, process::Command};

use anyhow::{Result, bail};

use crate::process;

/// The oldest Node.js whose test runner we use.
const NODE_MAJOR: u32 = 18;

/// Debian's packages, by the program we look for.
const NODE: Tool = Tool { program: "node", package: "nodejs" };
const NPM: Tool = Tool { program: "npm", package: "npm" };
const CHROMIUM: Tool = Tool { program: "chromium", package: "chromium" };

#[derive(Debug, Clone, Copy)]
struct Tool {
    program: &'static str,
    package: &'static str,
}

impl Tool {
    fn is_there(self) -> bool {
        let paths = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&paths).any(|folder| folder.join(self.program).is_file())
    }
}

/// Sees to it that the tools are there: installs them where that is ours to do, else says how.
pub(crate) fn tools_for_the_page(browser: bool) -> Result<()> {
    let needed: &[Tool] = if browser { &[NODE, NPM, CHROMIUM] } else { &[NODE] };
    let missing: Vec<&str> = needed.iter().filter(|tool| !tool.is_there()).map(|tool| tool.package).collect();
    if !missing.is_empty() {
        install(&missing)?;
    }
    check_node_version(&process::output(command("node", &["--version"]))?)?;
    for tool in needed {
        println!("{}: {}", tool.program, process::output(command(tool.program, &["--version"]))?.trim());
    }
    Ok(())
}

/// Always so with a browser; without one it is taken where it is.
pub(crate) fn npm_is_there() -> bool {
    NPM.is_there()
}

fn install(packages: &[&str]) -> Result<()> {
    let packages = packages.join(" ");
    let root = process::output(command("id", &["-u"])).is_ok_and(|id| id.trim() == "0");
    let in_ci = env::var("CI").is_ok_and(|ci| ci == "true");
    if !is_debian() || !(root || in_ci) {
        bail!(
            "missing: {packages}. On Debian or Ubuntu:\n  sudo apt-get update\n  sudo apt-get install --yes \
             --no-install-recommends {packages}\nOr leave out what needs a browser: cargo xtask test --no-browser"
        );
    }
    let sudo = if root { "" } else { "sudo " };
    let apt_get = format!("{sudo}env DEBIAN_FRONTEND=noninteractive apt-get");
    process::run(command("sh", &["-c", &format!("{apt_get} update")]))?;
    let install = format!("{apt_get} install --yes --no-install-recommends {packages}");
    process::run(command("sh", &["-c", &install]))
}

fn is_debian() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    release.lines().any(|line| {
        line.strip_prefix("ID=")
            .or_else(|| line.strip_prefix("ID_LIKE="))
            .is_some_and(|ids| ids.trim_matches('"').split(' ').any(|id| matches!(id, "debian" | "ubuntu")))
    })
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// Takes what `node --version` says, such as `v20.11.1`.
fn check_node_version(version: &str) -> Result<()> {
    let version = version.trim();
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    match major {
        Some(major) if major >= NODE_MAJOR => Ok(()),
        _ => bail!("Node.js {NODE_MAJOR} or later is needed, this is {version}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_node_is_refused_by_name() {
        assert!(check_node_version("v18.20.4\n").is_ok());
        assert!(check_node_version("v22.1.0").is_ok());
        let error = check_node_version("v16.9.0\n").unwrap_err();
        assert_eq!(error.to_string(), "Node.js 18 or later is needed, this is v16.9.0");
        assert!(check_node_version("").is_err());
    }

    #[test]
    fn a_program_is_looked_for_on_the_path() {
        assert!(Tool { program: "sh", package: "dash" }.is_there());
        assert!(!Tool { program: "no-such-program", package: "none" }.is_there());
    }
}
