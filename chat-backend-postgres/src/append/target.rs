//! The entries that drafts want to change.

use std::collections::HashMap;

use chat_core::{
    MessageId,
    rules::{batch::Target, stored},
};
use sqlx::Row as _;

use super::Obstacle;
use crate::{backend::Shared, lease::Lease, rows};

const LOOK_UP_TARGETS: &str = "
SELECT e.room, e.id_high, e.id_low, e.seq, e.sender, e.countable, e.kind, e.deleted_seq IS NULL AS kept
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS x(room, high, low)
JOIN $chat.entries e ON e.id_high = x.high AND e.id_low = x.low AND e.room = x.room";

/// What is there of these messages.
pub(crate) async fn look_up(
    shared: &Shared,
    lease: &mut Lease,
    targets: &[(i64, MessageId)],
) -> Result<HashMap<(i64, MessageId), Target>, Obstacle> {
    let mut known = HashMap::new();
    if targets.is_empty() {
        return Ok(known);
    }
    let halves: Vec<_> = targets.iter().map(|(_, id)| rows::halves(*id)).collect();
    let statement = shared
        .sql
        .query(LOOK_UP_TARGETS)
        .bind(targets.iter().map(|(room, _)| *room).collect::<Vec<_>>())
        .bind(halves.iter().map(|(high, _)| *high).collect::<Vec<_>>())
        .bind(halves.iter().map(|(_, low)| *low).collect::<Vec<_>>());
    for row in lease.all(statement).await? {
        let seq: i64 = row.try_get("seq")?;
        let kind = stored::kind(row.try_get::<i16, _>("kind")?.into());
        let kept: bool = row.try_get("kept")?;
        let target = Target {
            entry: seq,
            seq: rows::seq(seq)?,
            sender: rows::user(row.try_get("sender")?)?,
            open: kept && kind.is_some_and(chat_core::EntryKind::is_countable),
            countable: row.try_get("countable")?,
        };
        let id = rows::message_id(row.try_get("id_high")?, row.try_get("id_low")?);
        known.insert((row.try_get("room")?, id), target);
    }
    Ok(known)
}
