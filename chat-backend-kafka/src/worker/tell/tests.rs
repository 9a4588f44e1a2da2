use std::sync::Arc;

use async_trait::async_trait;
use chat_core::{
    AppendOutcome, Backend, Fanout, MessageLog, Refusal, Storage as _,
    fanout::{Subscription, Topic},
    memory::MemoryStore,
    testkit::fixtures::draft,
};
use rdkafka::message::Headers as _;
use tokio::time::Instant;

use super::*;
use crate::worker::WorkerConfig;

/// It never answers.
#[derive(Debug)]
struct Hangs;

#[async_trait]
impl Backend for Hangs {
    fn name(&self) -> &'static str {
        "hangs"
    }

    async fn health(&self) -> chat_core::Result<()> {
        std::future::pending().await
    }
}

#[async_trait]
impl Fanout for Hangs {
    async fn publish(&self, _: &[Publication]) -> chat_core::Result<()> {
        std::future::pending().await
    }

    async fn subscribe(&self, _: &Topic) -> chat_core::Result<Subscription> {
        std::future::pending().await
    }
}

fn log() -> Arc<dyn MessageLog> {
    MemoryStore::new().message_log()
}

fn letter(index: usize, is_dead: bool, payload: usize, copied: Option<usize>) -> Letter {
    let own = with_header(OwnedHeaders::new(), record::REASON, "why");
    let headers = copied.map(|bytes| with_header(own.clone(), "copied", &"x".repeat(bytes)));
    Letter {
        index,
        is_dead,
        key: b"k".to_vec(),
        payload: vec![b'x'; payload],
        headers: headers.unwrap_or_else(|| own.clone()),
        own_headers: copied.map(|_| own),
    }
}

fn names(letter: &Letter) -> Vec<&str> {
    letter.headers.iter().map(|header| header.key).collect()
}

#[tokio::test]
async fn of_a_batch_only_what_is_too_large_is_cut() {
    const LARGE: usize = 2 * 1024 * 1024;
    let shared = Shared::of_test(WorkerConfig::new(), log());
    let letters = vec![
        letter(0, true, 10, Some(10)),
        letter(1, true, LARGE, Some(10)),
        letter(2, true, 10, Some(LARGE)),
        letter(3, false, LARGE, None),
        letter(4, false, 10, None),
    ];
    // Nobody is there to have them, so all are left: as far as they had to be cut.
    let (left, error) = send(&shared, letters).await;
    assert_eq!(error.map(|error| error.kind()), Some(KafkaErrorKind::Timeout));
    assert_eq!(left.iter().map(|letter| letter.index).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert_eq!(left.iter().map(|letter| letter.payload.len()).collect::<Vec<_>>(), [10, 0, 0, 0, 10]);
    assert_eq!(names(&left[0]), [record::REASON, "copied"]);
    assert_eq!(names(&left[1]), [record::REASON, "copied", VALUE_OMITTED]);
    assert_eq!(names(&left[2]), [record::REASON, VALUE_OMITTED, HEADERS_OMITTED]);
    assert_eq!(names(&left[3]), [record::REASON, VALUE_OMITTED]);
    assert_eq!(names(&left[4]), [record::REASON]);
}

#[test]
fn a_letter_is_cut_until_nothing_is_left_to_cut() {
    let mut letter = letter(0, true, 1, Some(1));
    letter.key = vec![b'k'; MAX_KEY + 1];
    let cuts = (0..).take_while(|_| letter.shorten()).count();
    assert_eq!((cuts, letter.key.len()), (3, 0));
    assert_eq!(names(&letter), [record::REASON, VALUE_OMITTED, HEADERS_OMITTED, KEY_OMITTED]);
}

#[tokio::test]
async fn a_reason_is_told_as_far_as_a_header_has_room() {
    let shared = Shared::of_test(WorkerConfig::new(), log());
    let items = [Item::of_draft(0, 1, 0, draft("r", "ann", "c", "hello"))];
    let reason = "x".repeat(1024 * 1024);
    let (letters, _) = prepare(&shared, &items, vec![Some(Settled::Poison(reason))]);
    let header = record::header(Some(&letters[0].headers), record::REASON).unwrap();
    assert_eq!(header.len(), 1_000);
    assert!(letters[1].payload.len() < 2_000);
}

#[tokio::test]
async fn a_fan_out_that_hangs_holds_up_for_a_second_and_not_what_is_lost() {
    let topics = crate::TopicNames::with_prefix("");
    let shared = Shared::of_test_with(WorkerConfig::new(), topics, log(), Some(Arc::new(Hangs)));
    shared.ledger().begin(0);
    let term = shared.ledger().term(0).unwrap();
    let items = [Item::of_draft(0, term, 0, draft("r", "ann", "c", "hello"))];
    let refused = Settled::Outcome(AppendOutcome::Refused(Refusal::NotAMember));
    let (_, publications) = prepare(&shared, &items, vec![Some(refused)]);
    assert_eq!(publications.len(), 1);
    let begun = Instant::now();
    publish(&shared, &items, &publications).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let begun = Instant::now();
    let lose = async {
        sleep(Duration::from_millis(50)).await;
        shared.lose_all();
    };
    tokio::join!(publish(&shared, &items, &publications), lose);
    assert!(begun.elapsed() < ANNOUNCE / 2, "{:?}", begun.elapsed());
}
