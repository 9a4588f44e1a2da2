//! The epoch, and how a store is known to be another one than before.
//!
//! The row in `store` names what the epoch belongs to: the cluster (system identifier), its timeline (a new one begins when
//! a replica or a restored backup is promoted) and the table itself (another one after a restored dump). Where they are not
//! the same as now, a new epoch begins. An append also looks at the write-ahead log: if that is behind what an earlier answer
//! has seen, the server was put back on its own disk.

use std::sync::{
    PoisonError, RwLock,
    atomic::{AtomicI64, Ordering},
};

use chat_core::Epoch;
use sqlx::Row as _;

use crate::{PostgresError, connections::Connections, lease::Lease, sql::Sql};

type Result<T> = std::result::Result<T, PostgresError>;

/// The epoch as this node knows it.
#[derive(Debug)]
pub(crate) struct Epochs {
    current: RwLock<Epoch>,
    /// How far the write-ahead log was seen.
    seen: AtomicI64,
}

/// Who the store is now. `place` is its own number as a table.
const HERE: &str = "SELECT s.epoch, s.cluster = c.system_identifier AND s.timeline = $chat.here_timeline() \
                    AND s.place = $chat.here_place(s.tableoid) AS same FROM $chat.store s, pg_control_system() c";
const BEGIN: &str = "INSERT INTO $chat.store (epoch, cluster, timeline, place) \
                     SELECT $1, c.system_identifier, $chat.here_timeline(), $chat.here_place('$chat.store'::regclass) \
                     FROM pg_control_system() c ON CONFLICT (one) DO NOTHING";
/// Unless another node was faster.
const RENEW: &str = "UPDATE $chat.store s SET epoch = $1, cluster = c.system_identifier, \
                     timeline = $chat.here_timeline(), place = $chat.here_place(s.tableoid) FROM pg_control_system() c WHERE s.epoch = $2";

impl Epochs {
    pub(crate) async fn begin(connections: &Connections, sql: &Sql, renew: bool) -> Result<Self> {
        let fresh = Epoch::generate();
        connections.all(sql.query(BEGIN).bind(fresh.as_str())).await?;
        let epoch = look(connections, sql, renew.then_some(None)).await?;
        Ok(Self { current: RwLock::new(epoch), seen: AtomicI64::new(0) })
    }

    pub(crate) fn current(&self) -> Epoch {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks the store who it is, after something showed that it may be another one: with `doubtful`, the epoch that was
    /// doubted ends whatever the store says.
    pub(crate) async fn renew(
        &self,
        connections: &Connections,
        sql: &Sql,
        doubtful: Option<&Epoch>,
    ) -> Result<Epoch> {
        let epoch = look(connections, sql, doubtful.map(Some)).await?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if *current != epoch {
            tracing::warn!(
                old = current.as_str(),
                new = epoch.as_str(),
                "the store is another one than before: a new epoch"
            );
            *current = epoch.clone();
            self.seen.store(0, Ordering::Relaxed);
        }
        Ok(epoch)
    }

    /// How far the write-ahead log was seen in this epoch.
    pub(crate) fn seen(&self) -> i64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// An answer saw the write-ahead log come so far, in the epoch in which it was asked for.
    pub(crate) fn saw(&self, epoch: &Epoch, lsn: i64) {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        // An answer that was under way for long may be of the server as it was before.
        if *current == *epoch {
            self.seen.fetch_max(lsn, Ordering::Relaxed);
        }
    }
}

/// The store's epoch; a new one if the store is another one, or if this one is doubted.
async fn look(connections: &Connections, sql: &Sql, doubt: Option<Option<&Epoch>>) -> Result<Epoch> {
    let mut lease = connections.lease().await?;
    lease.begin().await?;
    let found = look_within(&mut lease, sql, doubt).await;
    if found.is_ok() {
        lease.commit().await?;
    } else {
        lease.roll_back().await;
    }
    found
}

async fn look_within(lease: &mut Lease, sql: &Sql, doubt: Option<Option<&Epoch>>) -> Result<Epoch> {
    loop {
        let row = lease.one(sql.query(HERE)).await?;
        let epoch = Epoch::new(row.try_get("epoch")?).map_err(PostgresError::corrupt)?;
        let doubted = match doubt {
            None => false,
            Some(None) => true,
            Some(Some(doubtful)) => *doubtful == epoch,
        };
        if row.try_get("same")? && !doubted {
            return Ok(epoch);
        }
        let fresh = Epoch::generate();
        let renew = sql.query(RENEW).bind(fresh.as_str()).bind(epoch.as_str());
        if lease.execute(renew).await? > 0 {
            return Ok(fresh);
        }
    }
}
