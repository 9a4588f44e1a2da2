use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use chat_core::{
    Backend, Body, Content, Durability, Head, MemberChange, MessageLog, NewRoom, Page, ReadQuery, Retention,
    Role, RoomId, Rooms, Storage as _,
    memory::MemoryStore,
    testkit::fixtures::{draft, room, user},
};

use super::*;
use crate::worker::WorkerConfig;

/// A store in memory that fails on demand.
#[derive(Debug)]
struct Faulty {
    inner: Arc<dyn MessageLog>,
    /// It fails for good at these texts.
    poison: &'static [&'static str],
    /// It stores nothing any more, and fails for good; it says all the same what it has.
    denies: Mutex<bool>,
    /// So many drafts are too many for it.
    most: usize,
    calls: AtomicUsize,
    texts: Mutex<BTreeSet<String>>,
}

fn text(draft: &Draft) -> String {
    match &draft.content {
        Content::Chat { body: Body::Text(text) } => text.to_string(),
        other => panic!("{other:?}"),
    }
}

#[async_trait]
impl Backend for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl MessageLog for Faulty {
    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    async fn append(&self, drafts: &[Draft]) -> Result<Vec<AppendOutcome>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if drafts.len() > self.most {
            std::future::pending::<()>().await;
        }
        let denied = || Error::backend("faulty", "append", Retry::Never, "denied");
        let texts: Vec<_> = drafts.iter().map(text).collect();
        if texts.iter().any(|text| self.poison.contains(&text.as_str())) {
            return Err(denied());
        }
        if *self.denies.lock().unwrap() && texts.iter().any(|text| !self.texts.lock().unwrap().contains(text))
        {
            return Err(denied());
        }
        self.texts.lock().unwrap().extend(texts);
        self.inner.append(drafts).await
    }

    async fn read(&self, room: &RoomId, query: ReadQuery) -> Result<Page> {
        self.inner.read(room, query).await
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>> {
        self.inner.heads(rooms).await
    }

    async fn trim(&self, room: &RoomId, retention: Retention) -> Result<Head> {
        self.inner.trim(room, retention).await
    }
}

/// A worker with two lanes and a partition in each, and two rooms `a` and `b`.
struct Stage {
    log: Arc<Faulty>,
    shared: Arc<Shared>,
}

impl Stage {
    async fn new(poison: &'static [&'static str], most: usize) -> Self {
        let store = MemoryStore::new();
        for name in ["a", "b"] {
            store.rooms().create(NewRoom::new(room(name))).await.unwrap();
            let ann = MemberChange::add(user("ann"), Role::Member);
            store.rooms().change_member(&room(name), ann).await.unwrap();
        }
        let log = Arc::new(Faulty {
            inner: store.message_log(),
            poison,
            denies: Mutex::new(false),
            most,
            calls: AtomicUsize::new(0),
            texts: Mutex::default(),
        });
        let config = WorkerConfig::new()
            .with_lanes(2)
            .with_pauses(Duration::from_millis(2), Duration::from_millis(10))
            .with_append_timeout(Duration::from_millis(20));
        let shared = Shared::of_test(config, log.clone());
        shared.ledger().begin(0);
        shared.ledger().begin(1);
        Self { log, shared }
    }

    fn item(&self, partition: i32, offset: i64, in_room: &str, text: &str) -> Item {
        let term = self.shared.ledger().term(partition).unwrap();
        Item::of_draft(partition, term, offset, draft(in_room, "ann", text, text))
    }

    fn items(&self, texts: &[(&str, &str)]) -> Vec<Item> {
        texts.iter().zip(0..).map(|((room, text), offset)| self.item(0, offset, room, text)).collect()
    }

    async fn store(&self, items: &[Item]) -> Vec<Option<Settled>> {
        timeout(Duration::from_secs(5), store(&self.shared, 0, items)).await.unwrap()
    }

    /// It is not settled in the time of some fifty tries.
    async fn waits(&self, items: &[Item]) {
        let waited = timeout(Duration::from_millis(400), store(&self.shared, 0, items)).await;
        assert!(waited.is_err(), "{waited:?}");
        assert!(self.log.calls.load(Ordering::Relaxed) > 10);
        assert!(self.shared.health().is_err());
    }
}

fn is_stored(settled: &Option<Settled>) -> bool {
    matches!(settled, Some(Settled::Outcome(outcome)) if outcome.stored().is_some())
}

fn is_poison(settled: &Option<Settled>) -> bool {
    matches!(settled, Some(Settled::Poison(_)))
}

#[tokio::test]
async fn a_store_that_denies_everything_makes_no_dead_letter() {
    let stage = Stage::new(&[], usize::MAX).await;
    *stage.log.denies.lock().unwrap() = true;
    let items = stage.items(&[("a", "1"), ("b", "2"), ("a", "3")]);
    stage.waits(&items).await;
    *stage.log.denies.lock().unwrap() = false;
    assert!(stage.store(&items).await.iter().all(is_stored));
    stage.shared.health().unwrap();
}

#[tokio::test]
async fn a_message_is_poison_once_another_room_s_is_stored() {
    let stage = Stage::new(&["poison"], usize::MAX).await;
    let items = stage.items(&[("a", "poison"), ("a", "1"), ("b", "2")]);
    let settled = stage.store(&items).await;
    assert!(is_poison(&settled[0]) && is_stored(&settled[1]) && is_stored(&settled[2]), "{settled:?}");
}

#[tokio::test]
async fn a_message_that_nothing_follows_waits_for_one_that_comes_later() {
    let stage = Stage::new(&["poison"], usize::MAX).await;
    let items = stage.items(&[("a", "poison")]);
    stage.waits(&items).await;
    let later = stage.item(0, 1, "b", "later");
    let come = async {
        sleep(Duration::from_millis(50)).await;
        assert!(stage.shared.ledger().turn(false).0.is_empty(), "its partition is read on");
        stage.shared.ledger().push(later);
    };
    let (settled, ()) = tokio::join!(stage.store(&items), come);
    assert!(is_poison(&settled[0]));
    // It is stored already when its turn comes.
    let batch = stage.shared.ledger().next_batch(0).unwrap();
    let settled = stage.store(&batch).await;
    assert!(matches!(settled[0], Some(Settled::Outcome(AppendOutcome::Duplicate(_)))));
}

#[tokio::test]
async fn what_another_lane_stores_shows_whose_fault_it_is() {
    let stage = Stage::new(&["poison"], usize::MAX).await;
    let (items, others) = (stage.items(&[("a", "poison")]), AtomicUsize::new(0));
    let elsewhere = async {
        loop {
            let number = others.fetch_add(1, Ordering::Relaxed);
            let other = [stage.item(1, 0, "b", &number.to_string())];
            assert!(is_stored(&store(&stage.shared, 1, &other).await[0]));
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        settled = stage.store(&items) => assert!(is_poison(&settled[0])),
        () = elsewhere => {}
    }
}

#[tokio::test]
async fn that_a_store_knows_its_last_message_is_believed_for_one_dead_letter() {
    let stage = Stage::new(&[], usize::MAX).await;
    assert!(is_stored(&stage.store(&stage.items(&[("a", "1")])).await[0]));
    *stage.log.denies.lock().unwrap() = true;
    assert!(is_poison(&stage.store(&stage.items(&[("a", "2")])).await[0]));
    stage.waits(&stage.items(&[("a", "3"), ("b", "4")])).await;
}

#[tokio::test]
async fn what_the_store_has_removed_is_not_stored_again_to_try_it() {
    let stage = Stage::new(&["poison"], usize::MAX).await;
    assert!(is_stored(&stage.store(&stage.items(&[("a", "1")])).await[0]));
    let nothing = Retention { max_entries: Some(0), ..Retention::default() };
    stage.log.inner.trim(&room("a"), nothing).await.unwrap();
    let before = stage.log.inner.heads(&[room("a")]).await.unwrap();
    stage.waits(&stage.items(&[("a", "poison")])).await;
    assert_eq!(stage.log.inner.heads(&[room("a")]).await.unwrap(), before);
}

#[tokio::test]
async fn a_batch_that_is_too_much_for_a_slow_store_is_halved() {
    let stage = Stage::new(&[], 2).await;
    let texts: Vec<_> = (0..8).map(|number| number.to_string()).collect();
    let items = stage.items(&texts.iter().map(|text| ("a", text.as_str())).collect::<Vec<_>>());
    let settled = stage.store(&items).await;
    assert!(settled.iter().all(is_stored));
    let page = stage.log.inner.read(&room("a"), ReadQuery::newest()).await.unwrap();
    assert_eq!(page.entries.iter().map(|entry| entry.client_id.as_str()).collect::<Vec<_>>(), texts);
}
