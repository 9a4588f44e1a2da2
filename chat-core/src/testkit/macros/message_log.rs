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
