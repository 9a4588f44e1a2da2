//! Spans and metrics round any part: [`Observed`].
//!
//! Every call gets a `tracing` span of level debug named `chat.<kind>.<operation>`, for example
//! `chat.message_log.append`, with the fields `backend`, `room` (where the call names one), `count` (of the batch, where
//! there is one) and, when it failed, `error` (the [code](crate::Error::code), or `cancelled` for a call that was
//! dropped before it answered).
//!
//! With the feature `metrics` it also speaks to the [`metrics`](https://docs.rs/metrics) facade; the application
//! installs a recorder. Without one, and without the feature, nothing is counted.
//!
//! | metric | type | labels | what |
//! |---|---|---|---|
//! | [`chat_operation_duration_seconds`](OPERATION_DURATION) | histogram | `backend`, `kind`, `operation` | how long calls took, failed and cancelled ones too |
//! | [`chat_operation_errors_total`](OPERATION_ERRORS) | counter | `backend`, `kind`, `operation`, `code` | calls that failed, by error code; subscriptions that ended with an error, as operation `subscription` |
//! | [`chat_fanout_missed_total`](FANOUT_MISSED) | counter | `backend`, `kind` | how often a subscription reported that events may be lost |
//!
//! | label | values |
//! |---|---|
//! | `backend` | what the part calls itself ([`Backend::name`](crate::Backend::name)), `application` for an [`Authorize`](crate::auth::Authorize) |
//! | `kind` | `backend` (health), `message_log`, `rooms`, `fanout`, `presence`, `search`, `auth`, `authorize`, `revocation_store`, `session_bindings`, `rate_limiter`, `unread_cache` |
//! | `operation` | the method's name |
//! | `code` | [`Error::code`](crate::Error::code), or `cancelled` |
//!
//! Rooms and users are never labels, so that the number of series stays small; bodies, tokens and users are in neither.

mod call;
mod parts;

/// Histogram: how long the calls of a part took, in seconds.
pub const OPERATION_DURATION: &str = "chat_operation_duration_seconds";

/// Counter: calls of a part that failed.
pub const OPERATION_ERRORS: &str = "chat_operation_errors_total";

/// Counter: how often a fan-out subscription reported that events may be lost.
pub const FANOUT_MISSED: &str = "chat_fanout_missed_total";

/// Upper bounds in seconds for [`OPERATION_DURATION`]: memory answers in microseconds, a store over the network in
/// milliseconds, and no call may take longer than ten seconds unless [`Settings`](crate::Settings) say otherwise. The
/// recorder is the application's; Prometheus needs buckets to add up what several nodes measured.
pub const DURATION_BUCKETS: [f64; 14] =
    [0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0];

/// A part with spans and metrics round every call, and otherwise the same. See [the module](self).
#[derive(Debug, Clone)]
pub struct Observed<T> {
    inner: T,
}

impl<T> Observed<T> {
    /// Watches `inner`: a backend of any trait, also behind an `Arc` or a `Box`.
    #[must_use]
    pub const fn new(inner: T) -> Self {
        Self { inner }
    }

    /// What is watched.
    #[must_use]
    pub const fn inner(&self) -> &T {
        &self.inner
    }

    /// What was watched.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.inner
    }
}

/// Tells the installed recorder what the metrics mean and in which unit they are. Call it once, after installing one.
#[cfg(feature = "metrics")]
pub fn describe_metrics() {
    use metrics::{Unit, describe_counter, describe_histogram};

    describe_histogram!(OPERATION_DURATION, Unit::Seconds, "How long the calls of a part of the chat took");
    describe_counter!(OPERATION_ERRORS, Unit::Count, "Calls of a part of the chat that failed");
    describe_counter!(
        FANOUT_MISSED,
        Unit::Count,
        "How often a subscription reported that events may be lost"
    );
}
