//! One macro per group: each names every case of the group once and makes a `#[test]` of it.

mod archive;
mod auth;
mod fanout;
mod message_log;
mod presence;
mod rooms;
mod search;
mod unread;

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
