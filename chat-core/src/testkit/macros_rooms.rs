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
