use chat_core::testkit::fixtures::draft;

use super::*;
use crate::worker::reading::Came;

fn item(ledger: &Ledger, partition: i32, offset: i64) -> Item {
    let term = ledger.term(partition).unwrap();
    Item::of_draft(partition, term, offset, draft("r", "ann", "c", "hello"))
}

fn with(ledger: &mut Ledger, partition: i32, offsets: std::ops::Range<i64>) {
    for offset in offsets {
        ledger.push(item(ledger, partition, offset));
    }
}

fn offsets(batch: &[Item]) -> Vec<(i32, i64)> {
    batch.iter().map(|item| (item.partition, item.offset)).collect()
}

#[test]
fn one_batch_of_a_lane_is_at_the_store_and_the_next_one_gathers() {
    let mut ledger = Ledger::new(2, 2, 1_000_000);
    ledger.begin(0);
    ledger.begin(1);
    with(&mut ledger, 0, 5..8);
    let batch = ledger.next_batch(0).unwrap();
    assert_eq!(offsets(&batch), [(0, 5), (0, 6)]);
    assert!(ledger.next_batch(0).is_none() && ledger.next_batch(1).is_none());
    with(&mut ledger, 1, 0..1);
    assert!(ledger.next_batch(1).is_some());
    ledger.stored(0);
    assert_eq!(offsets(&ledger.next_batch(0).unwrap()), [(0, 7)]);
    ledger.finish(&batch);
    assert_eq!(ledger.uncommitted(false, |_| true), [(0, 7)]);
    assert!(ledger.uncommitted(false, |_| true).is_empty() && !ledger.is_idle(|_| true));
    assert_eq!(ledger.uncommitted(true, |_| true), [(0, 7)]);
    ledger.not_committed(0);
    assert!(ledger.is_dirty());
    assert_eq!(ledger.uncommitted(false, |_| true), [(0, 7)]);
    ledger.committed(0, 7);
    assert!(ledger.uncommitted(true, |_| true).is_empty() && !ledger.is_dirty());
}

#[test]
fn what_is_another_workers_now_is_neither_begun_nor_committed() {
    let mut ledger = Ledger::new(1, 2, 1_000_000);
    ledger.begin(0);
    ledger.begin(1);
    with(&mut ledger, 0, 0..1);
    with(&mut ledger, 1, 0..1);
    let batch = ledger.next_batch(0).unwrap();
    with(&mut ledger, 0, 1..2);
    with(&mut ledger, 1, 1..2);
    ledger.end(0);
    assert!(!ledger.has(0, batch[0].term) && ledger.has(1, batch[1].term));
    assert!(!ledger.is_idle(|partition| partition == 0));
    ledger.finish(&batch);
    assert!(ledger.is_idle(|_| true));
    assert_eq!(ledger.uncommitted(false, |_| true), [(1, 1)]);
    ledger.stored(0);
    assert_eq!(offsets(&ledger.next_batch(0).unwrap()), [(1, 1)]);
    // Given back, it is begun anew, and what was under way of it before counts no more.
    ledger.begin(0);
    ledger.finish(&batch);
    assert!(ledger.uncommitted(false, |_| true).is_empty());
}

#[test]
fn a_lane_takes_two_batches_and_a_large_record_goes_alone() {
    let mut ledger = Ledger::new(1, 2, size_of::<Item>());
    ledger.begin(0);
    with(&mut ledger, 0, 0..1);
    assert!(!ledger.is_full());
    with(&mut ledger, 0, 1..3);
    assert!(ledger.is_full());
    assert_eq!(offsets(&ledger.next_batch(0).unwrap()), [(0, 0)]);
}

#[test]
fn a_partition_is_read_once_it_is_released_and_while_its_lane_goes_on() {
    let nothing = (vec![], vec![]);
    let mut ledger = Ledger::new(1, 1, 1_000_000);
    ledger.begin(0);
    let [hold] = ledger.held()[..] else { panic!("not held") };
    ledger.release(0, hold.1 + 1, 5, false);
    assert_eq!((ledger.held(), ledger.turn(false)), (vec![hold], nothing.clone()));
    ledger.release(0, hold.1, 5, false);
    assert_eq!(ledger.uncommitted(false, |_| true), [(0, 5)]);
    assert_eq!((ledger.turn(false), ledger.turn(false)), ((vec![], vec![0]), nothing.clone()));
    ledger.not_turned(&[0]);
    assert_eq!(ledger.turn(false), (vec![], vec![0]));
    ledger.trouble(0, true);
    assert_eq!(ledger.turn(false), (vec![0], vec![]));
    ledger.stored(0);
    assert_eq!(ledger.turn(false), (vec![], vec![0]));
    with(&mut ledger, 0, 0..2);
    assert_eq!((ledger.turn(false), ledger.turn(true)), (nothing, (vec![0], vec![])));
}

#[test]
fn a_partition_that_cannot_be_read_on_is_paused_until_it_is_given_anew() {
    let mut ledger = Ledger::new(1, 10, 1_000_000);
    ledger.begin(0);
    let [(_, term)] = ledger.held()[..] else { panic!("not held") };
    ledger.release(0, term, 0, true);
    assert_eq!(ledger.turn(false), (vec![], vec![0]));
    with(&mut ledger, 0, 0..1);
    ledger.block(0, 2);
    assert!(ledger.readable(0).is_none());
    assert_eq!(ledger.term(0), Some(term));
    assert_eq!((ledger.turn(false), ledger.turn(false)), ((vec![0], vec![]), (vec![], vec![])));
    assert_eq!(ledger.blocked().collect::<Vec<_>>(), [(0, 2)]);
    // What came before is done and committed, and no more.
    let batch = ledger.next_batch(0).unwrap();
    ledger.finish(&batch);
    assert_eq!(ledger.uncommitted(false, |_| true), [(0, 1)]);
    ledger.begin(0);
    assert!(ledger.readable(0).is_none(), "it is held");
    ledger.release(0, ledger.term(0).unwrap(), 1, true);
    assert_eq!(ledger.readable(0).unwrap().1.take(2), Came::Early(1));
    assert!(ledger.blocked().next().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_commit_without_an_answer_is_made_again() {
    let mut ledger = Ledger::new(1, 10, 1_000_000);
    ledger.begin(0);
    with(&mut ledger, 0, 0..2);
    let batch = ledger.next_batch(0).unwrap();
    ledger.finish(&batch);
    let mut due = || ledger.uncommitted(false, |_| true);
    assert_eq!((due(), due()), (vec![(0, 2)], vec![]));
    tokio::time::advance(UNCONFIRMED).await;
    assert_eq!((due(), due()), (vec![(0, 2)], vec![]));
    ledger.committed(0, 2);
    tokio::time::advance(UNCONFIRMED).await;
    assert_eq!(ledger.uncommitted(false, |_| true), []);
}

#[test]
fn without_a_consumer_nothing_is_held_or_waits() {
    let mut ledger = Ledger::new(1, 10, 1_000_000);
    ledger.begin(0);
    with(&mut ledger, 0, 0..2);
    ledger.end_all();
    assert_eq!((ledger.partitions().count(), ledger.is_full()), (0, false));
    assert!(ledger.next_batch(0).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_partition_of_which_nothing_comes_is_read_anew_while_it_is_this_workers() {
    let mut ledger = Ledger::new(1, 10, 1_000_000);
    for partition in 0..3 {
        ledger.begin(partition);
        ledger.release(partition, ledger.term(partition).unwrap(), 4, true);
    }
    let long = Duration::from_secs(60);
    let note = |ledger: &mut Ledger| {
        ledger.drained();
        // Of partition 1 it is not known how far it goes, and 2 has no more.
        ledger.note_ends(|partition| [Some(6), None, Some(4)][usize::try_from(partition).unwrap()])
    };
    note(&mut ledger);
    tokio::time::advance(long).await;
    assert!(!note(&mut ledger), "they are paused");
    ledger.turn(false);
    assert!(!note(&mut ledger));
    tokio::time::advance(long).await;
    assert!(note(&mut ledger));
    assert_eq!((ledger.take_seeks(), ledger.take_seeks()), (vec![(0, 4)], vec![]));

    assert_eq!(ledger.readable(0).unwrap().1.take(4), Came::Next);
    note(&mut ledger);
    tokio::time::advance(long).await;
    assert!(note(&mut ledger));
    assert_eq!(ledger.readable(0).unwrap().1.take(5), Came::Next);
    assert!(ledger.take_seeks().is_empty(), "it came before it was looked for");

    let note = |ledger: &mut Ledger| {
        ledger.drained();
        ledger.note_ends(|_| Some(8))
    };
    note(&mut ledger);
    tokio::time::advance(long).await;
    assert!(note(&mut ledger));
    (0..3).for_each(|partition| ledger.end(partition));
    assert!(ledger.take_seeks().is_empty(), "they are another worker's now");
}
