//! The servers that tests use: their programs, and leaving them running.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, Error, Result, bail};

use crate::{install, process, workspace::Workspace};

/// A server that some test asks for.
#[derive(Debug)]
struct Service {
    name: &'static str,
    /// Where one that runs already is; then nothing has to be installed. None: the tests always start their own.
    variable: Option<&'static str>,
    is_there: fn() -> bool,
    packages: fn() -> Vec<&'static str>,
}

pub(crate) const POSTGRES_VARIABLE: &str = "CHAT_TEST_POSTGRES_URL";
pub(crate) const REDIS_VARIABLE: &str = "CHAT_TEST_REDIS_URL";
pub(crate) const KAFKA_VARIABLE: &str = "CHAT_TEST_KAFKA_URL";

/// What Kafka runs on: Java 17 or later. Which of them there are differs between releases of Debian and Ubuntu.
const JAVA: [&str; 3] = ["openjdk-17-jre-headless", "openjdk-21-jre-headless", "default-jre-headless"];

/// Debian's packages also start servers of their own, on ports 5432 and 6432. The tests leave them alone.
const SERVICES: [Service; 4] = [
    Service {
        name: "PostgreSQL",
        variable: Some(POSTGRES_VARIABLE),
        is_there: has_postgres,
        packages: || vec!["postgresql"],
    },
    Service {
        name: "PgBouncer, which stands in front of PostgreSQL",
        variable: None,
        is_there: || install::is_there("pgbouncer") || Path::new("/usr/sbin/pgbouncer").is_file(),
        packages: || vec!["pgbouncer"],
    },
    Service {
        name: "Redis",
        variable: Some(REDIS_VARIABLE),
        is_there: || install::is_there("redis-server") || install::is_there("valkey-server"),
        packages: || vec!["redis-server"],
    },
    Service {
        name: "Java and Maven, for Kafka",
        variable: Some(KAFKA_VARIABLE),
        is_there: || install::is_there("mvn") && java_is_recent(),
        packages: || vec![install::first_known(&JAVA), "maven"],
    },
];

/// Sees to it that the servers' programs are there.
pub(crate) fn install() -> Result<()> {
    SERVICES.iter().try_for_each(Service::install)
}

/// As [`install()`], for what the examples use.
pub(crate) fn install_for_examples() -> Result<()> {
    let is_used =
        |service: &&Service| [Some(POSTGRES_VARIABLE), Some(REDIS_VARIABLE)].contains(&service.variable);
    SERVICES.iter().filter(is_used).try_for_each(Service::install)
}

impl Service {
    fn install(&self) -> Result<()> {
        let Self { name, variable, .. } = self;
        if let Some(variable) = variable
            && env::var_os(variable).is_some_and(|address| !address.is_empty())
        {
            println!("{name}: the one at {variable}");
            return Ok(());
        }
        if !(self.is_there)() {
            let otherwise = variable.map(|variable| format!("Or name a server that runs: {variable}=…"));
            install::packages(&(self.packages)(), &otherwise.unwrap_or_default())?;
        }
        println!("{name}: installed");
        Ok(())
    }
}

/// Starts them and leaves them running. Ctrl-C is for the servers' program alone: we become it.
pub(crate) fn up(workspace: &Workspace, names: &[String]) -> Result<()> {
    let mut run =
        process::cargo(&workspace.root, ["run", "--quiet", "--package", "chat-test-services", "--"]);
    Err(Error::from(run.args(names).exec()).context("cargo run could not be started"))
}

/// A server while it is needed.
#[derive(Debug)]
pub(crate) struct Running {
    url: String,
    /// None where the server was given. Its output is kept open: it has more to say.
    program: Option<(Child, BufReader<ChildStdout>)>,
}

impl Running {
    /// A PostgreSQL: the one that was given, or a new one. The servers' program is built already.
    pub(crate) fn postgres(workspace: &Workspace) -> Result<Self> {
        Self::start(workspace, "postgres", POSTGRES_VARIABLE)
    }

    /// A Redis, likewise.
    pub(crate) fn redis(workspace: &Workspace) -> Result<Self> {
        Self::start(workspace, "redis", REDIS_VARIABLE)
    }

    /// A Kafka, likewise.
    pub(crate) fn kafka(workspace: &Workspace) -> Result<Self> {
        Self::start(workspace, "kafka", KAFKA_VARIABLE)
    }

    fn start(workspace: &Workspace, name: &str, variable: &str) -> Result<Self> {
        if let Some(url) = env::var(variable).ok().filter(|url| !url.is_empty()) {
            return Ok(Self { url, program: None });
        }
        let mut command = Command::new(workspace.program("chat-test-services"));
        let mut child = command.arg(name).stdout(Stdio::piped()).spawn().context("chat-test-services")?;
        let mut output = BufReader::new(child.stdout.take().context("no standard output")?);
        let mut running = Self { url: String::new(), program: None };
        let mut line = String::new();
        let read = output.read_line(&mut line);
        // From now on it ends with this value.
        running.program = Some((child, output));
        read?;
        match line.trim_end().strip_prefix(&format!("export {variable}=")) {
            Some(url) => url.clone_into(&mut running.url),
            None => bail!("chat-test-services did not say where {name} is"),
        }
        Ok(running)
    }

    /// Its address, with a password.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some((program, _)) = &mut self.program {
            // The server goes with its program, however that ends.
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

/// Debian keeps each version in a folder of its own, outside of `PATH`.
fn has_postgres() -> bool {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    install::is_there("initdb") || versions.map(|version| version.path()).any(|path| has_initdb(&path))
}

fn has_initdb(version: &Path) -> bool {
    version.join("bin/initdb").is_file()
}

/// The version stands between the first quotation marks: `openjdk version "17.0.15" …`.
fn java_is_recent() -> bool {
    let Ok(output) = Command::new("java").arg("-version").output() else { return false };
    let said = String::from_utf8_lossy(&output.stderr);
    let major =
        said.split('"').nth(1).and_then(|version| version.split(['.', '-', '+']).next()?.parse::<u32>().ok());
    major.is_some_and(|major| major >= 17)
}
