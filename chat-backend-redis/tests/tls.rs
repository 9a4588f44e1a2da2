//! Over TLS, with a certificate of one's own authority, which is the only one that is trusted.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod live;

use std::{fs, net::TcpListener, sync::Arc, time::Duration};

use chat_backend_redis::{ConnectError, RedisBackend, RedisConfig, RedisErrorKind};
use chat_core::{
    NodeId,
    presence::{Incarnation, LeaseStatus, NodeLease},
};
use chat_test_services::Redis;
use fred::{
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer},
    types::config::{Config, TlsConnector},
};
use live::{connect, is_live};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// An authority, and a certificate of it in files.
struct Authority {
    certificate: CertificateDer<'static>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut own = CertificateParams::new(Vec::new()).unwrap();
        own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = own.self_signed(&key).unwrap().der().clone();
        let issuer = Issuer::new(own, key);
        let server_key = KeyPair::generate().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let server = CertificateParams::new(names).unwrap().signed_by(&server_key, &issuer).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("certificate"), server.pem()).unwrap();
        fs::write(folder.path().join("key"), server_key.serialize_pem()).unwrap();
        Self { certificate, folder }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Trusts this one alone.
    fn trusted(&self) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
            .into()
    }
}

/// A server, and where it speaks TLS.
async fn server(authority: &Authority) -> (Redis, String) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = [
        format!("tls-port {port}"),
        format!("tls-cert-file {}", authority.file("certificate")),
        format!("tls-key-file {}", authority.file("key")),
        "tls-auth-clients no".to_owned(),
    ];
    let server = Redis::neighbour_with(&settings.each_ref().map(String::as_str)).await.unwrap();
    let url = server.url().replace("redis://", "rediss://");
    let url = url.replace(&server.address().unwrap(), &format!("127.0.0.1:{port}"));
    (server, url)
}

fn trusting(url: &str, authority: &Authority) -> RedisConfig {
    let mut config = Config::from_url(&url.replace("rediss://", "redis://")).unwrap();
    config.tls = Some(authority.trusted().into());
    RedisConfig::new(config).with_connect_timeout(Duration::from_secs(3))
}

#[tokio::test]
async fn everything_goes_over_tls() {
    let authority = Authority::new();
    let (server, url) = server(&authority).await;
    let backend = connect(&trusting(&url, &authority)).await;
    let fanout = backend.fanout();
    let mut subscription = fanout.subscribe(&live::topic("tea")).await.unwrap();
    is_live(&*fanout, "tea", &mut subscription).await;
    let lease = NodeLease { node: NodeId::new("n1").unwrap(), incarnation: Incarnation(1) };
    let started = backend.presence().renew(&lease, Duration::from_secs(60)).await.unwrap();
    assert_eq!(started, LeaseStatus::Started);
    let port = url.rsplit_once(':').unwrap().1;
    let clients = server.ask("CLIENT LIST").await.unwrap();
    let ours: Vec<_> = clients.lines().filter(|client| client.contains("name=fred")).collect();
    assert_eq!(ours.len(), 2, "{clients}");
    assert!(ours.iter().all(|client| client.contains(&format!("laddr=127.0.0.1:{port} "))), "{clients}");
}

#[tokio::test]
async fn who_has_a_certificate_of_another_authority_is_not_spoken_to() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (server, url) = server(&authority).await;
    let system = RedisConfig::from_url(&url).unwrap().with_connect_timeout(Duration::from_secs(3));
    for config in [trusting(&url, &other), system] {
        match RedisBackend::connect(config).await {
            Err(ConnectError::Redis(error)) => {
                assert_eq!(error.kind(), RedisErrorKind::Connection, "{error:?}")
            }
            unexpected => panic!("{unexpected:?}"),
        }
    }
    let password = Config::from_url(server.url()).unwrap().password.unwrap();
    let seen = server.ask("INFO commandstats").await.unwrap();
    assert!(!seen.contains("cmdstat_hello"), "{password} was not sent: {seen}");
}
