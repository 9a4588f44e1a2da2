//! The schema as the archive of a log that stands in front of it.

mod import;
mod lives;
mod lookup;

use std::sync::Arc;

use async_trait::async_trait;
use chat_core::{
    Backend, ClientMessageId, Error, Fingerprint, MessageId, Position, Result, RoomId, Seq, UserId,
    tiered::{Admission, Archive, ArchivedRoom, ArchivedTarget, Import, ImportOutcome, Life, LifeOutcome},
};

use crate::{backend::Shared, to_the_end::ToTheEnd};

/// [`Archive`] in PostgreSQL.
#[derive(Debug, Clone)]
pub(crate) struct PostgresArchive {
    shared: Arc<Shared>,
}

impl PostgresArchive {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

#[async_trait]
impl Backend for PostgresArchive {
    fn name(&self) -> &'static str {
        crate::NAME
    }

    async fn health(&self) -> Result<()> {
        self.shared.health().await
    }
}

#[async_trait]
impl Archive for PostgresArchive {
    async fn rooms(&self, rooms: &[RoomId]) -> Result<Vec<Option<ArchivedRoom>>> {
        lookup::rooms(&self.shared, rooms).await.map_err(|error| error.during("archived rooms"))
    }

    async fn begin_life(&self, room: &RoomId, seen: &ArchivedRoom, life: &Life) -> Result<LifeOutcome> {
        let begin = lives::begin(Arc::clone(&self.shared), room.clone(), seen.clone(), life.clone());
        ToTheEnd::new(begin).await.map_err(|error| error.during("begin life"))
    }

    async fn import(&self, imports: &[Import]) -> Result<Vec<ImportOutcome>> {
        if imports.is_empty() {
            return Ok(Vec::new());
        }
        // A caller who goes away leaves no transaction half done.
        import::check(imports)?;
        let work = ToTheEnd::new(import::import(Arc::clone(&self.shared), imports.to_vec()));
        work.await.map_err(import::failed)
    }

    async fn admissions(&self, writers: &[(RoomId, UserId)]) -> Result<Vec<Option<Admission>>> {
        lookup::admissions(&self.shared, writers).await.map_err(|error| error.during("admissions"))
    }

    async fn copies(
        &self,
        names: &[(RoomId, UserId, ClientMessageId)],
    ) -> Result<Vec<Option<(Position, Fingerprint)>>> {
        lookup::copies(&self.shared, names).await.map_err(|error| error.during("copies"))
    }

    async fn targets(&self, targets: &[(RoomId, MessageId)]) -> Result<Vec<Option<ArchivedTarget>>> {
        lookup::targets(&self.shared, targets).await.map_err(|error| error.during("targets"))
    }

    async fn names(
        &self,
        room: &RoomId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<(Seq, UserId, ClientMessageId)>> {
        let found = lookup::names(&self.shared, room, after, limit).await;
        found
            .map_err(|error| error.during("names"))?
            .ok_or_else(|| Error::RoomNotFound { room: room.clone() })
    }
}
