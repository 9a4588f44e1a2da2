//! What ran, and on what.

use std::{env, fs, process::Command};

use crate::program::Programs;

/// A table of the machine and of the versions.
pub(crate) fn describe(programs: &Programs) -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1)).unwrap_or("unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes: f64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok())
        .unwrap_or(0.0);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let rows = [
        ("processor", format!("{model}, {cores} threads")),
        ("memory", format!("{:.0} GiB", kibibytes / 1_048_576.0)),
        ("kernel", kernel.trim().to_owned()),
        ("Rust", version("rustc", &["--version"])),
        ("Node.js", version("node", &["--version"])),
        ("PostgreSQL", version("psql", &["--version"])),
        ("Redis", version("redis-server", &["--version"])),
        ("Socket.IO", npm(programs, "socket.io")),
        ("NestJS", npm(programs, "@nestjs/core")),
        ("Kafka", kafka(programs)),
        ("Centrifuge library", go(programs)),
        ("Centrifugo", env::var("CENTRIFUGO").map_or("-".into(), |program| version(&program, &["version"]))),
    ];
    let mut text = "| | |\n| --- | --- |\n".to_owned();
    for (name, value) in rows {
        text += &format!("| {name} | {value} |\n");
    }
    text
}

/// What is measured: the commit, and whether anything was changed since.
pub(crate) fn commit(programs: &Programs) -> String {
    let git = |arguments: &[&str]| {
        let said = Command::new("git").arg("-C").arg(&programs.root).args(arguments).output().ok()?;
        said.status.success().then(|| String::from_utf8_lossy(&said.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return "an unknown commit".to_owned() };
    // What is written into documents meanwhile changes nothing that runs.
    let changes = git(&["status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs"]);
    if changes.is_none_or(|changes| !changes.is_empty()) { format!("{commit} and changes") } else { commit }
}

fn version(program: &str, arguments: &[&str]) -> String {
    let said = Command::new(program).args(arguments).output();
    said.ok()
        .and_then(|said| Some(String::from_utf8_lossy(&said.stdout).lines().next()?.to_owned()))
        .unwrap_or("-".into())
}

fn npm(programs: &Programs, name: &str) -> String {
    let file = programs.root.join("tests/peers/node_modules").join(name).join("package.json");
    let text = fs::read_to_string(file).unwrap_or_default();
    let package: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    package["version"].as_str().unwrap_or("-").to_owned()
}

fn kafka(programs: &Programs) -> String {
    let text = fs::read_to_string(programs.root.join("tests/services/pom.xml")).unwrap_or_default();
    let version = text.split_once("<groupId>org.apache.kafka</groupId>").and_then(|(_, rest)| {
        let (_, rest) = rest.split_once("<version>")?;
        Some(rest.split_once('<')?.0.to_owned())
    });
    version.unwrap_or("-".into())
}

fn go(programs: &Programs) -> String {
    let text = fs::read_to_string(programs.root.join("tests/peers/centrifuge/go.mod")).unwrap_or_default();
    let line = text.lines().find(|line| line.contains("centrifugal/centrifuge "));
    line.and_then(|line| line.split_whitespace().find(|word| word.starts_with('v'))).unwrap_or("-").to_owned()
}
