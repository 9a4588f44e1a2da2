//! Who is online: every transition one statement, on the server's clock. The rules are in the migration's functions.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use chat_core::{
    Backend, Presence, Result, UserId,
    presence::{Incarnation, LeaseStatus, NodeLease, PresenceChange, PresenceConnection, UserPresence},
};
use sqlx::{
    Postgres, Row as _,
    postgres::{PgArguments, PgRow},
    query::Query,
};

use crate::{
    PostgresError,
    backend::Shared,
    rows::{integer, time},
};

/// Longer times are taken as this one, so that no sum overflows.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3_600);
/// Users and connections in one step of a sweep.
const SWEPT_AT_ONCE: i32 = 5_000;

const RENEW: &str = "SELECT $chat.presence_renew($1, $2, $3) AS done";
const RELEASE: &str = "
UPDATE $chat.presence_leases SET ends = $chat.now_millis()
WHERE node = $1 AND latest AND incarnation = $2 AND ends > $chat.now_millis()";
const CONNECTED: &str = "SELECT $chat.presence_connected($1, $2, $3, $4, $5) AS done";
const DISCONNECTED: &str = "SELECT $chat.presence_disconnected($1, $2) AS done";
const PRESENCE: &str = "
WITH clock AS MATERIALIZED (SELECT $chat.now_millis() AS now)
SELECT u.since, u.left_at, c.live, c.ended
FROM unnest($1::text[]) WITH ORDINALITY AS asked(name, place)
CROSS JOIN clock
LEFT JOIN $chat.presence_users u ON u.\"user\" = asked.name
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE l.ends > clock.now) AS live, max(l.ends) FILTER (WHERE l.ends <= clock.now) AS ended
    FROM $chat.presence_connections p JOIN $chat.presence_leases l ON l.life = p.life
    WHERE p.\"user\" = asked.name) AS c
ORDER BY asked.place";
const SWEEP: &str = "SELECT name, seen FROM $chat.presence_sweep($1, $2)";

type Done<T> = std::result::Result<T, PostgresError>;

/// The presence of one schema.
pub(crate) struct PostgresPresence {
    shared: Arc<Shared>,
}

impl PostgresPresence {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// What a function answers.
    async fn call(&self, statement: Query<'_, Postgres, PgArguments>) -> Done<i32> {
        let rows = self.shared.all(statement).await?;
        let row = rows.first().ok_or_else(|| PostgresError::corrupt("a function without an answer"))?;
        Ok(row.try_get("done")?)
    }

    async fn sweep_all(&self, grace: Duration) -> Done<Vec<UserPresence>> {
        let mut gone = Vec::new();
        loop {
            let sweep = self.shared.sql.query(SWEEP).bind(millis(grace)).bind(SWEPT_AT_ONCE);
            let step = self.shared.all(sweep).await.and_then(|rows| swept(&rows, &mut gone));
            match step {
                Ok(false) => return Ok(gone),
                Ok(true) => {}
                // These are given to nobody else any more.
                Err(_) if !gone.is_empty() => return Ok(gone),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Adds who was swept, and answers whether there is more to do.
fn swept(rows: &[PgRow], gone: &mut Vec<UserPresence>) -> Done<bool> {
    let mut more = false;
    for row in rows {
        let Some(name) = row.try_get::<Option<&str>, _>("name")? else {
            more = true;
            continue;
        };
        let user = UserId::new(name).map_err(PostgresError::corrupt)?;
        let last_seen = row.try_get::<Option<i64>, _>("seen")?.map(time);
        gone.push(UserPresence { last_seen, ..UserPresence::never(user) });
    }
    Ok(more)
}

/// PostgreSQL's numbers have a sign: turning the first bit keeps the order.
const fn signed(incarnation: Incarnation) -> i64 {
    (incarnation.0 ^ (1 << 63)).cast_signed()
}

fn millis(time: Duration) -> i64 {
    integer(u64::try_from(time.min(LONGEST).as_millis()).unwrap_or(u64::MAX))
}

fn change(done: i32) -> PresenceChange {
    match done {
        0 => PresenceChange::CameOnline,
        1 => PresenceChange::Noted,
        _ => PresenceChange::Stale,
    }
}

fn user_presence(user: &UserId, row: &PgRow) -> Done<UserPresence> {
    let live: i64 = row.try_get("live")?;
    let since: Option<i64> = row.try_get("since")?;
    let presence = UserPresence::never(user.clone());
    if live > 0 {
        let connections = u32::try_from(live).unwrap_or(u32::MAX);
        return Ok(UserPresence { online: true, connections, since: since.map(time), ..presence });
    }
    // The later of what is written down and what ran out since.
    let left: Option<i64> = row.try_get("left_at")?;
    let last_seen = left.max(row.try_get("ended")?).map(|left| time(left.max(since.unwrap_or(left))));
    Ok(UserPresence { last_seen, ..presence })
}

impl fmt::Debug for PostgresPresence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresPresence").field("schema", &self.shared.sql.schema()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for PostgresPresence {
    fn name(&self) -> &'static str {
        crate::NAME
    }

    async fn health(&self) -> Result<()> {
        self.shared.health().await
    }
}

#[async_trait]
impl Presence for PostgresPresence {
    async fn renew(&self, lease: &NodeLease, ttl: Duration) -> Result<LeaseStatus> {
        let renew = self.shared.sql.query(RENEW).bind(lease.node.as_str());
        let done = self.call(renew.bind(signed(lease.incarnation)).bind(millis(ttl))).await;
        let status = |done| match done {
            0 => LeaseStatus::Renewed,
            1 => LeaseStatus::Started,
            _ => LeaseStatus::Superseded,
        };
        done.map(status).map_err(|error| error.during("renew"))
    }

    async fn release(&self, lease: &NodeLease) -> Result<()> {
        let release =
            self.shared.sql.query(RELEASE).bind(lease.node.as_str()).bind(signed(lease.incarnation));
        self.shared.all(release).await.map(drop).map_err(|error| error.during("release"))
    }

    async fn connected(&self, connection: &PresenceConnection) -> Result<PresenceChange> {
        let PresenceConnection { user, connection, incarnation, lease } = connection;
        let connected = self.shared.sql.query(CONNECTED).bind(user.as_str()).bind(connection.as_str());
        let connected = connected.bind(signed(*incarnation)).bind(lease.node.as_str());
        let done = self.call(connected.bind(signed(lease.incarnation))).await;
        done.map(change).map_err(|error| error.during("connected"))
    }

    async fn disconnected(&self, connection: &PresenceConnection) -> Result<PresenceChange> {
        let disconnected = self.shared.sql.query(DISCONNECTED).bind(connection.connection.as_str());
        let done = self.call(disconnected.bind(signed(connection.incarnation))).await;
        done.map(change).map_err(|error| error.during("disconnected"))
    }

    async fn presence(&self, users: &[UserId]) -> Result<Vec<UserPresence>> {
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = users.iter().map(UserId::as_str).collect();
        let answer = async {
            let rows = self.shared.all(self.shared.sql.query(PRESENCE).bind(names)).await?;
            if rows.len() != users.len() {
                return Err(PostgresError::corrupt("an answer of another length"));
            }
            users.iter().zip(&rows).map(|(user, row)| user_presence(user, row)).collect()
        };
        answer.await.map_err(|error| error.during("presence"))
    }

    async fn sweep(&self, grace: Duration) -> Result<Vec<UserPresence>> {
        self.sweep_all(grace).await.map_err(|error| error.during("sweep"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn greater_incarnations_are_greater_numbers() {
        let signs =
            [0, 1, i64::MAX.cast_unsigned(), 1 << 63, u64::MAX].map(|number| signed(Incarnation(number)));
        assert!(signs.is_sorted());
        assert_eq!(BTreeSet::from(signs).len(), 5);
    }
}
