//! The groups of [`Rooms`](crate::Rooms).

/// Rooms: creating, finding and changing them.
#[macro_export]
macro_rules! rooms_tests {
    ($harness:expr) => {
        $crate::__cases!(
            rooms,
            $harness,
            $crate::testkit::rooms::create,
            [
                a_new_room_is_as_it_was_described,
                creating_an_id_again_answers_the_room_that_is_there,
                creating_a_key_again_answers_its_room_whatever_the_id,
                an_id_taken_by_a_room_with_another_key_is_refused,
                a_key_does_not_take_over_a_room_without_one,
                many_creations_of_one_key_at_once_make_one_room,
                many_creations_of_one_id_at_once_make_one_room,
                the_owner_is_a_member_as_soon_as_the_room_is_there,
                the_owner_of_a_creation_that_lost_becomes_no_member,
                naming_an_owner_has_no_effect_on_a_room_that_is_there,
                metadata_is_bounded_when_a_room_is_created,
                the_body_limit_is_bounded_when_a_room_is_created,
                a_change_leaves_the_rest_as_it_was_and_shows_on_every_node,
                a_change_out_of_bounds_changes_nothing,
                an_inactive_room_is_read_and_takes_nothing_new,
                a_new_body_limit_holds_for_the_next_append,
                an_unknown_key_has_no_room,
                a_room_that_is_not_there_is_not_found,
            ]
        );
    };
}

/// Rooms: who is a member, and changes of it that come with versions.
#[macro_export]
macro_rules! rooms_members_tests {
    ($harness:expr) => {
        $crate::__cases!(
            rooms_members,
            $harness,
            $crate::testkit::rooms::members,
            [
                somebody_added_is_a_member_on_every_node,
                a_new_role_leaves_the_rest_of_the_membership,
                somebody_removed_is_a_past_member_who_is_still_known,
                coming_back_is_a_new_membership,
                a_membership_that_is_taken_over_began_when_it_did,
                asking_for_what_is_so_already_changes_nothing,
                removing_somebody_who_never_was_a_member_changes_nothing,
                additions_at_once_add_once,
                the_only_owner_of_others_stays_where_an_owner_is_kept,
                the_only_owner_goes_where_nobody_asked_to_keep_one,
                owners_who_leave_at_once_leave_one,
                a_user_no_longer_appends_once_they_were_removed_on_another_node,
                no_append_is_stored_after_a_removal_that_was_answered,
                members_come_by_user_id_page_by_page,
                a_page_of_members_holds_current_ones_only,
                a_page_of_members_has_at_least_one_and_at_most_a_thousand,
                memberships_come_in_the_order_that_was_asked_for,
                memberships_of_one_room_do_not_touch_another,
            ]
        );
        $crate::__cases!(
            rooms_versions,
            $harness,
            $crate::testkit::rooms::versions,
            [
                a_change_with_an_older_version_is_ignored,
                a_change_with_an_equal_version_is_ignored,
                a_change_without_a_version_always_applies_and_takes_the_next_one,
                versions_that_arrive_in_any_order_end_in_the_newest,
                versions_that_arrive_at_once_end_in_the_newest,
            ]
        );
    };
}

/// Rooms: how far each member has read.
#[macro_export]
macro_rules! rooms_read_tests {
    ($harness:expr) => {
        $crate::__cases!(
            rooms_read,
            $harness,
            $crate::testkit::rooms::read,
            [
                a_marker_moves_forward_and_shows_on_every_node,
                a_marker_never_moves_back,
                a_marker_beyond_the_head_is_refused,
                a_marker_of_another_epoch_is_refused,
                only_members_mark,
                a_new_members_marker_stands_at_the_head,
                the_marker_of_a_member_added_while_others_write_misses_nothing_after_it,
                coming_back_moves_the_marker_to_the_head_and_never_back,
                a_new_role_leaves_the_marker,
                the_time_of_a_marker_is_when_it_last_moved,
                markers_come_by_user_id_page_by_page,
                marks_at_once_end_at_the_greatest,
                a_marker_stays_where_entries_were_trimmed,
                markers_of_rooms_and_users_are_separate,
            ]
        );
    };
}

/// Rooms: how much is unread.
#[macro_export]
macro_rules! rooms_unread_tests {
    ($harness:expr) => {
        $crate::__cases!(
            rooms_unread,
            $harness,
            $crate::testkit::rooms::unread,
            [
                what_others_say_is_unread_until_it_is_marked,
                own_entries_are_not_unread,
                what_the_system_notes_is_not_unread,
                joins_and_leaves_are_not_unread,
                edits_deletes_and_reactions_are_not_unread,
                an_applications_own_entries_are_unread,
                deleting_what_is_unread_lowers_the_number,
                deleting_what_was_read_does_not_lower_the_number,
                deleting_ones_own_message_does_not_lower_ones_own_number,
                what_was_trimmed_is_not_unread,
                somebody_who_left_has_nothing_unread,
                coming_back_begins_at_zero,
                many_rooms_are_answered_in_their_order,
                a_marker_that_does_not_move_changes_no_number,
                a_random_story_always_gives_what_a_recount_gives,
                appends_and_marks_at_once_end_exact,
                a_mark_takes_nothing_away_that_was_stored_after_it,
            ]
        );
    };
}

/// Rooms: a user's list of rooms.
#[macro_export]
macro_rules! rooms_listing_tests {
    ($harness:expr) => {
        $crate::__cases!(
            rooms_listing,
            $harness,
            $crate::testkit::rooms::listing,
            [
                the_room_with_the_latest_entry_comes_first,
                joining_counts_as_activity_where_nothing_was_said_since,
                only_what_stands_in_the_timeline_is_activity,
                the_preview_is_the_newest_timeline_entry,
                the_preview_is_as_the_entry_is_now,
                a_room_without_entries_has_no_preview,
                the_preview_is_never_older_than_a_stored_entry,
                a_summary_holds_room_membership_head_marker_and_unread,
                rooms_that_were_left_are_not_listed,
                pages_join_up_without_repeat_or_gap,
                activity_between_two_pages_hides_no_other_room,
                a_place_in_the_list_reads_back_from_its_text,
                equal_activity_goes_by_room_id_in_bytes,
                a_page_of_rooms_has_at_least_one_and_at_most_two_hundred,
            ]
        );
    };
}
