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
