//! The groups of [`Presence`](crate::Presence).

/// Presence: connections come and go.
#[macro_export]
macro_rules! presence_tests {
    ($harness:expr) => {
        $crate::__cases!(
            presence,
            $harness,
            $crate::testkit::presence::connections,
            [
                the_first_connection_brings_a_user_online_and_the_second_is_noted,
                a_user_is_online_until_the_last_connection_is_gone,
                a_disconnect_counts_at_once_on_every_node,
                since_is_kept_while_connections_overlap,
                last_seen_is_when_the_last_connection_went,
                many_users_come_in_their_order_in_one_call,
                an_unknown_user_was_never_seen,
                repeating_a_connection_is_harmless,
                repeating_a_disconnect_is_stale_and_harmless,
                a_connection_that_was_ended_does_not_come_back,
                an_end_that_overtakes_its_beginning_holds,
                a_lower_incarnation_of_a_connection_is_stale,
                the_end_of_an_older_life_does_not_touch_the_newer_one,
                a_connection_under_an_unknown_lease_is_stale,
                a_sweep_does_not_come_before_the_grace,
                a_swept_user_is_given_once,
                a_reconnect_within_the_grace_is_not_announced,
                a_reconnect_after_a_sweep_is_announced,
                users_who_are_online_are_never_swept,
            ]
        );
    };
}

/// Presence: leases end connections whose node is dead.
#[macro_export]
macro_rules! presence_lease_tests {
    ($harness:expr) => {
        $crate::__cases!(
            presence_lease,
            $harness,
            $crate::testkit::presence::lease,
            [
                a_lease_starts_and_is_renewed,
                a_lease_that_runs_out_ends_its_connections,
                renewing_keeps_connections_for_as_long_as_it_goes_on,
                a_shorter_renewal_ends_sooner,
                nothing_connects_under_a_lease_that_ran_out_until_it_starts_again,
                what_was_ended_by_name_does_not_come_back_with_a_new_lease,
                a_dead_device_does_not_live_on_another_ones_lease,
                connections_end_when_the_lease_ran_out_and_not_when_that_is_noticed,
                releasing_a_lease_ends_its_connections_at_once,
                releasing_an_older_life_does_nothing,
                a_greater_incarnation_supersedes_the_older_one,
                a_superseded_node_neither_renews_nor_connects,
                leases_of_nodes_are_separate,
            ]
        );
    };
}

/// Presence: calls at once.
#[macro_export]
macro_rules! presence_race_tests {
    ($harness:expr) => {
        $crate::__cases!(
            presence_race,
            $harness,
            $crate::testkit::presence::race,
            [
                connects_at_once_bring_a_user_online_once,
                connects_and_disconnects_at_once_end_in_the_truth,
                sweeps_at_once_give_each_user_to_one_caller,
                a_sweep_and_a_reconnect_at_once_agree,
                disconnects_at_once_leave_nobody_online,
            ]
        );
    };
}
