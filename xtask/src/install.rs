//! What is needed beside Rust: to build, a C++ compiler and CMake; for some tests Node.js, npm, Chromium, Python.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use crate::process;

/// The oldest Node.js that the browser's driver (playwright-core) runs on.
const NODE_MAJOR: u32 = 20;

/// The Node.js that is fetched where the system's own is older, as Debian 12's is: npm's package `node`.
const NODE_FROM_NPM: &str = "node@22.23.3";

/// Debian's packages, by the program we look for.
const NODE: Tool = Tool { program: "node", package: "nodejs" };
const NPM: Tool = Tool { program: "npm", package: "npm" };
const CHROMIUM: Tool = Tool { program: "chromium", package: "chromium" };
/// Reads the quickstart's file as somebody else would.
const SQLITE: Tool = Tool { program: "sqlite3", package: "sqlite3" };
/// Debian has what makes virtual environments in a package apart from `python3` itself.
const VENV: &str = "python3-venv";

/// The step that looks for them.
pub(crate) const KAFKA_CLIENT: &str = "what builds the client of Kafka";

/// What builds librdkafka, and the headers that it wants; nothing of curl is linked.
const KAFKA_CLIENT_PROGRAMS: [Tool; 4] = [
    Tool { program: "cc", package: "gcc" },
    Tool { program: "c++", package: "g++" },
    Tool { program: "cmake", package: "cmake" },
    Tool { program: "pkg-config", package: "pkg-config" },
];
const KAFKA_CLIENT_HEADERS: [(&str, &str); 4] = [
    ("openssl/ssl.h", "libssl-dev"),
    ("zstd.h", "libzstd-dev"),
    ("zlib.h", "zlib1g-dev"),
    ("curl/curl.h", "libcurl4-openssl-dev"),
];

#[derive(Debug, Clone, Copy)]
struct Tool {
    program: &'static str,
    package: &'static str,
}

impl Tool {
    fn is_there(self) -> bool {
        is_there(self.program)
    }
}

/// Whether a program is on the path.
pub(crate) fn is_there(program: &str) -> bool {
    let paths = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&paths).any(|folder| folder.join(program).is_file())
}

/// Sees to it that the tools are there: installs them where that is ours to do, else says how. Answers which Node.js to
/// use; one that had to be fetched is under `target`.
pub(crate) fn tools_for_the_page(browser: bool, target: &Path) -> Result<PathBuf> {
    let needed: &[Tool] = if browser { &[NODE, NPM, CHROMIUM, SQLITE] } else { &[NODE] };
    install_missing(needed, "Or leave out what needs a browser: cargo xtask test --no-browser")?;
    let node = node(target)?;
    println!("node: {}", version(&node)?);
    for tool in &needed[1..] {
        println!("{}: {}", tool.program, version(tool.program)?);
    }
    Ok(node)
}

fn node(target: &Path) -> Result<PathBuf> {
    if is_new_enough(&version(NODE.program)?) {
        return Ok(NODE.program.into());
    }
    let folder = target.join("node");
    let fetched = folder.join("node_modules/.bin/node");
    if !version(&fetched).is_ok_and(|version| is_new_enough(&version)) {
        install_missing(&[NPM], &format!("Or have Node.js {NODE_MAJOR} or later as `node`"))?;
        fs::create_dir_all(&folder)?;
        let mut npm = command("npm", &["install", "--no-save", "--no-audit", "--no-fund", NODE_FROM_NPM]);
        npm.arg("--prefix").arg(&folder);
        process::run(npm)?;
    }
    let version = version(&fetched)?;
    if !is_new_enough(&version) {
        bail!("Node.js {NODE_MAJOR} or later is needed, this is {version}");
    }
    Ok(fetched)
}

/// Sees to it that Python can make virtual environments.
pub(crate) fn python() -> Result<()> {
    let can =
        |module: &str| process::output(command("python3", &["-c", &format!("import {module}")])).is_ok();
    if !(can("venv") && can("ensurepip")) {
        packages(&["python3", VENV], "Or leave it out: cargo xtask test --no-schemathesis")?;
    }
    println!("python3: {}", version("python3")?);
    Ok(())
}

/// Always so with a browser; without one it is taken where it is.
pub(crate) fn npm_is_there() -> bool {
    NPM.is_there()
}

/// Sees to it that the client of Kafka can be built.
pub(crate) fn kafka_client() -> Result<()> {
    let programs = KAFKA_CLIENT_PROGRAMS.iter().filter(|tool| !tool.is_there()).map(|tool| tool.package);
    let headers = KAFKA_CLIENT_HEADERS.iter().filter(|(header, _)| !has_header(header));
    let missing: Vec<&str> = programs.chain(headers.map(|(_, package)| *package)).collect();
    if missing.is_empty() {
        Ok(())
    } else {
        packages(&missing, "Nothing that uses Kafka can be built without them")
    }
}

/// Whether a C compiler finds a header: the folders differ between machines.
fn has_header(header: &str) -> bool {
    let includes = format!("printf '#include <{header}>' | cc -fsyntax-only -xc -");
    process::output(command("sh", &["-c", &format!("{includes} 2>&1")])).is_ok()
}

fn install_missing(tools: &[Tool], otherwise: &str) -> Result<()> {
    let missing: Vec<&str> = tools.iter().filter(|tool| !tool.is_there()).map(|tool| tool.package).collect();
    if missing.is_empty() { Ok(()) } else { packages(&missing, otherwise) }
}

/// Installs Debian's packages where that is ours to do, else says how, and what to do otherwise.
pub(crate) fn packages(packages: &[&str], otherwise: &str) -> Result<()> {
    let packages = packages.join(" ");
    let root = process::output(command("id", &["-u"])).is_ok_and(|id| id.trim() == "0");
    let in_ci = env::var("CI").is_ok_and(|ci| ci == "true");
    if !is_debian() || !(root || in_ci) {
        bail!(
            "missing: {packages}. On Debian or Ubuntu:\n  sudo apt-get update\n  sudo apt-get install --yes \
             --no-install-recommends {packages}\n{otherwise}"
        );
    }
    let sudo = if root { "" } else { "sudo " };
    let apt_get = format!("{sudo}env DEBIAN_FRONTEND=noninteractive apt-get");
    process::run(command("sh", &["-c", &format!("{apt_get} update")]))?;
    let install = format!("{apt_get} install --yes --no-install-recommends {packages}");
    process::run(command("sh", &["-c", &install]))
}

/// The first of these packages that the system's lists have; the last one if they have none.
pub(crate) fn first_known(names: &[&'static str]) -> &'static str {
    let known = |name: &&&str| process::output(command("apt-cache", &["show", name])).is_ok();
    names.iter().find(known).or(names.last()).copied().unwrap_or_default()
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

fn version(program: impl AsRef<Path>) -> Result<String> {
    let mut command = Command::new(program.as_ref());
    command.arg("--version");
    Ok(process::output(command)?.trim().to_owned())
}

/// Takes what `node --version` says, such as `v20.11.1`.
fn is_new_enough(version: &str) -> bool {
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    major.is_some_and(|major| major >= NODE_MAJOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_12s_node_is_too_old_and_the_next_one_is_not() {
        assert!(!is_new_enough("v18.20.4"));
        assert!(is_new_enough("v20.19.2"));
        assert!(is_new_enough("v22.1.0"));
        assert!(!is_new_enough(""));
    }

    #[test]
    fn a_header_is_looked_for_where_the_compiler_does() {
        assert!(!is_there("cc") || has_header("stdio.h"));
        assert!(!has_header("no/such/header.h"));
    }

    #[test]
    fn a_program_is_looked_for_on_the_path() {
        assert!(Tool { program: "sh", package: "dash" }.is_there());
        assert!(!Tool { program: "no-such-program", package: "none" }.is_there());
    }
}
