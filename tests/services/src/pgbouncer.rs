//! PgBouncer in front of a PostgreSQL server, in transaction mode.

use std::{borrow::Cow, fs, time::Duration};

use anyhow::{Context as _, Result, bail};
use percent_encoding::percent_decode_str;
use rustix::process::Signal;
use tokio::time::{Instant, sleep};
use url::Url;

use crate::{
    Postgres,
    folder::Folder,
    port,
    postgres::execute,
    process::{Launch, Process},
    source, user,
};

/// How long it may take until it answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to the server is anybody's from one transaction to the next, and there are few of them, so that whatever
/// is kept on one meets somebody else. No setting is newer than Debian 12's release.
const SETTINGS: [&str; 8] = [
    "pool_mode=transaction",
    "default_pool_size=3",
    "max_client_conn=200",
    // What our driver sends at the start of a connection and the pooler does not follow.
    "ignore_startup_parameters=extra_float_digits",
    "listen_addr=127.0.0.1",
    "unix_socket_dir=",
    "auth_type=md5",
    "server_tls_sslmode=prefer",
];

/// A pooler between a test and its server, that goes with this value.
#[derive(Debug)]
pub struct PgBouncer {
    address: String,
    // Held for its end.
    _process: Process,
}

impl PgBouncer {
    /// Starts one in front of `server`, for all of its databases, and waits until it answers.
    ///
    /// # Errors
    /// There is none, and how to get one; or it does not come up.
    pub async fn start(server: &Postgres) -> Result<Self> {
        Self::start_with(server, &[]).await
    }

    /// As [`start`](Self::start), with settings of its own: lines as in its configuration file, such as
    /// `default_pool_size=1`.
    ///
    /// # Errors
    /// As [`start`](Self::start), and if it does not take a setting.
    pub async fn start_with(server: &Postgres, settings: &[&str]) -> Result<Self> {
        port::start_on_a_free_one(|port| Self::start_at(port, server, settings)).await
    }

    /// Host and port, for [`Database::url_through`](crate::Database::url_through).
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    async fn start_at(port: u16, server: &Postgres, settings: &[&str]) -> Result<Self> {
        let (name, password) = match server.credentials() {
            Some((name, password)) => (name.to_owned(), password.to_owned()),
            None => credentials(server.url())?,
        };
        let target = server.address()?;
        let (host, target_port) = target.rsplit_once(':').context("an address without a port")?;

        let mut folders = source::path();
        // Not on everybody's path, and Debian's package puts it there.
        folders.push("/usr/sbin".into());
        let programs = source::folder_with(&["pgbouncer"], &folders).context(
            "no PgBouncer for the tests; on Debian or Ubuntu:\n  sudo apt-get install --yes --no-install-recommends pgbouncer",
        )?;
        let user = user::instead_of_root()?;
        let folder = Folder::create("pgbouncer", "QUIT", user.as_ref())?;
        let users = folder.path().join("users");
        fs::write(&users, format!("{} {}\n", quoted(&name), quoted(&password)))?;
        let mut lines = vec![
            "[databases]".to_owned(),
            format!("* = host={host} port={target_port}"),
            "[pgbouncer]".to_owned(),
            format!("listen_port={port}"),
            format!("auth_file={}", users.display()),
        ];
        lines.extend(SETTINGS.iter().chain(settings).map(|&line| line.to_owned()));
        let file = folder.path().join("pgbouncer.ini");
        fs::write(&file, lines.join("\n") + "\n")?;
        let launch = Launch {
            program: programs.join("pgbouncer"),
            arguments: vec![file.into()],
            environment: Vec::new(),
            user,
            // Other signals wait for clients, which of them differs between releases.
            stop: Signal::QUIT,
        };
        let process = Process::start(launch, folder)?;

        let address = format!("127.0.0.1:{port}");
        let mut url = Url::parse(server.url())?;
        let renamed = url.set_username(&name).and(url.set_password(Some(&password)));
        if renamed.and(url.set_port(Some(port))).is_err() || url.set_host(Some("127.0.0.1")).is_err() {
            bail!("an address without a host");
        }
        answers(url.as_str(), &process).await?;
        Ok(Self { address, _process: process })
    }
}

/// Waits until statements pass.
async fn answers(url: &str, process: &Process) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let Err(error) = execute(url, "SELECT 1".to_owned()).await else { return Ok(()) };
        process.check().context("PgBouncer")?;
        if Instant::now() > deadline {
            return Err(error.context(process.log_tail()).context("PgBouncer does not come up"));
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Of a server that was given.
fn credentials(url: &str) -> Result<(String, String)> {
    let url = Url::parse(url)?;
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(Cow::into_owned);
    Ok((decoded(url.username())?, decoded(url.password().unwrap_or_default())?))
}

/// As in PgBouncer's file of users.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_servers_password_is_taken_as_it_was_before_it_stood_in_an_address() {
        let (name, password) = credentials("postgres://a%40b:p%22w@host/postgres").unwrap();
        assert_eq!((name.as_str(), password.as_str()), ("a@b", "p\"w"));
        assert_eq!(quoted(&password), "\"p\"\"w\"");
    }
}
