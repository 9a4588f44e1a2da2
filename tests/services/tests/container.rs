//! Servers in containers, where a Docker engine answers. The tests of each server run over them too.
#![cfg(feature = "docker")]

use std::{
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use anyhow::{Context as _, Result};
use chat_test_services::{
    Postgres, Redis,
    images::{Image, POSTGRES, REDIS},
};
use url::Url;

fn docker(arguments: &[&str]) -> bool {
    let mut docker = Command::new("docker");
    docker.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    docker.status().is_ok_and(|status| status.success())
}

/// Whether Docker has to be used: it answers, needs no network for the image, and its ports are this machine's.
fn is_usable(image: Image) -> bool {
    let is_here = std::env::var("DOCKER_HOST").map_or(true, |host| host.starts_with("unix:"));
    is_here && !in_container_of_its_own() && docker(&["image", "inspect", &image.to_string()])
}

fn in_container_of_its_own() -> bool {
    Path::new("/.dockerenv").exists() && !is_beside_the_engine()
}

fn is_beside_the_engine() -> bool {
    let engine = Command::new("docker").args(["info", "--format", "{{.Name}}"]).output();
    let name = std::fs::read("/proc/sys/kernel/hostname").unwrap_or_default();
    engine.is_ok_and(|output| output.stdout.trim_ascii() == name.trim_ascii())
}

#[tokio::test]
async fn servers_are_in_containers_where_docker_has_their_images() -> Result<()> {
    let (postgres, redis) = (Postgres::private().await?, Redis::private().await?);
    if is_usable(POSTGRES) {
        assert!(postgres.container().is_some(), "{postgres:?}");
    }
    if is_usable(REDIS) {
        assert!(redis.container().is_some(), "{redis:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_container_is_removed_with_its_value_whatever_state_it_is_in() -> Result<()> {
    for state in ["running", "paused", "stopped"] {
        let server = Redis::private().await?;
        let Some(container) = server.container().map(str::to_owned) else { return Ok(()) };
        assert!(docker(&["container", "inspect", &container]));
        match state {
            "paused" => server.pause().await?,
            "stopped" => server.stop().await?,
            _ => {}
        }
        drop(server);
        assert!(!docker(&["container", "inspect", &container]), "{container} is left, {state}");
    }
    Ok(())
}

/// Started by the test below, in a process of its own.
#[tokio::test]
#[ignore = "needs an engine that does not answer"]
async fn starts_two_servers() {
    for _ in 0..2 {
        // Where Redis is not installed either there is none; what counts is who was asked.
        let started = Redis::private().await;
        assert!(started.is_err() || started.is_ok_and(|server| server.container().is_none()));
    }
}

#[test]
fn an_engine_that_does_not_answer_is_asked_once() -> Result<()> {
    let engine = TcpListener::bind("127.0.0.1:0")?;
    let address = engine.local_addr()?;
    let taken = Arc::new(Mutex::new(Vec::new()));
    let take = Arc::clone(&taken);
    thread::spawn(move || {
        for connection in engine.incoming() {
            take.lock().unwrap().push(connection);
        }
    });
    let status = Command::new(std::env::current_exe()?)
        .args(["--exact", "starts_two_servers", "--ignored"])
        .env("DOCKER_HOST", format!("tcp://{address}"))
        .stdout(Stdio::null())
        .status()?;
    assert!(status.success());
    assert_eq!(taken.lock().unwrap().len(), 1);
    Ok(())
}

/// The value may end where no runtime is, such as in a thread of its own.
#[test]
fn a_container_is_removed_outside_of_a_runtime_too() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let server = runtime.block_on(Redis::private())?;
    drop(runtime);
    let Some(container) = server.container().map(str::to_owned) else { return Ok(()) };
    drop(server);
    assert!(!docker(&["container", "inspect", &container]), "{container} is left");
    Ok(())
}

#[tokio::test]
async fn its_password_is_not_in_what_debug_shows() -> Result<()> {
    let server = Postgres::private().await?;
    let url = Url::parse(server.url())?;
    let password = url.password().context("a password")?;
    let shown = format!("{server:?}");
    assert!(!shown.contains(password), "{}", shown.replace(password, "the password"));
    Ok(())
}
