//! Starts every example server once: it must say where it listens, answer, and end in good order.

use std::{fs, process::Command};

use anyhow::{Result, bail};

use crate::{
    process::{self, Steps, cargo},
    server::Server,
    test::EVERYTHING,
    workspace::Workspace,
};

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
            // What it keeps is kept there, and each trial begins without.
            let folder = workspace.target().join("trial").join(name);
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder)?;
            let mut command = Command::new(workspace.program(name));
            command.current_dir(&folder);
            start_and_stop(command)
        })?;
    }
    Ok(())
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
