use std::future::Future;

use futures::StreamExt as _;
use tracing::{Instrument as _, Span};

use crate::{
    Result,
    fanout::{FanoutItem, Subscription},
};

/// What a call is counted under.
#[derive(Debug, Clone, Copy)]
pub(super) struct Labels {
    pub(super) backend: &'static str,
    pub(super) kind: &'static str,
    pub(super) operation: &'static str,
}

/// The code of a call that was dropped before it answered: what a caller's own time limit makes of a slow one.
const CANCELLED: &str = "cancelled";

pub(super) async fn call<T>(
    span: Span,
    labels: Labels,
    future: impl Future<Output = Result<T>> + Send,
) -> Result<T> {
    let mut running = Running { span, meter: Meter::start(labels), outcome: Some(CANCELLED) };
    let result = future.instrument(running.span.clone()).await;
    running.outcome = result.as_ref().err().map(crate::Error::code);
    result
}

/// A call under way. What it came to is noted when it is dropped, whichever way it ends.
struct Running {
    span: Span,
    meter: Meter,
    outcome: Option<&'static str>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(code) = self.outcome {
            self.span.record("error", code);
        }
        self.meter.end(self.outcome);
    }
}

/// Counts what a subscription loses.
pub(super) fn watch(subscription: Subscription, labels: Labels) -> Subscription {
    let labels = Labels { operation: "subscription", ..labels };
    let Labels { backend, kind, operation } = labels;
    Subscription::new(subscription.inspect(move |item| match item {
        Ok(FanoutItem::Event(_)) => {}
        Ok(FanoutItem::Missed) => {
            tracing::debug!(backend, kind, operation, "a subscription may have missed events");
            count_missed(labels);
        }
        Err(error) => {
            tracing::debug!(backend, kind, operation, error = error.code(), "a subscription ended");
            count_error(labels, error.code());
        }
    }))
}

#[cfg(feature = "metrics")]
use self::with_metrics::{Meter, count_error, count_missed};
#[cfg(not(feature = "metrics"))]
use self::without_metrics::{Meter, count_error, count_missed};

#[cfg(feature = "metrics")]
mod with_metrics {
    use std::time::Instant;

    use super::Labels;
    use crate::observe::{FANOUT_MISSED, OPERATION_DURATION, OPERATION_ERRORS};

    pub(super) struct Meter {
        labels: Labels,
        started: Instant,
    }

    impl Meter {
        pub(super) fn start(labels: Labels) -> Self {
            Self { labels, started: Instant::now() }
        }

        pub(super) fn end(&self, error: Option<&'static str>) {
            let Labels { backend, kind, operation } = self.labels;
            metrics::histogram!(OPERATION_DURATION, "backend" => backend, "kind" => kind, "operation" => operation)
                .record(self.started.elapsed());
            if let Some(code) = error {
                count_error(self.labels, code);
            }
        }
    }

    pub(super) fn count_error(labels: Labels, code: &'static str) {
        let Labels { backend, kind, operation } = labels;
        metrics::counter!(
            OPERATION_ERRORS, "backend" => backend, "kind" => kind, "operation" => operation, "code" => code
        )
        .increment(1);
    }

    pub(super) fn count_missed(labels: Labels) {
        let Labels { backend, kind, .. } = labels;
        metrics::counter!(FANOUT_MISSED, "backend" => backend, "kind" => kind).increment(1);
    }
}

#[cfg(not(feature = "metrics"))]
mod without_metrics {
    use super::Labels;

    pub(super) struct Meter;

    impl Meter {
        pub(super) const fn start(_: Labels) -> Self {
            Self
        }

        pub(super) const fn end(&self, _: Option<&'static str>) {}
    }

    pub(super) const fn count_error(_: Labels, _: &'static str) {}

    pub(super) const fn count_missed(_: Labels) {}
}
