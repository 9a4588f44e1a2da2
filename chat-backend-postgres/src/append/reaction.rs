//! Puts reactions on and takes them off, those of a whole batch together.

use std::collections::HashMap;

use chat_core::ReactionOp;

use super::Obstacle;
use crate::{backend::Shared, lease::Lease};

/// `by` is the position of the reaction: the place of a key is where it was first.
const REACT: &str = "
WITH new AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[]) AS x(room, seq, key, \"user\", by)),
added AS (
    INSERT INTO $chat.reactions (room, seq, key, \"user\", since) SELECT * FROM new
    ON CONFLICT DO NOTHING RETURNING room, seq, key, since)
INSERT INTO $chat.reaction_keys (room, seq, key, place, count)
SELECT c.room, c.seq, c.key, min(c.by), sum(c.added) FROM (
    SELECT n.room, n.seq, n.key, n.by, 0 AS added FROM new n UNION ALL
    SELECT a.room, a.seq, a.key, a.since, 1 FROM added a) AS c GROUP BY c.room, c.seq, c.key
ON CONFLICT (room, seq, key) DO UPDATE
SET count = reaction_keys.count + excluded.count, place = least(reaction_keys.place, excluded.place)";
const REACTED: &str = "
UPDATE $chat.entries e SET reacted = true FROM unnest($1::bigint[], $2::bigint[]) AS x(room, seq)
WHERE e.room = x.room AND e.timeline AND e.seq = x.seq AND NOT e.reacted";
const UNREACT: &str = "
WITH taken AS (
    DELETE FROM $chat.reactions r USING unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) AS x(room, seq, key, \"user\")
    WHERE r.room = x.room AND r.seq = x.seq AND r.key = x.key AND r.\"user\" = x.\"user\" RETURNING r.room, r.seq, r.key)
UPDATE $chat.reaction_keys k SET count = k.count - g.count
FROM (SELECT t.room, t.seq, t.key, count(*) AS count FROM taken t GROUP BY t.room, t.seq, t.key) AS g
WHERE k.room = g.room AND k.seq = g.seq AND k.key = g.key";

/// Somebody's reaction to an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reaction<'d> {
    /// The number of the room, and the position of the entry in it.
    pub(super) entry: (i64, i64),
    pub(super) key: &'d str,
    pub(super) user: &'d str,
    pub(super) op: ReactionOp,
    /// The position of the reaction itself.
    pub(super) by: i64,
}

/// Applies reactions as if one after the other.
pub(super) async fn apply(
    shared: &Shared,
    lease: &mut Lease,
    reactions: &[Reaction<'_>],
) -> Result<(), Obstacle> {
    for turn in turns(reactions) {
        let (on, off): (Vec<Reaction<'_>>, Vec<Reaction<'_>>) =
            turn.into_iter().partition(|reaction| reaction.op == ReactionOp::Add);
        if !on.is_empty() {
            let statement = shared
                .sql
                .query(REACT)
                .bind(column(&on, |reaction| reaction.entry.0))
                .bind(column(&on, |reaction| reaction.entry.1))
                .bind(column(&on, |reaction| reaction.key))
                .bind(column(&on, |reaction| reaction.user))
                .bind(column(&on, |reaction| reaction.by));
            lease.execute(statement).await?;
            let statement = shared
                .sql
                .query(REACTED)
                .bind(column(&on, |reaction| reaction.entry.0))
                .bind(column(&on, |reaction| reaction.entry.1));
            lease.execute(statement).await?;
        }
        if !off.is_empty() {
            let statement = shared
                .sql
                .query(UNREACT)
                .bind(column(&off, |reaction| reaction.entry.0))
                .bind(column(&off, |reaction| reaction.entry.1))
                .bind(column(&off, |reaction| reaction.key))
                .bind(column(&off, |reaction| reaction.user));
            lease.execute(statement).await?;
        }
    }
    Ok(())
}

fn column<'d, T>(reactions: &[Reaction<'d>], value: impl FnMut(&Reaction<'d>) -> T) -> Vec<T> {
    reactions.iter().map(value).collect()
}

/// What a user does to one reaction goes in turns, first things first; in one turn nothing depends on the order.
fn turns<'d>(reactions: &[Reaction<'d>]) -> Vec<Vec<Reaction<'d>>> {
    let mut seen: HashMap<_, usize> = HashMap::new();
    let mut turns: Vec<Vec<Reaction<'d>>> = Vec::new();
    for reaction in reactions {
        let turn = seen.entry((reaction.entry, reaction.key, reaction.user)).or_default();
        match turns.get_mut(*turn) {
            Some(others) => others.push(*reaction),
            None => turns.push(vec![*reaction]),
        }
        *turn += 1;
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_done_to_the_same_reaction_again_waits_for_its_turn() {
        let all = [
            (1, "a", "ann", ReactionOp::Add),
            (1, "a", "bob", ReactionOp::Add),
            (1, "a", "ann", ReactionOp::Remove),
            (1, "b", "ann", ReactionOp::Add),
            (1, "a", "ann", ReactionOp::Add),
            (2, "a", "ann", ReactionOp::Add),
        ];
        let reactions: Vec<_> = (10..)
            .zip(all)
            .map(|(by, (seq, key, user, op))| Reaction { entry: (1, seq), key, user, op, by })
            .collect();
        let turns: Vec<Vec<i64>> =
            turns(&reactions).iter().map(|turn| column(turn, |reaction| reaction.by)).collect();
        assert_eq!(turns, [vec![10, 11, 13, 15], vec![12], vec![14]]);
    }
}
