//! Topics are made where they are missing, and looked at.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions, ResourceSpecifier},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
    metadata::Metadata,
    types::RDKafkaErrorCode as Code,
};
use tokio::time::{Instant, sleep};

use super::{TopicError, TopicSpec};
use crate::{
    ConnectError, KafkaConfig, KafkaError, KafkaErrorKind,
    forsaken::{Watched, hear},
};

/// How often it is looked whether a new topic is known to every broker.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long it waits for an answer before it looks whether there is a reason that there is none.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Creates the topics that are not there and verifies all of them. Safe to call from several programs at once and at every
/// start. A topic that is there already is never changed.
///
/// # Errors
/// [`ConnectError::Topic`] says which topic is not as it must be and how; [`ConnectError::Kafka`] that the brokers cannot be
/// reached; [`ConnectError::Setting`] that the configuration cannot be used.
///
/// # Cancel safety
/// A dropped call may have created some of the topics, each whole. It can be called again.
pub async fn ensure_topics(config: &KafkaConfig, specs: &[TopicSpec]) -> Result<(), ConnectError> {
    let admin = Admin::new(config, specs)?;
    admin.create(specs).await?;
    admin.verify(specs, true).await
}

/// Verifies the topics and creates none: for programs that may not.
///
/// # Errors
/// As [`ensure_topics`], and [`TopicError::Missing`].
pub async fn verify_topics(config: &KafkaConfig, specs: &[TopicSpec]) -> Result<(), ConnectError> {
    Admin::new(config, specs)?.verify(specs, false).await
}

struct Admin {
    client: AdminClient<DefaultClientContext>,
    /// Asks what there is. The other one must not: to it, brokers that make topics on demand would answer by making them.
    asking: Arc<BaseConsumer<Watched>>,
    patience: Duration,
}

impl Admin {
    fn new(config: &KafkaConfig, specs: &[TopicSpec]) -> Result<Self, ConnectError> {
        config.check()?;
        specs.iter().try_for_each(TopicSpec::check)?;
        let client = config.client().create().map_err(KafkaError::from)?;
        let mut asking = config.client();
        asking.set("allow.auto.create.topics", "false");
        let asking = asking.create_with_context(Watched::default()).map_err(KafkaError::from)?;
        let asking = Arc::new(asking);
        Ok(Self { client, asking, patience: config.connect_timeout() })
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new().request_timeout(Some(self.patience)).operation_timeout(Some(self.patience))
    }

    async fn create(&self, specs: &[TopicSpec]) -> Result<(), ConnectError> {
        let missing = self.missing(specs).await?;
        if missing.is_empty() {
            return Ok(());
        }
        let topics: Vec<_> = missing.into_iter().map(TopicSpec::as_new).collect();
        let results = self.client.create_topics(&topics, &self.options()).await.map_err(KafkaError::from)?;
        for result in results {
            match result {
                // Somebody else was quicker: then it is verified like any other.
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
                    let source = KafkaError::new(KafkaErrorKind::of_code(code), code.to_string());
                    return Err(TopicError::Kafka { topic, source }.into());
                }
            }
        }
        Ok(())
    }

    async fn missing<'s>(&self, specs: &'s [TopicSpec]) -> Result<Vec<&'s TopicSpec>, ConnectError> {
        let mut missing = Vec::new();
        for spec in specs {
            match self.partitions(&spec.name).await {
                Err(TopicError::Missing { .. }) => missing.push(spec),
                Err(TopicError::Kafka { source, .. })
                    if matches!(
                        source.kind(),
                        KafkaErrorKind::Connection | KafkaErrorKind::Timeout | KafkaErrorKind::Denied
                    ) =>
                {
                    return Err(source.into());
                }
                other => drop(other?),
            }
        }
        Ok(missing)
    }

    /// Verifies the topics. New ones take a moment until every broker knows them and they have leaders.
    async fn verify(&self, specs: &[TopicSpec], are_new: bool) -> Result<(), ConnectError> {
        let end = Instant::now() + self.patience;
        for spec in specs {
            loop {
                match self.verify_one(spec).await {
                    Err(TopicError::Missing { .. } | TopicError::Partitions { .. })
                        if are_new && Instant::now() < end => {}
                    // A broker that has just heard of a topic may describe it without any of its settings.
                    Err(TopicError::Setting { ref found, .. })
                        if are_new && found.is_empty() && Instant::now() < end => {}
                    Err(TopicError::Kafka { source, .. })
                        if source.kind() == KafkaErrorKind::Unavailable && Instant::now() < end => {}
                    result => break result?,
                }
                sleep(LOOK_AGAIN).await;
            }
        }
        Ok(())
    }

    async fn verify_one(&self, spec: &TopicSpec) -> Result<(), TopicError> {
        let topic = || spec.name.clone();
        let partitions = self.partitions(&spec.name).await?;
        let found = i32::try_from(partitions.len()).unwrap_or(i32::MAX);
        if found < spec.partitions {
            return Err(TopicError::Partitions { topic: topic(), wanted: spec.partitions, found });
        }
        if let Some(wanted) = spec.replication {
            for (partition, found) in partitions {
                if found < wanted {
                    return Err(TopicError::Replication { topic: topic(), partition, wanted, found });
                }
            }
        }
        if spec.settings.is_empty() {
            return Ok(());
        }
        let refused = |source| TopicError::Kafka { topic: topic(), source };
        let asked = [ResourceSpecifier::Topic(&spec.name)];
        let described = self.client.describe_configs(&asked, &self.options()).await;
        let described = described.map_err(|error| refused(error.into()))?.pop();
        let described = described.ok_or_else(|| TopicError::Missing { topic: topic() })?;
        let described = described.map_err(|code| match KafkaErrorKind::of_code(code) {
            KafkaErrorKind::TopicMissing => TopicError::Missing { topic: topic() },
            kind => refused(KafkaError::new(kind, code.to_string())),
        })?;
        for (name, wanted) in &spec.settings {
            let found = described.get(name).and_then(|entry| entry.value.clone()).unwrap_or_default();
            if found != *wanted {
                let (setting, wanted) = (name.clone(), wanted.clone());
                return Err(TopicError::Setting { topic: topic(), setting, wanted, found });
            }
        }
        Ok(())
    }

    /// The partitions of a topic, each with the number of its replicas.
    async fn partitions(&self, topic: &str) -> Result<Vec<(i32, i32)>, TopicError> {
        let (client, name, patience) = (self.asking.clone(), topic.to_owned(), self.patience);
        // The client waits for the answer on this thread.
        let asked = tokio::task::spawn_blocking(move || {
            let metadata = ask(&client, &name, patience)?;
            Ok::<_, KafkaError>(metadata.topics().first().map(|topic| {
                let code = topic.error().map(Code::from);
                let replicas = |partition: &rdkafka::metadata::MetadataPartition| {
                    (partition.id(), i32::try_from(partition.replicas().len()).unwrap_or(i32::MAX))
                };
                (code, topic.partitions().iter().map(replicas).collect::<Vec<_>>())
            }))
        });
        let refused = |source| TopicError::Kafka { topic: topic.to_owned(), source };
        let missing = || TopicError::Missing { topic: topic.to_owned() };
        let answer = asked.await.map_err(|_| refused(KafkaError::closed()))?;
        match answer.map_err(refused)? {
            None => Err(missing()),
            Some((None, partitions)) => Ok(partitions),
            Some((Some(code), _)) => Err(match KafkaErrorKind::of_code(code) {
                KafkaErrorKind::TopicMissing => missing(),
                kind => refused(KafkaError::new(kind, code.to_string())),
            }),
        }
    }
}

/// Asks until there is an answer, or the brokers do not let us in, which waiting would not change.
fn ask(client: &BaseConsumer<Watched>, topic: &str, patience: Duration) -> Result<Metadata, KafkaError> {
    let end = Instant::now() + patience;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let error = match client.fetch_metadata(Some(topic), left.min(ASK_AGAIN)) {
            Ok(metadata) => return Ok(metadata),
            Err(error) => error,
        };
        hear(client);
        let error = client.context().denial.behind(error.into());
        let may_come =
            matches!(error.kind(), KafkaErrorKind::Connection | KafkaErrorKind::Timeout) && !left.is_zero();
        if !may_come {
            return Err(error);
        }
    }
}
