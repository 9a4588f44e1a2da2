//! One macro per group: each names every case of the group once and makes a `#[test]` of it.

/// Makes tests of cases; the groups' macros call it.
#[doc(hidden)]
#[macro_export]
macro_rules! __cases {
    ($group:ident, $harness:expr, $cases:path, [$($case:ident),+ $(,)?]) => {
        mod $group {
            #[allow(unused_imports, reason = "the harness may name anything of its file")]
            use super::*;
            use $cases as cases;
            $(
                #[test]
                fn $case() {
                    let harness = $harness;
                    $crate::testkit::run::case(stringify!($case), cases::$case(&harness));
                }
            )+
        }
    };
}

/// Dedup: one message per (room, sender, client id).
#[macro_export]
macro_rules! message_log_dedup_tests {
    ($harness:expr) => {
        $crate::__cases!(
            message_log_dedup,
            $harness,
            $crate::testkit::message_log::dedup,
            [repeating_a_client_id_returns_the_first_position,]
        );
    };
}
