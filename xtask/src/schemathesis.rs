//! Requests by the thousand, made from the OpenAPI document, against the quickstart server: every answer must be what the
//! document says.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{examples::alone, process, server::Server, workspace::Workspace};

const SOURCES: &str = "tests/schemathesis";
const REQUIREMENTS: &str = "requirements.txt";

/// Says in an environment what was installed into it.
const INSTALLED: &str = "installed.txt";

/// Runs it. The server is built already.
pub(crate) fn run(workspace: &Workspace, server: &str) -> Result<()> {
    let sources = workspace.root.join(SOURCES);
    let folder = workspace.target().join("schemathesis");
    let programs = environment(&sources, &folder.join("venv"))?;

    let data = folder.join("data");
    remove(&data)?;
    let mut command = Command::new(workspace.program(server));
    command.args(["--no-rate-limits", "--log", "warn", "--data"]).arg(&data);
    let server = Server::start(alone(command))?;
    let url = format!("http://{}", server.address());

    // What a run writes is of no use to the next one: its names are this server's.
    let work = folder.join("run");
    remove(&work)?;
    fs::create_dir_all(&work).with_context(|| work.display().to_string())?;
    for file in ["schemathesis.toml", "hooks.py"] {
        fs::copy(sources.join(file), work.join(file)).with_context(|| file.to_owned())?;
    }
    let mut seed = Command::new(programs.join("python"));
    seed.arg(sources.join("seed.py")).arg(&url).arg(&work);
    process::run(seed)?;

    let mut schemathesis = Command::new(programs.join("schemathesis"));
    schemathesis.args(["run", &format!("{url}/chat/openapi.json")]).current_dir(&work);
    process::run(schemathesis)?;
    server.stop()
}

/// Answers where the programs of the virtual environment are; makes it unless it is there with the same requirements.
fn environment(sources: &Path, folder: &Path) -> Result<PathBuf> {
    let programs = folder.join("bin");
    let requirements = sources.join(REQUIREMENTS);
    let wanted = fs::read_to_string(&requirements).with_context(|| requirements.display().to_string())?;
    let installed = folder.join(INSTALLED);
    if fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(programs);
    }
    remove(folder)?;
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv"]).arg(folder);
    process::run(venv)?;
    let mut pip = Command::new(programs.join("python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    pip.arg(&requirements);
    process::run(pip)?;
    // Last, so that what was broken off is made anew.
    fs::write(&installed, wanted).with_context(|| installed.display().to_string())?;
    Ok(programs)
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| folder.display().to_string())
        }
        _ => Ok(()),
    }
}
