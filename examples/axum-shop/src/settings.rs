//! What can be set: the table in the README.

use std::{net::SocketAddr, time::Duration};

use chat_backend_postgres::PostgresConfig;
use chat_core::auth::{JwtConfig, JwtKey};
use example_support::{
    Origins,
    settings::{Environment, WrongSettings, address, duration, on_or_off, plain_name},
};

/// Settings that can work.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    /// For the stores; has a password.
    pub(crate) database: String,
    pub(crate) postgres: PostgresConfig,
    pub(crate) jwt: JwtConfig,
    pub(crate) origins: Origins,
    pub(crate) rate_limits: bool,
    pub(crate) drain_window: Duration,
    /// Where the views are that an import reads.
    pub(crate) import_schema: String,
}

impl Settings {
    /// Reads everything before it says anything.
    pub(crate) fn read(mut env: Environment) -> Result<Self, WrongSettings> {
        let postgres = env.required_parsed(
            "DATABASE_URL",
            "the database, such as postgres://user:password@host:5432/database",
            PostgresConfig::from_url,
        );
        let database = env.optional("DATABASE_URL").unwrap_or_default();
        let key = env.required_parsed("JWT_SECRET", "what signs the users' tokens (HS256)", |secret| {
            JwtKey::hs256(secret)
        });
        let listen = env.parsed("LISTEN", "127.0.0.1:8080", address);
        let user = env.parsed("JWT_USER_CLAIM", "sub", claim);
        let role = env.parsed("JWT_ROLE_CLAIM", "role", claim);
        let (issuer, audience) = (env.optional("JWT_ISSUER"), env.optional("JWT_AUDIENCE"));
        let origins = env.parsed("ALLOWED_ORIGINS", "", Origins::parse);
        let rate_limits = env.parsed("RATE_LIMITS", "on", on_or_off);
        let most = Duration::from_secs(60);
        let drain_window = env.parsed("DRAIN_WINDOW", "2s", duration(Duration::ZERO..=most));
        let import_schema = env.parsed("IMPORT_SCHEMA", "chat_import", plain_name);
        let jwt = || {
            let jwt = JwtConfig::new([key?]).with_user_claim(user?).with_roles_claim(role?);
            let jwt = issuer.into_iter().fold(jwt, JwtConfig::with_issuer);
            Some(audience.into_iter().fold(jwt, JwtConfig::with_audience))
        };
        let jwt = jwt();
        let settings = || {
            Some(Self {
                listen: listen?,
                database,
                postgres: postgres?,
                jwt: jwt?,
                origins: origins?,
                rate_limits: rate_limits?,
                drain_window: drain_window?,
                import_schema: import_schema?,
            })
        };
        let settings = settings();
        env.finish_with(settings)
    }
}

fn claim(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() { Err("must be the name of a claim") } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

    use super::*;

    #[test]
    fn all_that_is_wrong_is_named_at_once() {
        let pairs = [
            ("JWT_SECRET", "too short"),
            ("LISTEN", "nowhere"),
            ("RATE_LIMITS", "some"),
            ("DRAIN_WINDOW", "2h"),
            ("ALLOWED_ORIGINS", "shop"),
            ("IMPORT_SCHEMA", "a; drop"),
        ];
        let wrong = Settings::read(Environment::from_pairs(pairs)).err().unwrap().to_string();
        for (name, _) in pairs.into_iter().chain([("DATABASE_URL", "")]) {
            assert!(wrong.contains(&format!("\n  {name}: ")), "{name} is not in: {wrong}");
        }
        assert!(!wrong.contains("too short"));
    }

    #[test]
    fn what_is_needed_is_enough() {
        let secret = "0123456789abcdef0123456789abcdef";
        let pairs = [("DATABASE_URL", "postgres://u:p@h/d"), ("JWT_SECRET", secret)];
        assert!(Settings::read(Environment::from_pairs(pairs)).is_ok());
    }
}
