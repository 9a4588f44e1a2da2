//! The groups of [`Fanout`](crate::Fanout).

/// Fan-out: what is published reaches whoever subscribed.
#[macro_export]
macro_rules! fanout_tests {
    ($harness:expr) => {
        $crate::__cases!(
            fanout,
            $harness,
            $crate::testkit::fanout::delivery,
            [
                what_is_published_on_one_node_reaches_another,
                what_is_published_here_reaches_subscribers_here,
                events_of_one_call_arrive_in_order,
                events_of_calls_one_after_the_other_arrive_in_order,
                topics_are_separate,
                a_room_and_a_user_of_the_same_name_are_two_topics,
                names_that_look_like_other_topics_are_their_own,
                every_subscriber_gets_every_event_once,
                nothing_from_before_the_subscription_arrives,
                an_event_published_right_after_subscribing_arrives,
                a_dropped_subscription_disturbs_nobody,
                subscribing_again_gives_each_event_once,
                a_dropped_call_to_subscribe_leaves_nothing_behind,
                publishing_nothing_or_to_nobody_is_fine,
                every_kind_of_event_arrives_as_it_was,
                a_message_of_the_greatest_size_arrives_whole_or_as_a_hint,
                a_big_batch_over_many_topics_arrives_whole,
                publishers_at_once_lose_nothing_and_each_keeps_its_order,
            ]
        );
    };
}

/// Fan-out: a subscriber that does not keep up is told what it missed.
#[macro_export]
macro_rules! fanout_overflow_tests {
    ($harness:expr) => {
        $crate::__cases!(
            fanout_overflow,
            $harness,
            $crate::testkit::fanout::overflow,
            [
                a_subscriber_that_does_not_read_is_told_of_the_loss_and_goes_on,
                a_subscriber_that_does_not_read_holds_nobody_up,
                every_gap_is_marked,
            ]
        );
    };
}

/// Fan-out: a carrier that breaks is a loss that is told.
#[macro_export]
macro_rules! fanout_interruption_tests {
    ($harness:expr) => {
        $crate::__cases!(
            fanout_interruption,
            $harness,
            $crate::testkit::fanout::interruption,
            [
                a_subscription_outlives_an_interruption_and_tells_of_it,
                a_quiet_subscription_is_told_of_the_interruption_too,
                what_was_lost_to_the_interruption_lies_before_the_mark,
            ]
        );
    };
}
