//! PostgreSQL: shared by tests, broken by one, and gone afterwards.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use chat_test_services::{Postgres, Proxy};
use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::time::{Instant, sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(60);

async fn setting(connection: &mut PgConnection, name: &str) -> Result<String> {
    let row = sqlx::query("SELECT current_setting($1)").bind(name).fetch_one(connection).await?;
    Ok(row.try_get(0)?)
}

async fn count(connection: &mut PgConnection) -> Result<i64> {
    Ok(sqlx::query("SELECT count(*) FROM numbers").fetch_one(connection).await?.try_get(0)?)
}

#[tokio::test]
async fn a_commit_is_on_the_disk_when_it_is_answered() -> Result<()> {
    let database = Postgres::shared().await?.database().await?;
    let mut connection = PgConnection::connect(database.url()).await?;
    for name in ["fsync", "synchronous_commit", "full_page_writes"] {
        assert_eq!(setting(&mut connection, name).await?, "on", "{name}");
    }
    let version: i32 = setting(&mut connection, "server_version_num").await?.parse()?;
    assert!(version >= 150_000, "{version}");
    Ok(())
}

#[tokio::test]
async fn tests_do_not_see_each_others_tables() -> Result<()> {
    let server = Postgres::shared().await?;
    for _ in 0..2 {
        let database = server.database().await?;
        let mut connection = PgConnection::connect(database.url()).await?;
        sqlx::query("CREATE TABLE numbers (number int)").execute(&mut connection).await?;
        sqlx::query("INSERT INTO numbers VALUES (1)").execute(&mut connection).await?;
        assert_eq!(count(&mut connection).await?, 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_tests_role_is_no_superuser_and_owns_its_database() -> Result<()> {
    if std::env::var("CHAT_TEST_POSTGRES_URL").is_ok() {
        return Ok(()); // then the role is what was given
    }
    let database = Postgres::shared().await?.database().await?;
    let mut connection = PgConnection::connect(database.url()).await?;
    assert_eq!(setting(&mut connection, "is_superuser").await?, "off");
    sqlx::query("CREATE SCHEMA chat").execute(&mut connection).await?;
    sqlx::query("CREATE EXTENSION pg_trgm").execute(&mut connection).await?;
    Ok(())
}

#[test]
fn the_server_outlives_the_runtime_and_the_thread_that_started_it() -> Result<()> {
    let mut addresses = Vec::new();
    for _ in 0..2 {
        let thread = std::thread::spawn(|| -> Result<String> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let server = Postgres::shared().await?;
                let database = server.database().await?;
                let mut connection = PgConnection::connect(database.url()).await?;
                sqlx::query("SELECT 1").execute(&mut connection).await?;
                server.address()
            })
        });
        addresses.push(thread.join().unwrap()?);
    }
    assert_eq!(addresses[0], addresses[1]);
    Ok(())
}

#[tokio::test]
async fn what_was_committed_survives_a_stop_and_kill_9() -> Result<()> {
    let server = Postgres::private().await?;
    let database = server.database().await?;
    let mut connection = PgConnection::connect(database.url()).await?;
    sqlx::query("CREATE TABLE numbers (number int)").execute(&mut connection).await?;

    let address = server.address()?;
    for (committed, kill) in [(1, false), (2, true), (3, true)] {
        sqlx::query("INSERT INTO numbers VALUES (1)").execute(&mut connection).await?;
        if kill {
            server.kill().await?
        } else {
            server.stop().await?
        }
        assert!(count(&mut connection).await.is_err(), "the connection is gone");
        assert!(TcpStream::connect(&address).is_err(), "nobody listens");
        server.start().await?;
        connection = PgConnection::connect(database.url()).await?;
        assert_eq!(count(&mut connection).await?, committed);
    }
    assert_eq!(server.address()?, address);
    Ok(())
}

#[tokio::test]
async fn a_paused_server_answers_nothing_and_goes_on_where_it_was() -> Result<()> {
    let server = Postgres::private().await?;
    let database = server.database().await?;
    let mut connection = PgConnection::connect(database.url()).await?;
    sqlx::query("CREATE TABLE numbers (number int)").execute(&mut connection).await?;

    server.pause().await?;
    let mut insert = Box::pin(sqlx::query("INSERT INTO numbers VALUES (1)").execute(&mut connection));
    assert!(timeout(Duration::from_millis(500), &mut insert).await.is_err(), "an open connection answers");
    let connect = PgConnection::connect(database.url());
    assert!(timeout(Duration::from_millis(500), connect).await.is_err(), "a new connection answers");
    server.resume().await?;
    timeout(PATIENCE, insert).await??;
    assert_eq!(count(&mut connection).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_stopped_server_cannot_be_stopped_and_a_running_one_not_started() -> Result<()> {
    let server = Postgres::private().await?;
    assert!(server.start().await.is_err());
    server.stop().await?;
    assert!(server.stop().await.is_err());
    assert!(server.pause().await.is_err());
    server.start().await
}

#[tokio::test]
async fn a_database_is_reached_through_a_proxy_until_that_is_cut() -> Result<()> {
    let server = Postgres::shared().await?;
    let database = server.database().await?;
    let proxy = Proxy::start(server.address()?).await?;
    let url = database.url_through(&proxy.address().to_string())?;
    let mut connection = PgConnection::connect(&url).await?;
    sqlx::query("CREATE TABLE numbers (number int)").execute(&mut connection).await?;
    proxy.cut().await;
    assert!(count(&mut connection).await.is_err());
    assert!(PgConnection::connect(&url).await.is_err());
    proxy.mend().await;
    assert_eq!(count(&mut PgConnection::connect(&url).await?).await?, 0);
    Ok(())
}

/// A folder that a server's own user may enter.
fn open_folder() -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}

fn is_empty(folder: &Path) -> Result<bool> {
    Ok(fs::read_dir(folder)?.next().is_none())
}

fn has_container(name: &str) -> bool {
    let inspect = || Command::new("docker").args(["container", "inspect", name]).output();
    !name.is_empty() && inspect().is_ok_and(|output| output.status.success())
}

/// Started by the tests below, in a process of its own.
#[tokio::test]
#[ignore = "ends by kill or by a panic"]
async fn holds_a_server() -> Result<()> {
    let server = Postgres::private().await?;
    if std::env::var("PAUSE").is_ok() {
        server.pause().await?;
    }
    println!("\ncontainer={}", server.container().unwrap_or_default());
    println!("address={}", server.address()?);
    if std::env::var("PANIC").is_ok() {
        panic!("as a test that fails");
    }
    sleep(PATIENCE).await;
    Ok(())
}

/// What is left of a server when the process that holds it ends.
async fn nothing_is_left(variable: &str, kill: bool) -> Result<()> {
    let folder = open_folder()?;
    let mut holder = Command::new(std::env::current_exe()?)
        .args(["--exact", "holds_a_server", "--ignored", "--nocapture"])
        .env("TMPDIR", folder.path())
        .env(variable, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let stdout = BufReader::new(holder.stdout.take().context("stdout")?);
    let mut lines = stdout.lines().map_while(Result::ok);
    let mut value_of = |name: &str| lines.find_map(|line| Some(line.strip_prefix(name)?.to_owned()));
    let container = value_of("container=").context("no container")?;
    let address = value_of("address=").context("no address")?;
    let is_there = || Ok::<_, anyhow::Error>(!is_empty(folder.path())? || has_container(&container));
    if kill {
        assert!(is_there()?);
        assert!(TcpStream::connect(&address).is_ok());
        holder.kill()?;
    }
    assert!(!holder.wait()?.success());
    let deadline = Instant::now() + PATIENCE;
    while is_there()? || TcpStream::connect(&address).is_ok() {
        assert!(Instant::now() < deadline, "{address}, {container} or {} is there", folder.path().display());
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_left_after_a_panic() -> Result<()> {
    nothing_is_left("PANIC", false).await
}

#[tokio::test]
async fn nothing_is_left_when_the_tests_are_killed() -> Result<()> {
    nothing_is_left("NOTHING", true).await
}

#[tokio::test]
async fn nothing_is_left_when_the_tests_are_killed_while_the_server_is_paused() -> Result<()> {
    nothing_is_left("PAUSE", true).await
}

#[tokio::test]
async fn a_disk_that_is_full_takes_no_more_and_is_gone_with_its_server() -> Result<()> {
    let server = Postgres::private_on_disk(128, &[]).await?;
    let database = server.database().await?;
    let mut connection = PgConnection::connect(database.url()).await?;
    sqlx::query("CREATE TABLE numbers (number int)").execute(&mut connection).await?;
    server.fill_disk()?;
    let insert = "INSERT INTO numbers SELECT generate_series(1, 1000)";
    let error = sqlx::query(insert).execute(&mut connection).await.unwrap_err();
    assert_eq!(
        error.as_database_error().and_then(|error| error.code()).as_deref(),
        Some("53100"),
        "{error:?}"
    );
    server.free_disk()?;
    sqlx::query(insert).execute(&mut connection).await?;
    assert_eq!(count(&mut connection).await?, 1000);

    let mut superuser = PgConnection::connect(server.url()).await?;
    let data = setting(&mut superuser, "data_directory").await?;
    let is_mounted = || fs::read_to_string("/proc/mounts").map(|mounts| mounts.contains(&data));
    assert!(is_mounted()?);
    drop(server);
    assert!(!is_mounted()?);
    Ok(())
}
