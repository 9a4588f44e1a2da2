//! What is counted of the way into the archive.

#[cfg(feature = "metrics")]
mod with_metrics {
    use std::sync::Once;

    use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

    use crate::tiered::Lag;

    const ARCHIVED: &str = "chat_archived_entries_total";
    const BURIED: &str = "chat_archive_dead_letters_total";
    const FAILED: &str = "chat_archive_failures_total";
    const WAITING: &str = "chat_archive_waiting_entries";
    const ROOMS: &str = "chat_archive_waiting_rooms";
    const AGE: &str = "chat_archive_lag_seconds";

    pub(in crate::tiered) fn describe() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            describe_counter!(ARCHIVED, Unit::Count, "entries that this node moved into the archive");
            describe_counter!(
                BURIED,
                Unit::Count,
                "entries that the archive will never take and that were put aside"
            );
            describe_counter!(
                FAILED,
                Unit::Count,
                "attempts to move entries into the archive that failed and are repeated"
            );
            describe_gauge!(WAITING, Unit::Count, "entries of all nodes that wait to be archived");
            describe_gauge!(ROOMS, Unit::Count, "rooms with entries that wait to be archived");
            describe_gauge!(AGE, Unit::Seconds, "how long the room that waits longest does so");
        });
    }

    pub(in crate::tiered) fn archived(entries: u64) {
        counter!(ARCHIVED).increment(entries);
    }

    pub(in crate::tiered) fn buried() {
        counter!(BURIED).increment(1);
    }

    pub(in crate::tiered) fn failed() {
        counter!(FAILED).increment(1);
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and nobody waits for 2^53 entries")]
    pub(in crate::tiered) fn lag(lag: &Lag) {
        gauge!(WAITING).set(lag.entries as f64);
        gauge!(ROOMS).set(lag.rooms as f64);
        gauge!(AGE).set(lag.age.as_secs_f64());
    }
}

#[cfg(not(feature = "metrics"))]
mod without_metrics {
    use crate::tiered::Lag;

    pub(in crate::tiered) const fn describe() {}
    pub(in crate::tiered) const fn archived(_: u64) {}
    pub(in crate::tiered) const fn buried() {}
    pub(in crate::tiered) const fn failed() {}
    pub(in crate::tiered) const fn lag(_: &Lag) {}
}

#[cfg(feature = "metrics")]
pub(super) use with_metrics::{archived, buried, describe, failed, lag};
#[cfg(not(feature = "metrics"))]
pub(super) use without_metrics::{archived, buried, describe, failed, lag};
