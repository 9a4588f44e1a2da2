//! The conformance kit is worth what it catches: each of these logs breaks one guarantee, and a case must fail on it.
#![allow(clippy::unwrap_used, reason = "a test says why by panicking")]

mod broken_log;
mod faults;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use broken_log::{BrokenLog, Memory};
use chat_core::{
    Storage as _,
    memory::{MemorySnapshot, MemoryStore},
    testkit::{LogHarness, LogNode, Restore, RestoreHarness, fixtures, message_log as cases, run},
};
use faults::Fault;

/// Gives memory logs with a fault.
struct Broken(Fault);

fn node(store: &MemoryStore, fault: Fault, memory: &Arc<Mutex<Memory>>) -> LogNode {
    let (rooms, log) = (store.rooms(), store.message_log());
    let log = BrokenLog { log, rooms: rooms.clone(), fault, memory: memory.clone() };
    LogNode { log: Arc::new(log), rooms }
}

#[async_trait]
impl LogHarness for Broken {
    async fn nodes(&self, count: usize) -> Vec<LogNode> {
        let (store, memory) = (MemoryStore::new(), Arc::default());
        (0..count).map(|_| node(&store, self.0, &memory)).collect()
    }
}

struct Backup {
    store: MemoryStore,
    copy: MemorySnapshot,
    fault: Fault,
    memory: Arc<Mutex<Memory>>,
}

#[async_trait]
impl RestoreHarness for Broken {
    async fn node_with_backup(&self) -> (LogNode, Box<dyn Restore>) {
        let (store, memory) = (MemoryStore::new(), Arc::default());
        let copy = store.snapshot();
        let first = node(&store, self.0, &memory);
        (first, Box::new(Backup { store, copy, fault: self.0, memory }))
    }
}

#[async_trait]
impl Restore for Backup {
    async fn backup(&mut self) {
        self.copy = self.store.snapshot();
    }

    async fn restore(&mut self) -> LogNode {
        if self.fault == Fault::RestoreKeepsEpoch {
            let room = fixtures::room("r");
            let head = self.store.message_log().heads(&[room]).await.unwrap().remove(0).unwrap();
            self.memory.lock().unwrap().first_epoch.get_or_insert(head.cursor.epoch);
        }
        self.store.restore(&self.copy);
        node(&self.store, self.fault, &self.memory)
    }
}

/// One test per line: the fault, and the case that must fail on it though it passes on the same log without the fault.
macro_rules! caught {
    ($($test:ident: $fault:ident by $group:ident::$case:ident;)+) => {
        $(
            #[test]
            fn $test() {
                let (sound, broken) = (Broken(Fault::Sound), Broken(Fault::$fault));
                run::case("on a sound log", cases::$group::$case(&sound));
                let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    run::case("on a broken log", cases::$group::$case(&broken));
                }));
                assert!(caught.is_err(), "{} passes on a log with {:?}", stringify!($case), broken.0);
            }
        )+
    };
}

caught! {
    a_log_without_dedup: NoDedup by dedup::repeating_a_client_id_returns_the_first_position;
    a_log_without_dedup_across_calls_that_were_dropped:
        NoDedup by cancel::an_append_dropped_at_any_poll_is_safely_repeated;
    a_log_without_dedup_of_retries_at_once: NoDedup by concurrency::retries_at_once_are_one_message;
    a_log_that_does_not_compare_payloads:
        PayloadNotCompared by dedup::another_payload_under_a_used_client_id_is_a_conflict;
    a_log_that_does_not_compare_payloads_at_once:
        PayloadNotCompared by concurrency::payloads_at_once_under_one_client_id_conflict;
    a_log_that_compares_what_a_hook_made:
        RewriteNotRecognised by dedup::a_rewritten_draft_is_recognised_by_what_was_sent;
    a_log_that_forgets_the_sender: DedupWithoutSender by dedup::a_client_id_of_another_sender_is_another_message;
    a_log_that_checks_members_before_repeats:
        ChecksBeforeDedup by dedup::a_repeat_by_a_member_removed_since_gets_its_first_answer;
    a_log_with_a_gap_after_a_duplicate: GapAfterDuplicate by order::drafts_that_are_not_stored_leave_no_gap;
    a_log_that_answers_out_of_order: OutcomesOutOfOrder by order::a_batch_that_mixes_rooms_is_answered_in_its_order;
    a_log_whose_ids_do_not_grow: IdsFall by order::ids_grow_with_positions;
    a_log_that_shows_a_later_entry_first: LaterEntryFirst by concurrency::a_reader_that_follows_writers_misses_nothing;
    a_log_that_shows_a_later_entry_first_between_pages: LaterEntryFirst by paging::appends_between_pages_shift_nothing;
    a_log_that_answers_foreign_epochs: ForeignEpochAnswered by paging::a_cursor_of_a_foreign_epoch_is_reset;
    a_log_that_answers_beyond_its_head: BeyondHeadAnswered by paging::a_cursor_beyond_the_head_is_reset;
    a_log_that_answers_expired_cursors: ExpiredAnswered by retention::a_cursor_before_what_is_kept_is_expired;
    a_log_that_expires_in_both_directions:
        BeforeTrimmedExpires by retention::before_a_trimmed_place_is_an_empty_page;
    a_log_that_does_not_check_members_again:
        MembershipNotChecked by membership::a_removed_member_is_refused_on_every_node;
    a_log_that_takes_entries_in_closed_rooms: InactiveNotChecked by membership::a_closed_room_takes_nothing;
    a_log_that_counts_bytes: BodyCountedInBytes by membership::a_body_is_counted_in_characters;
    a_log_that_lets_everybody_edit: TargetOwnerNotChecked by targets::a_member_changes_only_its_own;
    a_log_whose_pages_always_reach_the_head: AlwaysReachesHead by paging::reading_after_a_place_gives_what_follows;
    a_log_whose_pages_end_the_walk_early: AlwaysReachesHead by paging::walking_the_pages_gives_every_entry_once;
    a_log_without_a_timeline: TimelineIgnored by paging::a_timeline_page_counts_only_what_it_shows;
    a_log_that_shows_edits_on_some_pages: EditNotShownBefore by projection::an_edited_message_reads_as_edited_everywhere;
    a_log_that_gives_out_deleted_bodies: DeleteDoesNotRedact by projection::a_deleted_body_is_gone_everywhere;
    a_log_that_gives_out_the_edits_of_deleted_messages:
        DeletedEditsShown by projection::a_deleted_body_is_gone_everywhere;
    a_log_that_begins_again_after_a_trim: TrimReusesPositions by retention::positions_are_not_given_out_again;
    a_log_whose_heads_are_mixed_up: HeadsOutOfOrder by paging::heads_are_in_the_order_asked_for;
    a_log_that_fails_on_half_a_batch:
        RepeatOfHalfABatchFails by cancel::an_append_dropped_at_any_poll_is_safely_repeated;
    a_log_that_keeps_its_epoch_when_restored: RestoreKeepsEpoch by epoch::a_cursor_from_before_a_restore_is_reset;
    a_log_that_shows_its_old_epoch_when_restored: RestoreKeepsEpoch by epoch::a_restored_store_has_a_new_epoch;
}

/// The wrapper itself is sound, so what a case catches is the fault.
mod without_a_fault {
    use super::*;

    chat_core::message_log_tests!(Broken(Fault::Sound));
    chat_core::message_log_epoch_tests!(Broken(Fault::Sound));
}
