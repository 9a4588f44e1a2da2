//! Every test there is, in the order in which failing is cheapest.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    TestOptions, install,
    process::{self, Steps, cargo},
    schemathesis, services, side_by_side,
    workspace::Workspace,
};

/// One selection of packages, targets and features for everything that runs: another would build the dependencies anew.
/// Benchmarks are not in it: as tests they would measure at full length, without optimization.
pub(crate) const EVERYTHING: [&str; 6] =
    ["--workspace", "--all-features", "--lib", "--bins", "--tests", "--examples"];

const PAGE_TESTS: &str = "examples/axum-quickstart/page/tests";
const DOCUMENT_TESTS: &str = "tests/asyncapi";
const STOMP_TESTS: &str = "tests/stomp-sockjs";
const BROWSER_TESTS: &str = "tests/e2e";
const SOCKETIO_TESTS: &str = "tests/socketio";
const SYSTEMS_TESTS: &str = "tests/systems";
const PROTOCOL_SERVER: &str = "chat-protocol-server";
const STOMP: &str = "the clients of STOMP and SockJS";
const SYSTEMS: &str = "the four systems' own clients";
pub(crate) const QUICKSTART: &str = "example-axum-quickstart";
const SOCKETIO: &str = "example-axum-socketio";
const REST_TOOLS: &str = "tools for requests from the document";
const REST: &str = "REST against its document";

/// Runs every test.
pub(crate) fn run(steps: &mut Steps, workspace: &Workspace, options: TestOptions) -> Result<()> {
    let root = &workspace.root;
    let browser = !options.no_browser;
    let mut node = PathBuf::new();
    steps.run(install::KAFKA_CLIENT, install::kafka_client)?;
    steps.run("tools for the page's tests", || {
        node = install::tools_for_the_page(browser, workspace.target())?;
        Ok(())
    })?;
    if install::npm_is_there() {
        steps.run("the protocol's AsyncAPI document", || {
            let folder = root.join(DOCUMENT_TESTS);
            npm_packages(&folder)?;
            node_tests(&node, &folder, &folder, |_| {})
        })?;
    } else {
        steps.leave_out("the protocol's AsyncAPI document", "there is no npm");
    }
    if !options.no_schemathesis {
        steps.run(REST_TOOLS, install::python)?;
    }
    steps.run("servers for the tests", services::install)?;
    // Before the tests, so that their time is their own; it also makes the servers that the later steps start.
    steps.run("build", || process::run(cargo(root, ["build"].iter().chain(&EVERYTHING))))?;
    steps.run("tests", || side_by_side::run(root, &EVERYTHING))?;
    steps.run("examples in the documentation", || {
        process::run(cargo(root, ["test", "--workspace", "--doc", "--all-features"]))
    })?;
    if install::npm_is_there() {
        steps.run(STOMP, || stomp_tests(workspace, &node))?;
    } else {
        steps.leave_out(STOMP, "there is no npm");
    }
    steps.run("the page's own tests", || node_tests(&node, &root.join(PAGE_TESTS), Path::new(""), |_| {}))?;
    if install::npm_is_there() {
        steps.run("Socket.IO's own client", || {
            let (folder, server) = (root.join(SOCKETIO_TESTS), workspace.program(SOCKETIO));
            let protocol_server = workspace.program(PROTOCOL_SERVER);
            npm_packages(&folder)?;
            node_tests(&node, &folder, &folder, |node| {
                node.env("CHAT_SOCKETIO_BIN", &server).env("CHAT_PROTOCOL_SERVER_BIN", &protocol_server);
            })
        })?;
    } else {
        steps.leave_out("Socket.IO's own client", "there is no npm");
    }
    if install::npm_is_there() {
        steps.run(SYSTEMS, || systems_tests(workspace, &node))?;
    } else {
        steps.leave_out(SYSTEMS, "there is no npm");
    }
    if options.no_schemathesis {
        steps.leave_out(REST, "--no-schemathesis");
    } else {
        steps.run(REST, || schemathesis::run(workspace, QUICKSTART))?;
    }
    if browser {
        steps.run("the page in a browser", || browser_tests(workspace, &node))
    } else {
        steps.leave_out("the page in a browser", "--no-browser");
        Ok(())
    }
}

/// What this needs and this alone, for whoever changes REST.
pub(crate) fn rest_against_its_document(steps: &mut Steps, workspace: &Workspace) -> Result<()> {
    steps.run(REST_TOOLS, install::python)?;
    steps.run("build", || process::run(cargo(&workspace.root, ["build", "--package", QUICKSTART])))?;
    steps.run(REST, || schemathesis::run(workspace, QUICKSTART))
}

/// The clients that applications use, against the transports alone.
fn stomp_tests(workspace: &Workspace, node: &Path) -> Result<()> {
    let folder = workspace.root.join(STOMP_TESTS);
    npm_packages(&folder)?;
    let server = workspace.program(PROTOCOL_SERVER);
    node_tests(node, &folder, &folder, |node| {
        node.env("CHAT_PROTOCOL_SERVER_BIN", &server);
    })
}

/// Servers that take the place of whole systems, on everything that those stand on.
fn systems_tests(workspace: &Workspace, node: &Path) -> Result<()> {
    let folder = workspace.root.join(SYSTEMS_TESTS);
    npm_packages(&folder)?;
    let postgres = services::Running::postgres(workspace)?;
    let redis = services::Running::redis(workspace)?;
    let kafka = services::Running::kafka(workspace)?;
    let programs = workspace.programs();
    node_tests(node, &folder, &folder, |node| {
        node.env(services::POSTGRES_VARIABLE, postgres.url());
        node.env(services::REDIS_VARIABLE, redis.url());
        node.env(services::KAFKA_VARIABLE, kafka.url());
        node.env("CHAT_TEST_BINARIES", &programs);
        // Each file starts servers of its own: all at once would be more than a small machine starts in time.
        node.arg("--test-concurrency=2");
    })
}

fn browser_tests(workspace: &Workspace, node: &Path) -> Result<()> {
    let folder = workspace.root.join(BROWSER_TESTS);
    npm_packages(&folder)?;
    let server = workspace.program(QUICKSTART);
    node_tests(node, &folder, &folder, |node| {
        node.env("CHAT_QUICKSTART_BIN", &server);
    })
}

/// Installs the packages that the folder's lock file names.
fn npm_packages(folder: &Path) -> Result<()> {
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(folder);
    process::run(npm)
}

/// Runs Node's own test runner on every `*.test.js` and `*.test.mjs` under `folder`. Files are named one by one: what a
/// folder's name means differs between versions of Node.
fn node_tests(
    node: &Path,
    folder: &Path,
    working_folder: &Path,
    prepare: impl FnOnce(&mut Command),
) -> Result<()> {
    let mut files = Vec::new();
    find_tests(folder, &mut files)?;
    if files.is_empty() {
        bail!("no *.test.js and no *.test.mjs in {}", folder.display());
    }
    files.sort();
    let mut node = Command::new(node);
    node.arg("--test");
    if working_folder.is_dir() {
        node.current_dir(working_folder);
    }
    prepare(&mut node);
    node.args(&files);
    process::run(node)
}

fn find_tests(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && name != "node_modules" {
            find_tests(&path, files)?;
        } else if name.ends_with(".test.js") || name.ends_with(".test.mjs") {
            files.push(path);
        }
    }
    Ok(())
}
