//! The text that says where Redis is.

use std::sync::Arc;

use fred::{
    rustls::{
        ClientConfig, RootCertStore,
        crypto::{CryptoProvider, ring},
    },
    rustls_native_certs::load_native_certs,
    types::config::{Config, TlsConfig, TlsConnector},
};

/// The text is no URL of Redis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a URL of Redis, such as redis://user:password@host:6379: {0}")]
pub struct InvalidUrl(String);

/// A URL as the client takes it, with its database where one is named.
pub(crate) fn parse(url: &str) -> Result<Config, InvalidUrl> {
    let Some((scheme, rest)) = url.trim().split_once("://") else {
        return Err(InvalidUrl("no scheme".to_owned()));
    };
    let scheme = scheme.to_ascii_lowercase();
    let (store, form) = match scheme.split_once('-') {
        Some((store, form @ ("cluster" | "sentinel"))) => (store, format!("-{form}")),
        None => (scheme.as_str(), String::new()),
        Some(_) => return Err(InvalidUrl("an unknown scheme".to_owned())),
    };
    let encrypted = match store {
        "redis" | "valkey" => false,
        "rediss" | "valkeys" => true,
        _ => return Err(InvalidUrl("an unknown scheme".to_owned())),
    };
    let mut config = Config::from_url(&format!("redis{form}://{rest}"))
        .map_err(|error| InvalidUrl(error.details().to_owned()))?;
    if encrypted {
        config.tls = Some(tls()?);
    }
    Ok(config)
}

/// With what the system trusts.
///
/// Not the client's own default, which panics where the program has two cryptographic libraries and has chosen none.
fn tls() -> Result<TlsConfig, InvalidUrl> {
    let mut roots = RootCertStore::empty();
    let found = load_native_certs();
    for error in found.errors {
        tracing::warn!(%error, "a certificate of the system cannot be read");
    }
    // One that is broken is trusted by nobody.
    roots.add_parsable_certificates(found.certs);
    let provider =
        CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(ring::default_provider()));
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| InvalidUrl(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(tls).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_of_a_url_are_told_apart() {
        let one = parse("redis://u:p@h:1/2").unwrap();
        assert_eq!(one.database, Some(2));
        let url = "redis-sentinel://u:p@h:1?node=h2:2&sentinelServiceName=main";
        let sentinel = parse(url).unwrap();
        assert!(sentinel.server.is_sentinel());
        let cluster = parse("redis-cluster://u:p@h:1?node=h2:2").unwrap();
        assert!(cluster.server.is_clustered());
        assert_eq!(cluster.server.hosts().len(), 2);
        assert!(parse("rediss://h").unwrap().uses_tls());
        assert!(parse("nothing").is_err());
    }

    #[test]
    fn what_is_not_of_redis_is_refused() {
        for wrong in ["nothing", "http://h", "redis-ring://h", "rediss+unix://h", "redis://", "redis://h/a/b"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        for right in ["valkey://h", "valkeys-cluster://h:1", "REDIS://h", " redis://h "] {
            assert!(parse(right).is_ok(), "{right}");
        }
    }
}
