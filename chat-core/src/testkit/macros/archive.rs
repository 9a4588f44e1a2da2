//! The groups of [`Archive`](crate::tiered::Archive).

/// Every guarantee of an [`Archive`](crate::tiered::Archive). Takes an
/// [`ArchiveHarness`](crate::testkit::ArchiveHarness); the groups can be listed one by one, too.
#[macro_export]
macro_rules! archive_tests {
    ($harness:expr) => {
        $crate::archive_importing_tests!($harness);
        $crate::archive_effects_tests!($harness);
        $crate::archive_lives_tests!($harness);
        $crate::archive_lookups_tests!($harness);
        $crate::archive_racing_tests!($harness);
    };
}

/// Entries that have their positions come in as they are, once, in order, and without gaps. Takes an [`ArchiveHarness`](crate::testkit::ArchiveHarness).
#[macro_export]
macro_rules! archive_importing_tests {
    ($harness:expr) => {
        $crate::__cases!(
            archive_importing,
            $harness,
            $crate::testkit::archive::importing,
            [
                an_imported_entry_is_read_as_it_was_given,
                an_imported_entry_keeps_a_time_long_past,
                an_import_on_one_node_is_read_on_another,
                the_same_import_twice_is_stored_once,
                entries_up_to_the_head_are_passed_over,
                entries_trimmed_since_are_passed_over,
                an_import_behind_a_gap_stores_nothing,
                other_entries_at_these_positions_stay,
                a_missing_room_takes_no_import,
                rooms_of_one_call_have_outcomes_of_their_own,
                what_was_checked_before_is_not_checked_again,
                the_name_of_an_imported_entry_is_taken,
                an_append_follows_what_was_imported,
                a_long_import_is_stored_whole,
            ]
        );
    };
}

/// Imported entries act as if they had been appended. Takes an [`ArchiveHarness`](crate::testkit::ArchiveHarness).
#[macro_export]
macro_rules! archive_effects_tests {
    ($harness:expr) => {
        $crate::__cases!(
            archive_effects,
            $harness,
            $crate::testkit::archive::effects,
            [
                changes_act_within_one_import,
                a_message_may_come_and_go_in_one_import,
                changes_act_on_what_was_imported_before,
                changes_act_on_what_was_appended,
                an_append_changes_what_was_imported,
                a_change_without_its_target_has_no_effect,
                imported_messages_are_unread,
                an_import_shows_in_the_list_of_rooms,
                a_search_finds_what_was_imported,
            ]
        );
    };
}

/// A room takes entries of its present life alone, and of earlier ones what no later one gives out itself. Takes an [`ArchiveHarness`](crate::testkit::ArchiveHarness).
#[macro_export]
macro_rules! archive_lives_tests {
    ($harness:expr) => {
        $crate::__cases!(
            archive_lives,
            $harness,
            $crate::testkit::archive::lives,
            [
                a_room_is_answered_as_it_is,
                rooms_are_answered_in_the_order_asked_for,
                the_last_id_outlives_its_entry,
                a_room_without_a_life_takes_no_import,
                an_unknown_life_takes_no_import,
                what_lies_behind_a_later_base_is_superseded,
                an_earlier_life_is_taken_up_to_every_later_base,
                a_life_takes_what_is_left_before_its_base,
                a_life_begins_only_where_nothing_changed,
                a_missing_room_begins_no_life,
                the_last_lives_are_remembered,
            ]
        );
    };
}

/// What a hot log's nodes ask the archive. Takes an [`ArchiveHarness`](crate::testkit::ArchiveHarness).
#[macro_export]
macro_rules! archive_lookups_tests {
    ($harness:expr) => {
        $crate::__cases!(
            archive_lookups,
            $harness,
            $crate::testkit::archive::lookups,
            [
                admissions_say_who_may_write,
                copies_are_found_by_their_names,
                targets_say_what_can_be_changed,
                names_are_read_page_by_page,
                a_missing_room_has_no_names,
                long_lists_are_answered_whole,
            ]
        );
    };
}

/// Several archivers and several hot logs at once. Takes an [`ArchiveHarness`](crate::testkit::ArchiveHarness).
#[macro_export]
macro_rules! archive_racing_tests {
    ($harness:expr) => {
        $crate::__cases!(
            archive_racing,
            $harness,
            $crate::testkit::archive::racing,
            [
                the_same_entries_on_two_nodes_are_stored_once,
                a_life_and_an_import_wait_for_each_other,
                one_life_begins_of_several_at_once,
                imports_in_opposite_orders_do_not_lock_each_other,
                an_append_and_an_import_wait_for_each_other,
            ]
        );
    };
}
