//! One test's database.

use std::{fmt, thread};

use anyhow::{Context as _, Result, bail};
use url::Url;

use crate::postgres::execute;

/// A database of one test's own. It goes with its server; on a server that was given, with this value.
pub struct Database {
    url: Url,
    /// On a server that was given: who may drop it.
    admin_url: Option<Url>,
}

impl Database {
    pub(crate) fn new(url: Url, admin_url: Option<Url>) -> Self {
        Self { url, admin_url }
    }

    /// Its address, with user and password.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Its address when it is reached through something else, such as a [`Proxy`](crate::Proxy) at `host:port`.
    ///
    /// # Errors
    /// That is no host with a port.
    pub fn url_through(&self, address: &str) -> Result<String> {
        let (host, port) = address.rsplit_once(':').with_context(|| format!("{address} has no port"))?;
        let mut url = self.url.clone();
        url.set_host(Some(host)).with_context(|| host.to_owned())?;
        if url.set_port(Some(port.parse().with_context(|| port.to_owned())?)).is_err() {
            bail!("{address} is no host with a port");
        }
        Ok(url.into())
    }

    /// Its name on the server.
    #[must_use]
    pub fn name(&self) -> &str {
        self.url.path().trim_start_matches('/')
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Some(admin_url) = self.admin_url.take() else { return };
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name());
        // A thread of its own: ours may be inside a runtime, where one cannot wait.
        let drop = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(execute(admin_url.as_str(), statement))
        });
        if let Ok(Err(error)) = drop.join() {
            eprintln!("the database {} stays: {error:#}", self.name());
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Database").field("name", &self.name()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_shows_in_the_address_and_nowhere_else() {
        let url = Url::parse("postgres://chat:hidden@127.0.0.1:5432/chat_test_1?sslmode=disable").unwrap();
        let database = Database::new(url, None);
        assert_eq!(format!("{database:?}"), "Database { name: \"chat_test_1\", .. }");
        let through = database.url_through("127.0.0.1:7").unwrap();
        assert_eq!(through, "postgres://chat:hidden@127.0.0.1:7/chat_test_1?sslmode=disable");
        assert!(database.url_through("nowhere").is_err());
    }
}
