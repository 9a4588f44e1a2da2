//! What `Observed` tells about calls. In a process of its own: whether a span is on is settled for the whole process when
//! its place in the code is first passed, so tests at the same time could switch each other's off.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use futures::{FutureExt as _, StreamExt as _};
use tracing::field::{Field, Visit};
use tracing_subscriber::{layer::SubscriberExt as _, registry::LookupSpan};

use chat_core::{
    AppendOutcome, Authority, Backend, ClientMessageId, Content, Draft, Durability, Error, Fanout, Head,
    MessageLog, Observed, Page, ReadQuery, Refusal, Result, Retention, Retry, RoomId, UserId,
    auth::{Access, Action, Auth, AuthError, Authorize, Credentials, Decision, Principal, RoleAuthorizer},
    fanout::{FanoutItem, Publication, Subscription, Topic},
};

/// Held by each test as long as it makes calls.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Takes everything but reads, which fail, and trims, which never end.
#[derive(Debug)]
struct Odd;

#[async_trait]
impl Backend for Odd {
    fn name(&self) -> &'static str {
        "odd"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl MessageLog for Odd {
    fn durability(&self) -> Durability {
        Durability::Volatile
    }

    async fn append(&self, drafts: &[Draft]) -> Result<Vec<AppendOutcome>> {
        tracing::info!("inside");
        Ok(drafts.iter().map(|_| AppendOutcome::Refused(Refusal::RoomInactive)).collect())
    }

    async fn read(&self, _room: &RoomId, _query: ReadQuery) -> Result<Page> {
        Err(Error::backend("odd", "read", Retry::Later, "down"))
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>> {
        Ok(vec![None; rooms.len()])
    }

    async fn trim(&self, _room: &RoomId, _retention: Retention) -> Result<Head> {
        std::future::pending().await
    }
}

#[async_trait]
impl Fanout for Odd {
    async fn publish(&self, _events: &[Publication]) -> Result<()> {
        Ok(())
    }

    async fn subscribe(&self, _topic: &Topic) -> Result<Subscription> {
        let last = Err(Error::backend("odd", "receive", Retry::Later, "cut off"));
        let items = [Ok(FanoutItem::Missed), Ok(FanoutItem::Missed), last];
        Ok(Subscription::new(futures::stream::iter(items)))
    }
}

#[async_trait]
impl Auth for Odd {
    async fn authenticate(&self, _credentials: &Credentials) -> Result<Principal> {
        Err(AuthError::Expired.into())
    }

    async fn revalidate(&self, _principal: &Principal) -> Result<()> {
        Ok(())
    }
}

fn room() -> RoomId {
    RoomId::new("room-1").unwrap()
}

fn draft(text: &str) -> Draft {
    let sender = UserId::new("ann").unwrap();
    Draft::new(room(), sender, ClientMessageId::generate(), Content::text(text))
}

/// The fields of every span, by the span's name, and the spans that events were in.
#[derive(Clone, Default)]
struct Spans {
    fields: Arc<Mutex<BTreeMap<&'static str, BTreeMap<&'static str, String>>>>,
    around_events: Arc<Mutex<Vec<&'static str>>>,
}

struct Into<'a>(&'a mut BTreeMap<&'static str, String>);

impl Visit for Into<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

type Context<'a, S> = tracing_subscriber::layer::Context<'a, S>;

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Spans {
    fn on_new_span(&self, span: &tracing::span::Attributes<'_>, _: &tracing::Id, _: Context<'_, S>) {
        assert_eq!(*span.metadata().level(), tracing::Level::DEBUG);
        let mut fields = self.fields.lock().unwrap();
        span.record(&mut Into(fields.entry(span.metadata().name()).or_default()));
    }

    fn on_record(&self, id: &tracing::Id, values: &tracing::span::Record<'_>, context: Context<'_, S>) {
        let mut fields = self.fields.lock().unwrap();
        values.record(&mut Into(fields.entry(context.span(id).unwrap().name()).or_default()));
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        if let Some(span) = context.event_span(event) {
            self.around_events.lock().unwrap().push(span.name());
        }
    }
}

/// One of each: a success, a failure, a call that is given up, a lossy subscription, a refusal.
fn some_calls() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let log: Observed<Arc<dyn MessageLog>> = Observed::new(Arc::new(Odd));
        assert_eq!(log.durability(), Durability::Volatile);
        assert_eq!(log.append(&[draft("secret words"), draft("more")]).await.unwrap().len(), 2);
        assert!(log.read(&room(), ReadQuery::newest()).await.is_err());
        assert!(log.trim(&room(), Retention::default()).now_or_never().is_none());

        let fanout = Observed::new(Odd);
        let items = fanout.subscribe(&Topic::Room(room())).await.unwrap().collect::<Vec<_>>().await;
        assert_eq!(items.len(), 3);

        assert!(fanout.authenticate(&Credentials::token("secret-token")).await.is_err());
        let ann = Principal::new(UserId::new("ann").unwrap()).with_role("admin");
        let room = room();
        let access = Access::new(&ann, Action::ManageRoom, Some(&room), None);
        let decision = Observed::new(RoleAuthorizer::new()).authorize(access).await.unwrap();
        assert_eq!(decision, Decision::Allow(Authority::Moderator));
        Observed::new(Odd).health().await.unwrap();
    });
}

#[test]
fn every_call_has_a_span_with_its_fields_and_nothing_private() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let spans = Spans::default();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(spans.clone()), some_calls);
    let fields = spans.fields.lock().unwrap();
    let shown: Vec<_> = fields.iter().map(|(name, fields)| format!("{name} {fields:?}")).collect();
    assert_eq!(
        shown,
        [
            r#"chat.auth.authenticate {"backend": "odd", "error": "token_expired"}"#,
            r#"chat.authorize.authorize {"backend": "application", "room": "room-1"}"#,
            r#"chat.backend.health {"backend": "odd"}"#,
            r#"chat.fanout.subscribe {"backend": "odd", "room": "room-1"}"#,
            r#"chat.message_log.append {"backend": "odd", "count": "2"}"#,
            r#"chat.message_log.read {"backend": "odd", "error": "unavailable", "room": "room-1"}"#,
            r#"chat.message_log.trim {"backend": "odd", "error": "cancelled", "room": "room-1"}"#,
        ]
    );
    assert_eq!(*spans.around_events.lock().unwrap(), ["chat.message_log.append"]);
}

#[cfg(feature = "metrics")]
#[test]
fn the_reference_names_every_metric_and_no_other() {
    use metrics_util::debugging::DebuggingRecorder;
    use std::collections::BTreeSet;

    let text = include_str!("../src/observe/mod.rs");
    let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let rows = text.lines().filter(|line| line.starts_with("//! | [`chat_"));
    let reference: BTreeMap<String, BTreeSet<String>> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').collect();
            (quoted(cells[1]).remove(0), quoted(cells[3]).into_iter().collect())
        })
        .collect();

    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, some_calls);
    let mut emitted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (key, ..) in snapshotter.snapshot().into_vec() {
        let (_, key) = key.into_parts();
        let labels = emitted.entry(key.name().to_owned()).or_default();
        labels.extend(key.labels().map(|label| label.key().to_owned()));
    }
    assert_eq!(emitted, reference);
}

#[test]
fn the_buckets_rise() {
    assert!(chat_core::observe::DURATION_BUCKETS.is_sorted_by(|one, next| one < next));
}

#[cfg(feature = "metrics")]
#[test]
fn calls_failures_and_losses_are_counted_under_few_labels() {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        chat_core::observe::describe_metrics();
        some_calls();
    });
    let mut lines: Vec<String> = Vec::new();
    for (key, unit, description, value) in snapshotter.snapshot().into_vec() {
        let (_, key) = key.into_parts();
        assert!(unit.is_some() && description.is_some(), "{} is described", key.name());
        let mut labels: Vec<_> =
            key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        labels.sort();
        let value = match value {
            DebugValue::Counter(count) => count.to_string(),
            DebugValue::Histogram(times) => {
                assert!(times.iter().all(|time| (0.0..60.0).contains(&time.into_inner())));
                format!("{} times", times.len())
            }
            DebugValue::Gauge(_) => panic!("{} is a gauge", key.name()),
        };
        lines.push(format!("{} {} {value}", key.name(), labels.join(",")));
    }
    lines.sort();
    assert_eq!(
        lines,
        [
            "chat_fanout_missed_total backend=odd,kind=fanout 2",
            "chat_operation_duration_seconds backend=application,kind=authorize,operation=authorize 1 times",
            "chat_operation_duration_seconds backend=odd,kind=auth,operation=authenticate 1 times",
            "chat_operation_duration_seconds backend=odd,kind=backend,operation=health 1 times",
            "chat_operation_duration_seconds backend=odd,kind=fanout,operation=subscribe 1 times",
            "chat_operation_duration_seconds backend=odd,kind=message_log,operation=append 1 times",
            "chat_operation_duration_seconds backend=odd,kind=message_log,operation=read 1 times",
            "chat_operation_duration_seconds backend=odd,kind=message_log,operation=trim 1 times",
            "chat_operation_errors_total backend=odd,code=cancelled,kind=message_log,operation=trim 1",
            "chat_operation_errors_total backend=odd,code=token_expired,kind=auth,operation=authenticate 1",
            "chat_operation_errors_total backend=odd,code=unavailable,kind=fanout,operation=subscription 1",
            "chat_operation_errors_total backend=odd,code=unavailable,kind=message_log,operation=read 1",
        ]
    );
}
