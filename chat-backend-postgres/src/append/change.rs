//! Lets new entries act on their targets, in the transaction that stores them and under the locks of their rooms: so many
//! statements, whatever the number of entries.

use std::collections::BTreeMap;

use chat_core::{
    Body, Content, MessageId,
    rules::{
        batch::{NewEntry, Target},
        stored,
    },
    search::fold,
};

use super::{
    Obstacle,
    reaction::{self, Reaction},
};
use crate::{
    backend::Shared,
    lease::Lease,
    rows::{self, integer, small},
};

type Result<T> = std::result::Result<T, Obstacle>;

const EDIT: &str = "
UPDATE $chat.entries e SET body_kind = x.body_kind, body = x.body, edited_seq = x.by, edited_at = x.at
FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::text[], $5::bigint[], $6::bigint[])
    AS x(room, seq, body_kind, body, by, at)
WHERE e.room = x.room AND e.timeline AND e.seq = x.seq";
/// Whether or not the search knows the messages yet: what comes behind finds them there and leaves them so. A deleted one has
/// no text.
const SEARCH: &str = "
INSERT INTO $chat.search (id_high, id_low, room, seq, body)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[])
ON CONFLICT (id_high, id_low) DO UPDATE SET body = excluded.body";

const DELETE: &str = "
UPDATE $chat.entries e SET body_kind = $4, body = NULL, deleted_seq = x.by
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS x(room, seq, by)
WHERE e.room = x.room AND e.timeline AND e.seq = x.seq";
/// What an edit says is what the message said: it goes with it.
const DELETE_EDITS: &str = "
UPDATE $chat.entries e SET body_kind = $3, body = NULL FROM unnest($1::bigint[], $2::bigint[]) AS x(room, seq)
WHERE e.room = x.room AND e.target_seq = x.seq AND e.kind = 3";
const COUNT_DELETED: &str = "
INSERT INTO $chat.deletions (room, sender, level, stretch, count)
SELECT x.room, s.sender, l.level, x.seq >> (6 * l.level), count(*)
FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS x(room, seq, sender)
CROSS JOIN generate_series(0, 4) AS l(level) CROSS JOIN LATERAL (VALUES (''), (x.sender)) AS s(sender)
GROUP BY 1, 2, 3, 4
ON CONFLICT (room, sender, level, stretch) DO UPDATE SET count = deletions.count + excluded.count";
const ADD_DELETED: &str = "
UPDATE $chat.rooms r SET deleted = r.deleted + x.count
FROM (SELECT n.room, count(*) AS count FROM unnest($1::bigint[]) AS n(room) GROUP BY n.room) AS x WHERE r.room = x.room";

/// The number of a room, and the position of an entry in it.
type Entry = (i64, i64);

/// What a batch does to other entries. No entry is changed after it was deleted.
#[derive(Default)]
struct Changes<'e, 'd> {
    /// The last one of each entry.
    edits: BTreeMap<Entry, (&'e NewEntry<'d>, &'d Body)>,
    /// At most one of each entry.
    deletions: Vec<(&'e NewEntry<'d>, &'e Target)>,
    reactions: Vec<Reaction<'d>>,
    /// What the search is to know of entries.
    texts: BTreeMap<Entry, (MessageId, String)>,
}

impl<'e, 'd> Changes<'e, 'd> {
    fn of(entries: &'e [NewEntry<'d>]) -> Self {
        let mut changes = Self::default();
        for new in entries {
            let Some(target) = &new.target else { continue };
            let entry = (new.room, target.entry);
            match &new.draft.content {
                Content::Edit { target: id, body } => {
                    let (_, text) = stored::body_parts(body);
                    changes.texts.insert(entry, (*id, fold(text.unwrap_or_default())));
                    changes.edits.insert(entry, (new, body));
                }
                Content::Delete { target: id } => {
                    changes.texts.insert(entry, (*id, String::new()));
                    changes.deletions.push((new, target));
                }
                Content::Reaction { key, op, .. } => changes.reactions.push(Reaction {
                    entry,
                    key: key.as_str(),
                    user: new.draft.sender.as_str(),
                    op: *op,
                    by: position(new),
                }),
                _ => {}
            }
        }
        changes
    }
}

fn position(new: &NewEntry<'_>) -> i64 {
    integer(new.position.cursor.seq.get())
}

/// Lets stored entries act on their targets, as if one after the other.
pub(super) async fn apply(shared: &Shared, lease: &mut Lease, entries: &[NewEntry<'_>]) -> Result<()> {
    let changes = Changes::of(entries);
    if !changes.edits.is_empty() {
        edit(shared, lease, &changes.edits).await?;
    }
    if !changes.deletions.is_empty() {
        delete(shared, lease, &changes.deletions).await?;
    }
    if !changes.texts.is_empty() {
        let halves: Vec<_> = changes.texts.values().map(|(id, _)| rows::halves(*id)).collect();
        let statement = shared
            .sql
            .query(SEARCH)
            .bind(halves.iter().map(|(high, _)| *high).collect::<Vec<_>>())
            .bind(halves.iter().map(|(_, low)| *low).collect::<Vec<_>>())
            .bind(changes.texts.keys().map(|(room, _)| *room).collect::<Vec<_>>())
            .bind(changes.texts.keys().map(|(_, seq)| *seq).collect::<Vec<_>>())
            .bind(changes.texts.into_values().map(|(_, text)| text).collect::<Vec<_>>());
        lease.execute(statement).await?;
    }
    reaction::apply(shared, lease, &changes.reactions).await
}

async fn edit(
    shared: &Shared,
    lease: &mut Lease,
    edits: &BTreeMap<Entry, (&NewEntry<'_>, &Body)>,
) -> Result<()> {
    let bodies: Vec<_> = edits.values().map(|(_, body)| stored::body_parts(body)).collect();
    let statement = shared
        .sql
        .query(EDIT)
        .bind(edits.keys().map(|(room, _)| *room).collect::<Vec<_>>())
        .bind(edits.keys().map(|(_, seq)| *seq).collect::<Vec<_>>())
        .bind(bodies.iter().map(|(kind, _)| small(*kind)).collect::<Vec<_>>())
        .bind(bodies.iter().map(|(_, text)| *text).collect::<Vec<_>>())
        .bind(edits.values().map(|(new, _)| position(new)).collect::<Vec<_>>())
        .bind(
            edits.values().map(|(new, _)| integer(new.position.created_at.as_millis())).collect::<Vec<_>>(),
        );
    lease.execute(statement).await?;
    Ok(())
}

async fn delete(shared: &Shared, lease: &mut Lease, deletions: &[(&NewEntry<'_>, &Target)]) -> Result<()> {
    let removed = small(stored::BODY_REMOVED);
    let rooms: Vec<i64> = deletions.iter().map(|(new, _)| new.room).collect();
    let seqs: Vec<i64> = deletions.iter().map(|(_, target)| target.entry).collect();
    let by: Vec<i64> = deletions.iter().map(|(new, _)| position(new)).collect();
    let statement = shared.sql.query(DELETE).bind(&rooms).bind(&seqs).bind(by).bind(removed);
    lease.execute(statement).await?;
    lease.execute(shared.sql.query(DELETE_EDITS).bind(&rooms).bind(&seqs).bind(removed)).await?;
    let counted: Vec<_> = deletions.iter().filter(|(_, target)| target.countable).collect();
    if counted.is_empty() {
        return Ok(());
    }
    let rooms: Vec<i64> = counted.iter().map(|(new, _)| new.room).collect();
    let statement = shared
        .sql
        .query(COUNT_DELETED)
        .bind(&rooms)
        .bind(counted.iter().map(|(_, target)| target.entry).collect::<Vec<_>>())
        .bind(counted.iter().map(|(_, target)| target.sender.as_str()).collect::<Vec<_>>());
    lease.execute(statement).await?;
    lease.execute(shared.sql.query(ADD_DELETED).bind(&rooms)).await?;
    Ok(())
}
