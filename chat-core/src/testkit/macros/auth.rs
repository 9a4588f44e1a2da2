//! The groups of [`RevocationStore`](crate::auth::RevocationStore), [`SessionBindings`](crate::auth::SessionBindings) and
//! [`RateLimiter`](crate::rate_limit::RateLimiter).

/// Withdrawn credentials.
#[macro_export]
macro_rules! revocation_tests {
    ($harness:expr) => {
        $crate::__cases!(
            revocation,
            $harness,
            $crate::testkit::revocation,
            [
                nothing_is_revoked_at_first,
                one_token_is_withdrawn_on_every_node,
                everything_issued_before_a_time_is_withdrawn,
                credentials_without_a_time_of_issue_count_as_issued_before,
                other_users_and_tokens_are_untouched,
                withdrawals_add_up,
                a_repeated_withdrawal_is_harmless,
                a_shorter_withdrawal_does_not_shorten_a_longer_one,
                a_withdrawal_is_known_everywhere_once_it_has_returned,
            ]
        );
    };
}

/// One session per binding.
#[macro_export]
macro_rules! binding_tests {
    ($harness:expr) => {
        $crate::__cases!(
            binding,
            $harness,
            $crate::testkit::binding,
            [
                whoever_comes_first_takes_it_from_nobody,
                a_newer_claim_takes_it_and_says_from_whom,
                an_older_claim_stays_where_that_is_asked_for,
                claiming_again_keeps_it,
                whoever_lost_it_cannot_renew_it,
                a_released_binding_is_free,
                a_release_by_another_changes_nothing,
                bindings_are_separate,
                a_claim_that_is_not_renewed_runs_out,
                of_newer_claims_at_once_one_holds_it_and_each_other_is_named_once,
                of_claims_at_once_one_is_granted_where_the_older_stays,
            ]
        );
    };
}

/// Rate limits.
#[macro_export]
macro_rules! rate_limit_tests {
    ($harness:expr) => {
        $crate::__cases!(
            rate_limit,
            $harness,
            $crate::testkit::rate_limit,
            [
                a_burst_is_allowed_and_then_no_more,
                after_the_time_given_one_more_is_allowed,
                being_refused_uses_nothing_up,
                a_pause_gives_the_whole_burst_back_and_no_more,
                keys_are_separate,
                classes_are_separate,
                calls_at_once_get_no_more_than_the_burst,
            ]
        );
    };
}
