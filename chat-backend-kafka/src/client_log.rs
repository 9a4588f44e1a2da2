//! What librdkafka writes into its log, as events of tracing.

use rdkafka::config::RDKafkaLogLevel as Level;

/// What it calls an error or a warning is mostly a connection that breaks and is made again, of which each part tells in its own
/// words.
pub(crate) fn pass_on(level: Level, facility: &str, message: &str) {
    match level {
        Level::Emerg | Level::Alert | Level::Critical => tracing::error!(facility, "librdkafka: {message}"),
        Level::Error | Level::Warning => tracing::info!(facility, "librdkafka: {message}"),
        Level::Notice | Level::Info | Level::Debug => tracing::debug!(facility, "librdkafka: {message}"),
    }
}
