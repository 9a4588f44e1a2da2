//! Starts every example server once: it must say where it listens, answer, and end in good order.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Result, bail};

use crate::{
    process::{self, Steps, cargo},
    server::Server,
    services::{self, Postgres},
    test::{EVERYTHING, QUICKSTART},
    workspace::Workspace,
};

/// Where the quickstart keeps everything, if it is set.
pub(crate) const DATABASE: &str = "DATABASE_URL";
/// What is live between its processes, if it is set.
pub(crate) const REDIS: &str = "REDIS_URL";

/// Builds and tries every example server.
pub(crate) fn run(steps: &mut Steps, workspace: &Workspace) -> Result<()> {
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
            command.current_dir(fresh_folder(workspace, name)?).env_remove(DATABASE).env_remove(REDIS);
            start_and_stop(command)
        })?;
    }
    steps.run("PostgreSQL for the examples", services::install_postgres)?;
    steps.run(&format!("start and stop {QUICKSTART} on PostgreSQL"), || {
        let postgres = Postgres::start(workspace)?;
        let mut command = Command::new(workspace.program(QUICKSTART));
        command.current_dir(fresh_folder(workspace, QUICKSTART)?);
        // A server that was given keeps the schema: its name says what it is of.
        command.args(["--schema", "chat_trial"]).env(DATABASE, postgres.url()).env_remove(REDIS);
        start_and_stop(command)
    })
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
