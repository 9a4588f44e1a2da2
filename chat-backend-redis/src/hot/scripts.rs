//! The scripts, each with the parts that it needs in front of it.

use std::sync::LazyLock;

use crate::script::Script;

/// Behind the prelude.
macro_rules! script {
    ($($part:literal),+) => {
        LazyLock::new(|| {
            Script::new(concat!(
                include_str!("../scripts/hot/prelude.lua"),
                $("\n", include_str!(concat!("../scripts/hot/", $part))),+
            ))
        })
    };
}

pub(super) static IDENTIFY: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../scripts/hot/identify.lua")));
pub(super) static APPEND: LazyLock<Script> = script!("filter.lua", "append.lua");
pub(super) static ARCHIVED: LazyLock<Script> = script!("filter.lua", "window.lua", "archived.lua");
pub(super) static BURY: LazyLock<Script> = script!("bury.lua");
pub(super) static CLAIM: LazyLock<Script> = script!("claim.lua");
pub(super) static CLOSE: LazyLock<Script> = script!("close.lua");
pub(super) static GATE: LazyLock<Script> = script!("gate.lua");
pub(super) static LAG: LazyLock<Script> = script!("lag.lua");
pub(super) static LEARN: LazyLock<Script> = script!("filter.lua", "learn.lua");
pub(super) static OPEN: LazyLock<Script> = script!("open.lua");
pub(super) static PAGE: LazyLock<Script> = script!("page.lua");
pub(super) static PENDING: LazyLock<Script> = script!("pending.lua");
pub(super) static ROOMS: LazyLock<Script> = script!("rooms.lua");
pub(super) static TAKE: LazyLock<Script> = script!("filter.lua", "window.lua", "take.lua");
pub(super) static TRIM: LazyLock<Script> = script!("filter.lua", "window.lua", "trim.lua");
pub(super) static UNLEARNED: LazyLock<Script> = script!("unlearned.lua");
pub(super) static WAITING: LazyLock<Script> = script!("waiting.lua");
