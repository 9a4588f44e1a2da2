//! Brokers that are spoken to over TLS, know their clients by a certificate, and ask for a password.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod live;

use std::time::{Duration, Instant};

use chat_backend_kafka::{
    ConnectError, KafkaConfig, KafkaErrorKind, KafkaFanout, KafkaSasl, KafkaTls, TopicNames, ensure_topics,
};
use chat_core::Fanout as _;
use chat_test_services::{Kafka, Proxy};
use live::{is_live, quick, topic};
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// How long a client waits for brokers that may come.
const PATIENCE: Duration = Duration::from_secs(20);
const USER: &str = "chat";
const PASSWORD: &str = "topsecret";

/// An authority that both sides trust, and certificates of it.
struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut own = CertificateParams::new(Vec::new()).unwrap();
        // Of the same name as what it signs, OpenSSL takes that for the authority's own.
        own.distinguished_name.push(DnType::CommonName, "an authority for tests");
        own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = own.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(own, key) }
    }

    /// A certificate and its key.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.issuer);
        (certificate.unwrap().pem(), key.serialize_pem())
    }

    fn trusted(&self) -> KafkaTls {
        let (certificate, key) = self.issue("client");
        self.trusted_by_nobody().with_identity_pem(certificate, key)
    }

    fn trusted_by_nobody(&self) -> KafkaTls {
        KafkaTls::new().with_authorities_pem(self.certificate.pem())
    }
}

/// A broker whose second listener, the one behind the proxy, is secured: the proxy hands on what is encrypted.
async fn broker(authority: &Authority) -> (Kafka, Proxy) {
    let (certificate, key) = authority.issue("127.0.0.1");
    let at = |setting: &str| format!("listener.name.proxied.{setting}");
    let login = |mechanism: &str, module: &str, more: &str| {
        let name = at(&format!("{mechanism}.sasl.jaas.config"));
        format!("{name}=org.apache.kafka.common.security.{module} required {more};")
    };
    let pem = |text: &str| text.trim().replace('\n', "\\n");
    let settings = [
        "listener.security.protocol.map=DIRECT:PLAINTEXT,PROXIED:SASL_SSL,CONTROLLER:PLAINTEXT".to_owned(),
        format!("{}=PEM", at("ssl.keystore.type")),
        format!("{}={}", at("ssl.keystore.certificate.chain"), pem(&certificate)),
        format!("{}={}", at("ssl.keystore.key"), pem(&key)),
        format!("{}=PEM", at("ssl.truststore.type")),
        format!("{}={}", at("ssl.truststore.certificates"), pem(&authority.certificate.pem())),
        format!("{}=required", at("ssl.client.auth")),
        format!("{}=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512", at("sasl.enabled.mechanisms")),
        login("plain", "plain.PlainLoginModule", &format!("user_{USER}=\"{PASSWORD}\"")),
        login("scram-sha-256", "scram.ScramLoginModule", ""),
        login("scram-sha-512", "scram.ScramLoginModule", ""),
    ];
    let kafka = Kafka::private_with(&settings.each_ref().map(String::as_str)).await.unwrap();
    let proxy = kafka.proxy().await.unwrap();
    (kafka, proxy)
}

fn config(kafka: &Kafka, proxy: &Proxy) -> KafkaConfig {
    KafkaConfig::new(proxy.address().to_string())
        .with_topics(TopicNames::with_prefix(&kafka.prefix()))
        .with_connect_timeout(PATIENCE)
}

#[tokio::test]
async fn with_a_certificate_and_a_password_of_each_kind_events_are_carried() {
    let authority = Authority::new();
    let (kafka, proxy) = broker(&authority).await;
    for sasl in [KafkaSasl::plain, KafkaSasl::scram_sha_256, KafkaSasl::scram_sha_512] {
        let config = config(&kafka, &proxy).with_tls(authority.trusted()).with_sasl(sasl(USER, PASSWORD));
        ensure_topics(&config, &config.topics().specs(1, 1)).await.unwrap();
        let node = KafkaFanout::connect(&config, quick()).await.unwrap();
        let mut subscription = node.subscribe(&topic("tea")).await.unwrap();
        is_live(&node, "tea", &mut subscription).await;
    }
}

#[tokio::test]
async fn whoever_is_not_let_in_is_told_so_at_once_and_without_a_secret() {
    let authority = Authority::new();
    let (kafka, proxy) = broker(&authority).await;
    let known = || KafkaSasl::plain(USER, PASSWORD);
    let stranger = Authority::new();
    for (tls, sasl) in [
        (authority.trusted(), KafkaSasl::plain(USER, "guessed-topsecret")),
        (authority.trusted(), KafkaSasl::scram_sha_512("guessed-topsecret", PASSWORD)),
        // We do not trust the broker.
        (stranger.trusted(), known()),
    ] {
        let config = config(&kafka, &proxy).with_tls(tls).with_sasl(sasl);
        let begun = Instant::now();
        let refused = [
            ensure_topics(&config, &config.topics().specs(1, 1)).await.unwrap_err(),
            KafkaFanout::connect(&config, quick()).await.map(drop).unwrap_err(),
        ];
        for error in refused {
            let ConnectError::Kafka(error) = error else { panic!("{error:?}") };
            assert_eq!(error.kind(), KafkaErrorKind::Denied, "{error:?} {config:?}");
            let text = format!("{error:?} {error} {config:?}");
            assert!(!text.contains("topsecret"), "{text}");
        }
        assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    }
}

/// The broker ends such a connection without giving a reason that counts as one.
#[tokio::test]
async fn without_a_certificate_nobody_gets_in() {
    let authority = Authority::new();
    let (kafka, proxy) = broker(&authority).await;
    let config = config(&kafka, &proxy)
        .with_tls(authority.trusted_by_nobody())
        .with_sasl(KafkaSasl::plain(USER, PASSWORD))
        .with_connect_timeout(Duration::from_secs(3));
    let error = ensure_topics(&config, &config.topics().specs(1, 1)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Kafka(_)), "{error:?}");
}
