//! What workers do when something is wrong with a record, with the store, or with themselves.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod log;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chat_backend_kafka::{Ack, Persisted, QueueConfig, Step, Steps, Worker};
use chat_core::{
    AppendOutcome, Authority, Error, Fanout, MemberChange, MessageLog, ReadQuery, Refusal, SendFailure,
    fanout::{FanoutEvent, FanoutItem, Subscription, Topic},
    memory::MemoryFanout,
    testkit::fixtures::{append, draft, room, user},
};
use chat_test_services::Kafka;
use futures::StreamExt as _;
use log::{
    PATIENCE, Stage,
    broken::{Broken, Fault},
    load::{make_rooms, texts},
    persisted, quick, topic, until,
};
use rdkafka::message::{Header, OwnedHeaders};
use tokio::{sync::Notify, time::timeout};

const ROOM: &str = "r0";

/// A stage with one room and one writer, `w0`.
async fn stage(partitions: i32) -> Stage {
    let stage = Stage::memory(Kafka::shared().await.unwrap(), partitions).await;
    make_rooms(&stage.rooms, 1, 1).await;
    stage
}

async fn send(log: &impl MessageLog, client: &str, text: &str) -> Result<AppendOutcome, Error> {
    log.append(&[draft(ROOM, "w0", client, text)]).await.map(|mut outcomes| outcomes.remove(0))
}

async fn accept(log: &impl MessageLog, client: &str, text: &str) {
    assert_eq!(send(log, client, text).await.unwrap(), AppendOutcome::Accepted);
}

async fn stored(stage: &Stage) -> Vec<String> {
    texts(&*stage.log, &room(ROOM)).await.into_iter().map(|(_, text)| text).collect()
}

async fn event(subscription: &mut Subscription) -> Arc<FanoutEvent> {
    match timeout(PATIENCE, subscription.next()).await.unwrap().unwrap().unwrap() {
        FanoutItem::Event(event) => event,
        FanoutItem::Missed => panic!("nothing can be missed here"),
    }
}

/// Stops a worker for good when it has come to a step for the given time.
#[derive(Debug)]
struct StopAt {
    step: Step,
    times: AtomicUsize,
    reached: Notify,
}

#[async_trait]
impl Steps for StopAt {
    async fn reached(&self, step: Step) {
        if step == self.step && self.times.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.reached.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

/// Kills a worker at a step, lets another one go on, and looks at what was stored and told.
async fn killed_at(step: Step) {
    const MESSAGES: usize = 40;
    let stage = stage(1).await;
    let queue = stage.queue(QueueConfig::new()).await;
    let steps = Arc::new(StopAt { step, times: AtomicUsize::new(3), reached: Notify::new() });
    let worker = quick(&stage.config).with_max_batch(5, 1_000_000).with_commit_interval(Duration::ZERO);
    let doomed = stage.worker_with(worker.clone().with_steps(steps.clone()));
    for n in 0..MESSAGES {
        accept(&queue, &format!("c{n}"), &n.to_string()).await;
    }
    timeout(PATIENCE, steps.reached.notified()).await.unwrap();
    doomed.abort().await;
    let _next = stage.worker_with(worker);
    until("all is stored", async || stored(&stage).await.len() == MESSAGES).await;
    let expected: Vec<_> = (0..MESSAGES).map(|n| n.to_string()).collect();
    assert_eq!(stored(&stage).await, expected);

    // Whoever listens has heard of each, at its place.
    let head = stage.log.heads(&[room(ROOM)]).await.unwrap()[0].clone().unwrap();
    assert_eq!(head.cursor.seq.get(), MESSAGES as u64);
    let told = async || {
        let mut told = BTreeMap::new();
        for record in topic::records(&stage.config, &stage.config.topics().persisted).await {
            let message = match record.persisted() {
                Persisted::Stored { message } | Persisted::Duplicate { message } => message,
                other => panic!("{other:?}"),
            };
            assert_eq!((record.key.as_str(), record.headers.contains_key("outcome")), (ROOM, true));
            told.insert(message.seq(), message);
        }
        told
    };
    until("all is told", async || told().await.len() == MESSAGES).await;
    let told = told().await;
    let page = stage.log.read(&room(ROOM), ReadQuery::newest().with_limit(1_000)).await.unwrap();
    assert!(page.entries.iter().all(|entry| told.get(&entry.seq()) == Some(entry)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_before_it_stores_leaves_all_to_the_next() {
    killed_at(Step::Read).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_stored_is_told_by_the_next() {
    killed_at(Step::Stored).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_told_is_told_again_as_it_is_stored() {
    killed_at(Step::Told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_committed_is_not_begun_again() {
    killed_at(Step::Committed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_read_becomes_a_dead_letter_and_holds_nothing_up() {
    let stage = stage(1).await;
    let (messages, letters) = (&stage.config.topics().messages, &stage.config.topics().dead_letters);
    let headers = OwnedHeaders::new().insert(Header { key: "from", value: Some("elsewhere") });
    topic::write(&stage.config, messages, "k", b"nonsense", headers).await;
    topic::write(&stage.config, messages, "k", br#"{"v":1,"letter":1}"#, OwnedHeaders::new()).await;
    let _worker = stage.worker();
    let queue = stage.queue(persisted()).await;
    assert!(matches!(send(&queue, "c1", "after").await.unwrap(), AppendOutcome::New(_)));
    until("both are dead letters", async || topic::records(&stage.config, letters).await.len() == 2).await;
    let dead = topic::records(&stage.config, letters).await;
    assert_eq!((dead[0].key.as_str(), dead[0].value.as_slice()), ("k", b"nonsense".as_slice()));
    let header = |n: usize, name: &str| dead[n].headers[name].as_str();
    assert!(header(0, "reason").contains("cannot be read"), "{:?}", dead[0]);
    assert_eq!(header(0, "original-topic"), messages);
    assert_eq!((header(0, "original-partition"), header(0, "original-offset")), ("0", "0"));
    assert_eq!(header(0, "from"), "elsewhere");
    assert!(header(1, "reason").contains("cannot be read"), "{:?}", dead[1]);
    assert_eq!(header(1, "original-offset"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_a_newer_version_stops_its_partition_and_is_never_a_dead_letter() {
    let stage = stage(1).await;
    let (messages, letters) = (&stage.config.topics().messages, &stage.config.topics().dead_letters);
    let queue = stage.queue(QueueConfig::new()).await;
    accept(&queue, "c1", "before").await;
    topic::write(&stage.config, messages, "k", br#"{"v":2,"letter":1}"#, OwnedHeaders::new()).await;
    accept(&queue, "c2", "after").await;
    for _ in 0..2 {
        // The next one finds it again.
        let worker = stage.worker();
        until("it says so", async || worker.health().is_err()).await;
        until("what came before is committed", async || worker.lag() == Some(2)).await;
        assert!(worker.health().unwrap_err().with_causes().to_string().contains("version 2"));
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(stored(&stage).await, ["before"]);
        worker.shutdown(Duration::from_secs(5)).await.unwrap();
    }
    assert!(topic::records(&stage.config, letters).await.is_empty());
}

/// One message that the store cannot take, among others.
async fn poisoned_by(fault: Fault) {
    let mut stage = stage(1).await;
    let broken = Broken::new(Arc::clone(&stage.log));
    stage.log = broken.clone();
    broken.fails(fault);
    let queue = stage.queue(QueueConfig::new()).await;
    let waits = stage.queue(persisted()).await;
    for n in 0..20 {
        accept(&queue, &format!("c{n}"), if n == 7 { "poison" } else { "fine" }).await;
    }
    let _worker = stage.worker();
    until("all others are stored", async || stored(&stage).await.len() == 19).await;
    let letters = &stage.config.topics().dead_letters;
    until("the one is a dead letter", async || topic::records(&stage.config, letters).await.len() == 1).await;
    let dead = topic::records(&stage.config, letters).await;
    assert_eq!(dead[0].headers["original-offset"], "7");
    assert!(String::from_utf8_lossy(&dead[0].value).contains("poison"));
    let told = topic::records(&stage.config, &stage.config.topics().persisted).await;
    assert!(told.iter().any(|record| matches!(record.persisted(), Persisted::DeadLettered { .. })));
    // Whoever waits for it is told that it failed for good, and nobody else is.
    let both = [draft(ROOM, "w0", "c-again", "poison"), draft(ROOM, "w0", "c-with", "fine")];
    let outcomes = waits.append(&both).await.unwrap();
    assert_eq!(outcomes[0], AppendOutcome::Refused(Refusal::Unstorable));
    assert!(matches!(outcomes[1], AppendOutcome::New(_)), "{outcomes:?}");
    assert!(matches!(send(&waits, "c-after", "fine").await.unwrap(), AppendOutcome::New(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_the_store_fails_at_becomes_a_dead_letter_and_the_others_are_stored() {
    poisoned_by(Fault::PoisonedBy("poison")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_the_store_panics_at_becomes_a_dead_letter() {
    poisoned_by(Fault::PanicsAt("poison")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_denies_everything_makes_no_dead_letters() {
    let mut stage = stage(1).await;
    let broken = Broken::new(Arc::clone(&stage.log));
    stage.log = broken.clone();
    broken.fails(Fault::Denies);
    let queue = stage.queue(QueueConfig::new()).await;
    for n in 0..30 {
        accept(&queue, &format!("c{n}"), &n.to_string()).await;
    }
    let worker = stage.worker();
    let letters = &stage.config.topics().dead_letters;
    until("the worker waits for the store", async || worker.health().is_err() && broken.calls() > 20).await;
    broken.fails(Fault::None);
    until("all is stored", async || stored(&stage).await.len() == 30).await;
    until("it is well", async || worker.health().is_ok()).await;
    assert!(topic::records(&stage.config, letters).await.is_empty());
    assert_eq!(stored(&stage).await[0], "0");
}

/// A store that is away for longer than a worker may be silent.
async fn a_store_that(fault: Fault) {
    let mut stage = stage(2).await;
    let broken = Broken::new(Arc::clone(&stage.log));
    stage.log = broken.clone();
    let queue = stage.queue(QueueConfig::new()).await;
    let worker =
        quick(&stage.config).with_max_batch(5, 1_000_000).with_append_timeout(Duration::from_secs(1));
    let worker = stage.worker_with(worker);
    until("it has its partitions", async || worker.partitions() == 2).await;
    broken.fails(fault);
    for n in 0..100 {
        accept(&queue, &format!("c{n}"), &n.to_string()).await;
    }
    until("it says so", async || worker.health().is_err()).await;
    until("its lag is seen", async || worker.lag() == Some(100)).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(worker.partitions(), 2, "it is still in its group");
    assert!(broken.calls() < 200, "it does not hammer on the store");
    broken.fails(Fault::None);
    until("all is stored", async || stored(&stage).await.len() == 100).await;
    assert_eq!(stored(&stage).await, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
    until("it is well", async || worker.health().is_ok() && worker.lag() == Some(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_is_waited_for_without_leaving_the_group() {
    a_store_that(Fault::Away).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_hangs_is_waited_for_without_leaving_the_group() {
    a_store_that(Fault::Hangs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_stored_is_told_to_its_sender_and_what_is_goes_to_the_room() {
    let stage = stage(1).await;
    let fanout = Arc::new(MemoryFanout::new());
    let log = Arc::clone(&stage.log);
    let _worker = Worker::start(&stage.config, quick(&stage.config), log, Some(fanout.clone())).unwrap();
    let queue = stage.queue(QueueConfig::new()).await;
    let mut of_room = fanout.subscribe(&Topic::Room(room(ROOM))).await.unwrap();
    let mut of_sender = fanout.subscribe(&Topic::User(user("w0"))).await.unwrap();
    accept(&queue, "c1", "one").await;
    let FanoutEvent::Message(first) = &*event(&mut of_room).await else { panic!("no message") };
    // The same again: the same message, as it is stored.
    accept(&queue, "c1", "one").await;
    let FanoutEvent::Message(again) = &*event(&mut of_room).await else { panic!("no message") };
    assert_eq!(again, first);
    // Another one under its name.
    accept(&queue, "c1", "two").await;
    let FanoutEvent::SendFailed { room: of, client_id, user: to, reason } = &*event(&mut of_sender).await
    else {
        panic!("no failure")
    };
    assert_eq!((of.as_str(), client_id.as_str(), to.as_str()), (ROOM, "c1", "w0"));
    assert_eq!(*reason, SendFailure::Conflict(first.position.clone()));
    // Removed after it was accepted, within what the queue remembers.
    stage.rooms.change_member(&room(ROOM), MemberChange::remove(user("w0"))).await.unwrap();
    accept(&queue, "c2", "late").await;
    let FanoutEvent::SendFailed { reason, .. } = &*event(&mut of_sender).await else { panic!("no failure") };
    assert_eq!(*reason, SendFailure::Refused(Refusal::NotAMember));
    // And not accepted any more, once that is forgotten.
    until("it is known", async || {
        send(&queue, "c3", "later").await.unwrap() == AppendOutcome::Refused(Refusal::NotAMember)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_finishes_commits_and_leaves() {
    let stage = stage(2).await;
    let queue = stage.queue(QueueConfig::new()).await;
    let worker = stage.worker();
    for n in 0..50 {
        accept(&queue, &format!("c{n}"), &n.to_string()).await;
    }
    until("something is stored", async || !stored(&stage).await.is_empty()).await;
    worker.shutdown(Duration::from_secs(10)).await.unwrap();
    assert!(matches!(worker.health(), Err(Error::Draining)));
    let told = topic::records(&stage.config, &stage.config.topics().persisted).await.len();
    assert_eq!(told, stored(&stage).await.len(), "what is stored is told");
    // It has left, so the next one begins at once and not when a silent one is given up; and begins nothing twice.
    let next = stage.worker();
    timeout(Duration::from_secs(5), until("it begins", async || next.partitions() == 2)).await.unwrap();
    until("all is stored", async || stored(&stage).await.len() == 50).await;
    next.shutdown(Duration::from_secs(10)).await.unwrap();
    assert_eq!(topic::records(&stage.config, &stage.config.topics().persisted).await.len(), 50);
    queue.shutdown(Duration::from_secs(10)).await.unwrap();
    assert!(matches!(send(&queue, "c-late", "late").await, Err(Error::Draining)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_does_not_wait_for_a_store_that_hangs() {
    let mut stage = stage(1).await;
    let broken = Broken::new(Arc::clone(&stage.log));
    stage.log = broken.clone();
    broken.fails(Fault::Hangs);
    let worker = stage.worker();
    let queue = stage.queue(QueueConfig::new()).await;
    accept(&queue, "c1", "one").await;
    until("it is at the store", async || broken.calls() > 0).await;
    let ended = timeout(Duration::from_secs(3), worker.shutdown(Duration::from_secs(1))).await.unwrap();
    assert!(matches!(ended, Err(Error::Timeout { .. })), "{ended:?}");
    broken.fails(Fault::None);
    let _next = stage.worker();
    until("the next one stores it", async || stored(&stage).await == ["one"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_service_says_needs_no_membership_and_what_strangers_say_is_refused() {
    let stage = stage(1).await;
    let _worker = stage.worker();
    for ack in [Ack::Accepted, Ack::Persisted] {
        let queue = stage.queue(persisted().with_ack(ack)).await;
        let outcomes = queue
            .append(&[
                draft(ROOM, "stranger", "c1", "let me in"),
                draft("none", "w0", "c1", "anybody?"),
                draft(ROOM, "service", &format!("{ack:?}"), "welcome").with_authority(Authority::System),
            ])
            .await
            .unwrap();
        assert_eq!(outcomes[0], AppendOutcome::Refused(Refusal::NotAMember));
        assert_eq!(outcomes[1], AppendOutcome::Refused(Refusal::RoomMissing));
        let taken = matches!(
            (ack, &outcomes[2]),
            (Ack::Accepted, AppendOutcome::Accepted) | (Ack::Persisted, AppendOutcome::New(_))
        );
        assert!(taken, "{outcomes:?}");
    }
    until("both are stored", async || stored(&stage).await.len() == 2).await;
    let refused = append(&stage.store(), draft(ROOM, "stranger", "c1", "let me in")).await;
    assert_eq!(refused, AppendOutcome::Refused(Refusal::NotAMember));
}
