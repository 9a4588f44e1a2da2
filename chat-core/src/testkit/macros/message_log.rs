//! The groups of [`MessageLog`](crate::MessageLog).

/// Every guarantee of a [`MessageLog`](crate::MessageLog) but the one that needs a restored backup
/// ([`message_log_epoch_tests!`](crate::message_log_epoch_tests)). Takes a
/// [`LogHarness`](crate::testkit::LogHarness); the groups can be listed one by one, too.
#[macro_export]
macro_rules! message_log_tests {
    ($harness:expr) => {
        $crate::message_log_dedup_tests!($harness);
        $crate::message_log_order_tests!($harness);
        $crate::message_log_paging_tests!($harness);
        $crate::message_log_membership_tests!($harness);
        $crate::message_log_targets_tests!($harness);
        $crate::message_log_projection_tests!($harness);
        $crate::message_log_retention_tests!($harness);
        $crate::message_log_concurrency_tests!($harness);
        $crate::message_log_cancel_tests!($harness);
    };
}

/// One message per (room, sender, client id). Takes a [`LogHarness`](crate::testkit::LogHarness).
#[macro_export]
macro_rules! message_log_dedup_tests {
    ($harness:expr) => {
        $crate::__cases!(
            message_log_dedup,
            $harness,
            $crate::testkit::message_log::dedup,
            [
                repeating_a_client_id_returns_the_first_position,
                a_repeat_on_another_node_returns_the_first_position,
                a_repeat_in_the_same_batch_returns_the_first_position,
                a_repeat_after_an_edit_returns_the_first_position,
                a_repeat_after_a_delete_returns_the_first_position,
                another_payload_under_a_used_client_id_is_a_conflict,
                another_kind_under_a_used_client_id_is_a_conflict,
                a_client_id_of_another_sender_is_another_message,
                a_client_id_in_another_room_is_another_message,
                similar_keys_are_different_messages,
                a_repeat_by_a_member_removed_since_gets_its_first_answer,
                a_repeat_in_a_room_closed_since_gets_its_first_answer,
                a_repeat_about_a_message_deleted_since_gets_its_first_answer,
                a_rewritten_draft_is_recognised_by_what_was_sent,
                a_refused_draft_can_be_sent_again,
            ]
        );
    };
}

/// One order per room: positions without gaps, ids that grow with them. Takes a [`LogHarness`](crate::testkit::LogHarness).
#[macro_export]
macro_rules! message_log_order_tests {
    ($harness:expr) => {
        $crate::__cases!(
            message_log_order,
            $harness,
            $crate::testkit::message_log::order,
            [
                positions_are_gapless_from_one_in_each_room,
                a_batch_that_mixes_rooms_is_answered_in_its_order,
                drafts_of_one_room_keep_the_order_of_their_batch,
                an_empty_batch_has_no_outcomes,
                ids_grow_with_positions,
                drafts_that_are_not_stored_leave_no_gap,
                a_refused_draft_does_not_hold_up_its_batch,
                an_entry_is_read_as_it_was_sent,
                a_body_may_hold_a_zero_character,
                entries_carry_the_time_of_their_storing,
            ]
        );
    };
}

/// Pages of a log, from any place and in both directions. Takes a [`LogHarness`](crate::testkit::LogHarness).
#[macro_export]
macro_rules! message_log_paging_tests {
    ($harness:expr) => {
        $crate::__cases!(
            message_log_paging,
            $harness,
            $crate::testkit::message_log::paging,
            [
                reading_after_a_place_gives_what_follows,
                reading_before_a_place_gives_what_precedes,
                reading_the_newest_gives_the_end,
                after_the_head_is_an_empty_page,
                before_the_first_is_an_empty_page,
                pages_of_an_empty_room_are_empty_and_reach_both_ends,
                a_timeline_page_counts_only_what_it_shows,
                a_timeline_page_may_begin_at_an_entry_it_does_not_show,
                a_timeline_page_reaches_the_head_when_only_hidden_entries_follow,
                the_timeline_shows_what_stands_for_itself,
                a_deleted_message_keeps_its_place,
                limits_are_held_between_one_and_the_greatest,
                walking_the_pages_gives_every_entry_once,
                appends_between_pages_shift_nothing,
                an_unknown_id_is_not_found,
                a_missing_room_is_not_found,
                a_cursor_beyond_the_head_is_reset,
                a_cursor_of_a_foreign_epoch_is_reset,
                heads_are_in_the_order_asked_for,
                a_closed_room_can_be_read,
            ]
        );
    };
}

/// Room, member and body are checked in the step that stores the entry. Takes a [`LogHarness`](crate::testkit::LogHarness).
#[macro_export]
macro_rules! message_log_membership_tests {
    ($harness:expr) => {
        $crate::__cases!(
            message_log_membership,
            $harness,
            $crate::testkit::message_log::membership,
            [
                a_missing_room_takes_nothing,
                a_closed_room_takes_nothing,
                a_stranger_is_refused,
                a_removed_member_is_refused_on_every_node,
                a_member_who_came_back_is_taken,
                the_service_needs_no_membership,
                every_role_is_a_member_to_the_log,
                a_body_is_counted_in_characters,
                the_greatest_body_is_stored_whole,
                a_blank_text_is_refused,
                json_is_counted_by_its_text,
                every_kind_of_body_keeps_to_the_limit,
                checks_are_made_in_one_order,
                a_batch_is_checked_draft_by_draft,
            ]
        );
    };
}

/// What may be edited, deleted and reacted to, and by whom. Takes a [`LogHarness`](crate::testkit::LogHarness).
#[macro_export]
macro_rules! message_log_targets_tests {
    ($harness:expr) => {
        $crate::__cases!(
            message_log_targets,
            $harness,
            $crate::testkit::message_log::targets,
            [
                an_unknown_target_is_refused,
                a_target_in_another_room_is_refused,
                a_deleted_target_is_refused,
                a_target_that_says_nothing_is_refused,
                a_member_changes_only_its_own,
                a_member_reacts_to_what_others_sent,
                a_moderator_changes_what_others_sent,
                the_service_changes_what_others_sent,
                whatever_can_be_said_can_be_changed,
                a_target_is_told_from_others_of_the_same_client_id,
            ]
        );
    };
}

/// Every page shows messages as later entries left them. Takes a [`LogHarness`](crate::testkit::LogHarness).
#[macro_export]
macro_rules! message_log_projection_tests {
    ($harness:expr) => {
        $crate::__cases!(
            message_log_projection,
            $harness,
            $crate::testkit::message_log::projection,
            [
                an_untouched_message_has_an_empty_state,
                an_edited_message_reads_as_edited_everywhere,
                the_last_edit_holds,
                an_edit_replaces_the_body_and_nothing_else,
                a_deleted_body_is_gone_everywhere,
                a_reaction_counts_once_per_user,
                a_reaction_taken_off_is_gone,
                reactions_are_in_the_order_they_came,
                similar_reactions_are_different,
                many_users_are_counted_and_the_first_are_named,
                an_edited_message_keeps_its_reactions,
                every_change_is_an_entry_of_its_own,
            ]
        );
    };
}

/// What was trimmed is gone, and said to be gone. Takes a [`LogHarness`](crate::testkit::LogHarness).
#[macro_export]
macro_rules! message_log_retention_tests {
    ($harness:expr) => {
        $crate::__cases!(
            message_log_retention,
            $harness,
            $crate::testkit::message_log::retention,
            [
                trimming_by_count_keeps_the_newest,
                trimming_by_time_keeps_the_younger,
                the_stricter_rule_holds,
                positions_are_not_given_out_again,
                a_cursor_before_what_is_kept_is_expired,
                the_cursor_just_before_what_is_kept_is_honoured,
                before_a_trimmed_place_is_an_empty_page,
                the_id_of_a_trimmed_entry_is_not_found,
                the_client_id_of_a_trimmed_entry_is_free,
                a_trimmed_target_is_refused,
                what_is_kept_stays_as_it_was,
                a_timeline_of_trimmed_messages_is_empty,
                trimming_one_room_leaves_the_others,
                trimming_a_missing_room_is_an_error,
            ]
        );
    };
}

/// Many writers and readers at once, on several nodes. Takes a [`LogHarness`](crate::testkit::LogHarness).
#[macro_export]
macro_rules! message_log_concurrency_tests {
    ($harness:expr) => {
        $crate::__cases!(
            message_log_concurrency,
            $harness,
            $crate::testkit::message_log::concurrency,
            [
                writers_on_many_nodes_share_one_order,
                a_reader_that_follows_writers_misses_nothing,
                retries_at_once_are_one_message,
                payloads_at_once_under_one_client_id_conflict,
                batches_in_opposite_orders_do_not_lock_each_other,
                nothing_is_stored_after_a_removal_was_answered,
                heads_never_go_back_while_others_write,
            ]
        );
    };
}

/// A dropped append stored each draft whole or not at all, and is safely repeated. Takes a [`LogHarness`](crate::testkit::LogHarness).
#[macro_export]
macro_rules! message_log_cancel_tests {
    ($harness:expr) => {
        $crate::__cases!(
            message_log_cancel,
            $harness,
            $crate::testkit::message_log::cancel,
            [
                an_append_dropped_at_any_poll_is_safely_repeated,
                an_append_that_ran_out_of_time_is_safely_repeated,
                a_dropped_append_leaves_others_alone,
                a_dropped_read_leaves_the_node_usable,
            ]
        );
    };
}

/// A store that was put back to an older copy does not pass for the one that was. Takes a [`RestoreHarness`](crate::testkit::RestoreHarness).
#[macro_export]
macro_rules! message_log_epoch_tests {
    ($harness:expr) => {
        $crate::__cases!(
            message_log_epoch,
            $harness,
            $crate::testkit::message_log::epoch,
            [
                an_epoch_stays_while_the_storage_does,
                every_store_has_its_own_epoch,
                a_restored_store_has_a_new_epoch,
                a_cursor_from_before_a_restore_is_reset,
                a_read_marker_is_not_moved_by_a_cursor_from_before,
                a_foreign_cursor_is_reset_after_a_restore,
                appends_go_on_after_a_restore,
                a_room_made_again_after_a_restore_is_another,
            ]
        );
    };
}
