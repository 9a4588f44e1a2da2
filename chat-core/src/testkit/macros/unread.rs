//! The groups of [`UnreadCache`](crate::unread::UnreadCache).

/// Unread counts that are remembered: what is kept, and when it is not.
#[macro_export]
macro_rules! unread_cache_tests {
    ($harness:expr) => {
        $crate::__cases!(
            unread_cache,
            $harness,
            $crate::testkit::unread_cache::keeping,
            [
                at_first_there_is_a_version_and_no_count,
                what_is_remembered_is_recalled_on_every_node,
                a_count_of_other_ends_takes_the_place_of_the_one_before,
                ends_are_recalled_as_they_were,
                a_hold_ends_the_version_and_forgets_the_count,
                a_count_of_before_a_hold_is_not_remembered_after_it,
                while_it_is_held_there_is_neither_count_nor_version,
                holds_at_once_last_until_each_is_released,
                a_hold_that_ended_is_released_again_without_effect,
                whoever_comes_after_a_release_finds_nothing,
                users_and_rooms_are_separate,
                rooms_are_answered_in_the_order_that_was_asked_for,
                more_holds_than_can_be_told_apart_hold_all,
                more_rooms_than_are_kept_have_no_version,
            ]
        );
        $crate::__cases!(
            unread_cache_racing,
            $harness,
            $crate::testkit::unread_cache::racing,
            [every_count_is_that_of_an_instant_of_its_call, what_is_known_is_not_counted_again,]
        );
    };
}
