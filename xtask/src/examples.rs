//! Starts every example server once: it must say where it listens, answer, and end in good order.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Result, bail};

use crate::{
    install,
    process::{self, Steps, cargo},
    server::Server,
    services::{self, Running},
    test::{EVERYTHING, QUICKSTART},
    workspace::Workspace,
};

/// Says something once, and listens nowhere.
const CUSTOM_BACKEND: &str = "example-custom-backend";
/// Where the quickstart keeps everything, if it is set.
const DATABASE: &str = "DATABASE_URL";
/// What is live between its processes, if it is set.
const REDIS: &str = "REDIS_URL";
/// Whether Redis answers what is sent.
const HOT_LOG: &str = "HOT_LOG";

/// Builds and tries every example server.
pub(crate) fn run(steps: &mut Steps, workspace: &Workspace) -> Result<()> {
    steps.run(install::KAFKA_CLIENT, install::kafka_client)?;
    steps.run("build of the examples", || {
        process::run(cargo(&workspace.root, ["build"].iter().chain(&EVERYTHING)))
    })?;
    let servers: Vec<&str> = workspace.example_servers().collect();
    if servers.is_empty() {
        bail!("there are no examples");
    }
    for name in servers {
        steps.run(&format!("start and stop {name}"), || {
            let mut command = Command::new(workspace.program(name));
            command.current_dir(fresh_folder(workspace, name)?);
            start_and_stop(alone(command))
        })?;
    }
    steps.run(&format!("run {CUSTOM_BACKEND} twice on one file"), || custom_backend(workspace))?;
    steps.run("PostgreSQL and Redis for the examples", services::install_for_examples)?;
    steps.run(&format!("start and stop {QUICKSTART} on PostgreSQL"), || {
        let postgres = Running::postgres(workspace)?;
        start_and_stop(on_postgres(workspace, &postgres)?)
    })?;
    steps.run(
        &format!("start and stop {QUICKSTART} on PostgreSQL and Redis, with and without a hot log"),
        || {
            let (postgres, redis) = (Running::postgres(workspace)?, Running::redis(workspace)?);
            for hot_log in ["false", "true"] {
                let mut command = on_postgres(workspace, &postgres)?;
                command.args(["--redis-prefix", "chat_trial"]).env(REDIS, redis.url()).env(HOT_LOG, hot_log);
                start_and_stop(command)?;
            }
            Ok(())
        },
    )
}

/// The second run finds what the first one stored.
fn custom_backend(workspace: &Workspace) -> Result<()> {
    let folder = fresh_folder(workspace, CUSTOM_BACKEND)?;
    for run in 1..=2 {
        let mut command = Command::new(workspace.program(CUSTOM_BACKEND));
        command.current_dir(&folder).arg("chat.jsonl");
        let said = process::output(command)?;
        print!("{said}");
        // The first entry says that somebody came.
        let number = run + 1;
        let expected = format!("stored as number {number}; sent again, it is number {number}");
        if !said.starts_with(&expected) || said.lines().count() != 1 + run {
            bail!("run {run} did not say: {expected}");
        }
    }
    Ok(())
}

/// Without what is set for somebody else's sake.
pub(crate) fn alone(mut command: Command) -> Command {
    for variable in [DATABASE, REDIS, HOT_LOG] {
        command.env_remove(variable);
    }
    command
}

fn on_postgres(workspace: &Workspace, postgres: &Running) -> Result<Command> {
    let mut command = alone(Command::new(workspace.program(QUICKSTART)));
    command.current_dir(fresh_folder(workspace, QUICKSTART)?);
    // A server that was given keeps the schema: its name says what it is of.
    command.args(["--schema", "chat_trial"]).env(DATABASE, postgres.url());
    Ok(command)
}

/// What a server keeps is kept there, and each trial begins without.
fn fresh_folder(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let folder = workspace.target().join("trial").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn start_and_stop(command: Command) -> Result<()> {
    let server = Server::start(command)?;
    let status = server.get_status("/chat/health")?;
    if status != "HTTP/1.1 200 OK" {
        bail!("GET /chat/health: {status}");
    }
    println!("GET /chat/health: {status}");
    server.stop()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_server_that_ends_at_once_fails() {
        let error = start_and_stop(shell("echo nothing to say")).unwrap_err();
        assert!(error.to_string().contains("ended without a line"), "{error}");
    }

    #[test]
    fn a_server_that_listens_nowhere_fails() {
        // Port 1 is reserved and nothing listens there.
        let error = start_and_stop(shell("echo listening on http://127.0.0.1:1; exec sleep 5")).unwrap_err();
        assert_eq!(error.to_string(), "127.0.0.1:1");
    }
}
