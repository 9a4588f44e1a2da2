use std::time::Duration;

use crate::{ConnectError, TopicSpec, topics::check_name};

/// From where events of membership come, and what is done about those that fail.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MembershipConfig {
    pub(super) topic: String,
    pub(super) group: String,
    pub(super) dead_letters: Option<String>,
    pub(super) retries: Vec<Duration>,
    pub(super) attempt_timeout: Duration,
    pub(super) max_waiting: usize,
    pub(super) max_at_once: usize,
}

impl MembershipConfig {
    /// The topic, unless another one is named.
    pub const DEFAULT_TOPIC: &str = "study.member.created";
    /// The consumer group, unless another one is named.
    pub const DEFAULT_GROUP: &str = "chat-service-group";
    /// When an event that failed is tried again: after 1 s, then after 2 s, then after 4 s.
    pub const DEFAULT_RETRIES: [Duration; 3] =
        [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
    /// How long one attempt may take.
    pub const DEFAULT_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
    /// How many events of one partition may be under way, those that wait for another attempt included.
    pub const DEFAULT_MAX_WAITING: usize = 256;
    /// How many events of one partition are applied at the same time.
    pub const DEFAULT_MAX_AT_ONCE: usize = 8;

    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            topic: Self::DEFAULT_TOPIC.to_owned(),
            group: Self::DEFAULT_GROUP.to_owned(),
            dead_letters: None,
            retries: Self::DEFAULT_RETRIES.to_vec(),
            attempt_timeout: Self::DEFAULT_ATTEMPT_TIMEOUT,
            max_waiting: Self::DEFAULT_MAX_WAITING,
            max_at_once: Self::DEFAULT_MAX_AT_ONCE,
        }
    }

    /// Reads another topic.
    #[must_use]
    pub fn with_topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = topic.into();
        self
    }

    /// Reads as a member of another group. All consumers of one group share the partitions.
    #[must_use]
    pub fn with_group(mut self, group: impl Into<String>) -> Self {
        self.group = group.into();
        self
    }

    /// Writes what cannot be applied to another topic than the one that is read with `.dlt` behind it.
    #[must_use]
    pub fn with_dead_letters(mut self, topic: impl Into<String>) -> Self {
        self.dead_letters = Some(topic.into());
        self
    }

    /// Tries an event that failed once more after each of these times, and gives it up then. A store that is down for longer than
    /// they are together sends all events that come meanwhile to the dead letters.
    #[must_use]
    pub fn with_retries(mut self, after: impl IntoIterator<Item = Duration>) -> Self {
        self.retries = after.into_iter().collect();
        self
    }

    /// Takes an attempt that has no outcome by then for failed. What it was doing may be done all the same.
    #[must_use]
    pub const fn with_attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = timeout;
        self
    }

    /// Lets up to this many events (at least one) of each partition be under way; when there are more, the partition waits.
    #[must_use]
    pub fn with_max_waiting(mut self, events: usize) -> Self {
        self.max_waiting = events.max(1);
        self
    }

    /// Applies up to this many events (at least one) of each partition at the same time. Partitions share none of it, so one that
    /// gets no answers holds up no other; a consumer with all of them applies as many times more.
    #[must_use]
    pub fn with_max_at_once(mut self, events: usize) -> Self {
        self.max_at_once = events.max(1);
        self
    }

    /// The topic that is read.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The topic of what cannot be applied.
    #[must_use]
    pub fn dead_letters(&self) -> String {
        self.dead_letters.clone().unwrap_or_else(|| format!("{}.dlt", self.topic))
    }

    /// The topic of what cannot be applied, for [`ensure_topics`](crate::ensure_topics): one partition, kept for thirty days.
    #[must_use]
    pub fn dead_letters_spec(&self, replication: i32) -> TopicSpec {
        const DAYS: Duration = Duration::from_secs(30 * 24 * 3_600);
        TopicSpec::new(self.dead_letters(), 1).with_replication(replication).with_retention(DAYS)
    }

    pub(super) fn check(&self) -> Result<(), ConnectError> {
        let setting = |setting, reason| Err(ConnectError::Setting { setting, reason });
        if check_name(&self.topic).is_err() || check_name(&self.dead_letters()).is_err() {
            return setting("membership topics", crate::topics::NAME_RULE);
        }
        if self.topic == self.dead_letters() {
            return setting("membership dead letters", "must be in another topic than the one that is read");
        }
        if self.group.is_empty() || self.group.contains('\0') {
            return setting("membership group", "must not be empty");
        }
        Ok(())
    }
}

impl Default for MembershipConfig {
    fn default() -> Self {
        Self::new()
    }
}
