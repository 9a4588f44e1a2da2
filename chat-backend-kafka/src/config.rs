use std::{collections::BTreeMap, fmt, time::Duration};

use rdkafka::ClientConfig;

use crate::{ConnectError, TopicNames, topics::check_name};

/// Settings that this library decides, because what it promises rests on them.
const RESERVED: [&str; 17] = [
    "acks",
    "request.required.acks",
    "auto.offset.reset",
    "bootstrap.servers",
    // Both names of `with_delivery_timeout`.
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    // Without it a client that has lost all brokers looks like one that tries.
    "enable.sparse.connections",
    "group.id",
    "message.timeout.ms",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "partitioner",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
];

/// Where Kafka is and how it is reached: what every part of this crate begins with.
#[derive(Clone)]
#[non_exhaustive]
pub struct KafkaConfig {
    brokers: String,
    client_id: String,
    tls: Option<KafkaTls>,
    sasl: Option<KafkaSasl>,
    topics: TopicNames,
    connect_timeout: Duration,
    delivery_timeout: Duration,
    properties: BTreeMap<String, String>,
}

impl KafkaConfig {
    /// What brokers call this client in their logs and quotas, unless something else is named.
    pub const DEFAULT_CLIENT_ID: &str = "chat";
    /// How long connecting, and any other question to the cluster, may take.
    pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
    /// How long a record may take until the brokers have it, retries included.
    pub const DEFAULT_DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);

    /// The cluster that these brokers belong to: `host:port`, several with commas between them.
    #[must_use]
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            client_id: Self::DEFAULT_CLIENT_ID.to_owned(),
            tls: None,
            sasl: None,
            topics: TopicNames::default(),
            connect_timeout: Self::DEFAULT_CONNECT_TIMEOUT,
            delivery_timeout: Self::DEFAULT_DELIVERY_TIMEOUT,
            properties: BTreeMap::new(),
        }
    }

    /// With another name in the brokers' logs and quotas.
    #[must_use]
    pub fn with_client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = client_id.into();
        self
    }

    /// Speaks TLS with the brokers.
    #[must_use]
    pub fn with_tls(mut self, tls: KafkaTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Authenticates by name and password. Without [`with_tls`](Self::with_tls) a password of [`KafkaSasl::plain`] can be read
    /// by whoever listens in between.
    #[must_use]
    pub fn with_sasl(mut self, sasl: KafkaSasl) -> Self {
        self.sasl = Some(sasl);
        self
    }

    /// With other names of topics.
    #[must_use]
    pub fn with_topics(mut self, topics: TopicNames) -> Self {
        self.topics = topics;
        self
    }

    /// With another patience for connecting and for questions to the cluster.
    #[must_use]
    pub const fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// With another patience for a record on its way to the brokers (at least 100 ms). A record that is not known to be there by
    /// then may yet be: the call fails with [`Error::Timeout`](chat_core::Error::Timeout), and a send is repeated with its client id.
    #[must_use]
    pub fn with_delivery_timeout(mut self, timeout: Duration) -> Self {
        self.delivery_timeout = timeout.max(Duration::from_millis(100));
        self
    }

    /// With a [property of librdkafka](https://github.com/confluentinc/librdkafka/blob/v2.12.1/CONFIGURATION.md), for every
    /// client that this crate makes. Those that its promises rest on, such as `acks`, are refused when something connects.
    #[must_use]
    pub fn with_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.insert(name.into(), value.into());
        self
    }

    /// The topics' names.
    #[must_use]
    pub const fn topics(&self) -> &TopicNames {
        &self.topics
    }

    /// The brokers' hosts and ports: for people.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The patience for connecting and for questions to the cluster.
    #[must_use]
    pub const fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// The patience for a record on its way to the brokers.
    #[must_use]
    pub const fn delivery_timeout(&self) -> Duration {
        self.delivery_timeout
    }

    /// Checks the settings without connecting, for programs that name everything that is wrong before they begin.
    ///
    /// # Errors
    /// [`ConnectError::Setting`], or [`ConnectError::Kafka`] for a property that librdkafka does not know.
    pub fn check(&self) -> Result<(), ConnectError> {
        let setting = |setting, reason| Err(ConnectError::Setting { setting, reason });
        if self.brokers.split(',').any(|broker| broker.trim().is_empty()) {
            return setting("brokers", "must be host:port, several with commas between them");
        }
        if self.properties.keys().any(|name| RESERVED.contains(&name.as_str())) {
            return setting(
                "properties",
                "must leave alone what the library's promises rest on, such as acks",
            );
        }
        if self.topics.all().into_iter().any(|name| check_name(name).is_err()) {
            return setting("topics", crate::topics::NAME_RULE);
        }
        self.client().create_native_config().map_err(crate::KafkaError::from)?;
        Ok(())
    }

    /// What every client of librdkafka begins with.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        // librdkafka's own default waits for up to 10 s before it looks for a broker that was away.
        client.set("reconnect.backoff.max.ms", "1000");
        for (name, value) in &self.properties {
            client.set(name, value);
        }
        client.set("bootstrap.servers", &self.brokers).set("client.id", &self.client_id);
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        client.set("security.protocol", protocol);
        if let Some(tls) = &self.tls {
            tls.apply(&mut client);
        }
        if let Some(sasl) = &self.sasl {
            client.set("sasl.mechanism", sasl.mechanism);
            client.set("sasl.username", &sasl.user).set("sasl.password", &sasl.password);
        }
        client
    }
}

impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("brokers", &self.brokers)
            .field("client_id", &self.client_id)
            .field("tls", &self.tls)
            .field("sasl", &self.sasl)
            .field("topics", &self.topics)
            .field("connect_timeout", &self.connect_timeout)
            .field("delivery_timeout", &self.delivery_timeout)
            // Only the names: a value may be a password.
            .field("properties", &self.properties.keys())
            .finish()
    }
}

/// TLS with the brokers. Their certificates must name the hosts that are connected to.
#[derive(Clone, Default)]
pub struct KafkaTls {
    authorities: Option<String>,
    identity: Option<(String, String)>,
}

impl KafkaTls {
    /// Trusts the authorities that the system trusts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts these authorities only: one or more certificates in PEM.
    #[must_use]
    pub fn with_authorities_pem(mut self, certificates: impl Into<String>) -> Self {
        self.authorities = Some(certificates.into());
        self
    }

    /// Shows the brokers a certificate (with those between it and its authority, in PEM) and proves it by its key (PEM).
    #[must_use]
    pub fn with_identity_pem(mut self, certificate: impl Into<String>, key: impl Into<String>) -> Self {
        self.identity = Some((certificate.into(), key.into()));
        self
    }

    fn apply(&self, client: &mut ClientConfig) {
        match &self.authorities {
            Some(authorities) => client.set("ssl.ca.pem", authorities),
            None => client.set("ssl.ca.location", "probe"),
        };
        client.set("ssl.endpoint.identification.algorithm", "https");
        if let Some((certificate, key)) = &self.identity {
            client.set("ssl.certificate.pem", certificate).set("ssl.key.pem", key);
        }
    }
}

impl fmt::Debug for KafkaTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaTls")
            .field("own_authorities", &self.authorities.is_some())
            .field("identity", &self.identity.is_some())
            .finish()
    }
}

/// A name and a password for the brokers.
#[derive(Clone)]
pub struct KafkaSasl {
    mechanism: &'static str,
    user: String,
    password: String,
}

impl KafkaSasl {
    /// As they are (`PLAIN`).
    #[must_use]
    pub fn plain(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { mechanism: "PLAIN", user: user.into(), password: password.into() }
    }

    /// By a challenge (`SCRAM-SHA-256`).
    #[must_use]
    pub fn scram_sha_256(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { mechanism: "SCRAM-SHA-256", ..Self::plain(user, password) }
    }

    /// By a challenge (`SCRAM-SHA-512`).
    #[must_use]
    pub fn scram_sha_512(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { mechanism: "SCRAM-SHA-512", ..Self::plain(user, password) }
    }
}

impl fmt::Debug for KafkaSasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSasl").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_setting_has_a_secret() {
        let config = KafkaConfig::new("broker:9092")
            .with_tls(KafkaTls::new().with_identity_pem("topsecret", "topsecret"))
            .with_sasl(KafkaSasl::plain("someone", "topsecret"))
            .with_property("ssl.key.password", "topsecret");
        let text = format!("{config:?}");
        assert!(!text.contains("topsecret") && !text.contains("someone"), "{text}");
        assert!(text.contains("broker:9092") && text.contains("ssl.key.password"), "{text}");
    }

    #[test]
    fn what_cannot_work_is_named_without_a_broker() {
        let good = KafkaConfig::new("a:1,b:2");
        good.check().unwrap();
        let name = |config: KafkaConfig| match config.check().unwrap_err() {
            ConnectError::Setting { setting, .. } => setting,
            other => panic!("{other}"),
        };
        assert_eq!(name(KafkaConfig::new("")), "brokers");
        assert_eq!(name(KafkaConfig::new("a:1,,b:2")), "brokers");
        assert_eq!(name(good.clone().with_property("acks", "1")), "properties");
        assert_eq!(name(good.clone().with_topics(TopicNames::with_prefix("no spaces "))), "topics");
        let unknown = good.with_property("no.such.property", "1").check().unwrap_err();
        assert!(matches!(unknown, ConnectError::Kafka(_)), "{unknown}");
    }

    #[test]
    fn the_protocol_follows_from_tls_and_sasl() {
        let config = KafkaConfig::new("a:1");
        let tls = KafkaTls::new();
        let sasl = KafkaSasl::scram_sha_512("u", "p");
        for (config, protocol) in [
            (config.clone(), "plaintext"),
            (config.clone().with_tls(tls.clone()), "ssl"),
            (config.clone().with_sasl(sasl.clone()), "sasl_plaintext"),
            (config.with_tls(tls).with_sasl(sasl), "sasl_ssl"),
        ] {
            assert_eq!(config.client().get("security.protocol"), Some(protocol));
        }
    }
}
