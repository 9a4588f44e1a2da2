//! Takes messages over from another system, through the archive's side of a store: they keep their order and their times, count as
//! unread and show in lists and searches like any others. Doing it again changes nothing.

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use chat_core::{
    Authority, ClientMessageId, Content, Cursor, Draft, Epoch, MessageId, RoomId, Seq, StoredMessage,
    Timestamp, UserId,
    tiered::{Archive, Import, ImportEntry, ImportOutcome, Life, LifeOutcome},
};
use chat_gateway::Problem;

/// Client ids of messages without one begin so; what follows is the other system's id. No client may send one that begins so.
pub const PREFIX: &str = "imported:";

/// A message's client id, as a client gave it.
///
/// # Errors
/// It is one by which a message that was taken over is known: those are nobody's.
pub fn client_id(given: ClientMessageId) -> Result<ClientMessageId, Problem> {
    if given.as_str().starts_with(PREFIX) {
        return Err(Problem::invalid(format!("`clientMsgId` may not begin with {PREFIX:?}")));
    }
    Ok(given)
}

/// What an import that failed says: where what it reads is not there or has other columns, that `page` tells how it is to be.
#[must_use]
pub fn explained(error: anyhow::Error, page: &str) -> anyhow::Error {
    /// No such schema, table or view, or column.
    const MISSING: [&str; 3] = ["3F000", "42P01", "42703"];
    let code =
        error.chain().find_map(|cause| cause.downcast_ref::<sqlx::Error>()?.as_database_error()?.code());
    if code.is_some_and(|code| MISSING.contains(&code.as_ref())) {
        return error.context(format!("what is to be imported is not as {page} has it"));
    }
    error
}

/// The life that imports belong to.
const LIFE: &str = "import";
/// Entries of one call.
const BATCH: usize = 500;

/// A message of another system.
#[derive(Debug, Clone)]
pub struct OldMessage {
    /// Its id there. One that is a ULID and grows with the order is kept; others are known by [`old_id`].
    pub id: String,
    /// The sender's name for it, if there was one.
    pub client_id: Option<ClientMessageId>,
    /// Who sent it.
    pub sender: UserId,
    /// In whose right.
    pub authority: Authority,
    /// What it says.
    pub content: Content,
    /// When it was stored there.
    pub at: Timestamp,
}

/// The id that a message had before it was taken over.
#[must_use]
pub fn old_id(entry: &StoredMessage) -> Option<&str> {
    entry.client_id.as_str().strip_prefix(PREFIX)
}

/// One room's messages on their way, in their order.
#[derive(Debug)]
pub struct RoomImport {
    archive: Arc<dyn Archive>,
    room: RoomId,
    life: Epoch,
    epoch: Epoch,
    seq: Seq,
    last: Option<MessageId>,
    waiting: Vec<ImportEntry>,
}

impl RoomImport {
    /// Begins with the room's first message. The room is there already, and before the first [`push`](Self::push) its members are: a
    /// member who is added later has read everything.
    ///
    /// # Errors
    /// There is no such room, or a server has opened it: from then on its positions are the server's to give out, and messages that are
    /// not in the archive yet may wait for theirs. Nothing is changed then.
    pub async fn begin(archive: Arc<dyn Archive>, room: RoomId) -> anyhow::Result<Self> {
        let life = Epoch::new(LIFE)?;
        let known = archive.rooms(std::slice::from_ref(&room)).await?.pop().flatten();
        let seen = known.with_context(|| format!("there is no room {room}"))?;
        // A life of ours over one of a server's would refuse what the server has accepted and not archived yet.
        ensure!(
            seen.life().is_none_or(|present| present.epoch == life),
            "room {room}: a server has opened it since it was made, so nothing more can be imported into it; \
            to start over, end the servers, drop the schema of this chat and import into an empty one"
        );
        if seen.life().is_none() {
            let begun = Life { epoch: life.clone(), base: seen.head.cursor.seq };
            match archive.begin_life(&room, &seen, &begun).await? {
                LifeOutcome::Begun => {}
                LifeOutcome::Changed => {
                    bail!("room {room} changes while it is imported: end its servers first")
                }
                LifeOutcome::RoomMissing => bail!("there is no room {room}"),
            }
        }
        let epoch = seen.head.cursor.epoch;
        Ok(Self { archive, room, life, epoch, seq: Seq::ZERO, last: None, waiting: Vec::new() })
    }

    /// Whether an import began this life.
    #[must_use]
    pub fn is_of_import(life: &Life) -> bool {
        life.epoch.as_str() == LIFE
    }

    /// Adds the next message and answers its position and id, which are the same each time.
    ///
    /// # Errors
    /// As for [`finish`](Self::finish).
    pub async fn push(&mut self, message: OldMessage) -> anyhow::Result<(Seq, MessageId)> {
        let OldMessage { id: old, client_id, sender, authority, content, at } = message;
        let kept = old.parse().ok().filter(|id| self.last.is_none_or(|last| *id > last));
        let id = kept.unwrap_or_else(|| {
            // A digest in place of chance: the next run must find the same one.
            let digest = u128::from_be_bytes(Content::text(&old).fingerprint().0);
            MessageId::next(self.last, at, digest)
        });
        let client_id = match client_id {
            Some(client_id) => client_id,
            None => {
                ClientMessageId::new(&format!("{PREFIX}{old}")).with_context(|| format!("message {old:?}"))?
            }
        };
        let draft = Draft::new(self.room.clone(), sender, client_id, content).with_authority(authority);
        (self.seq, self.last) = (self.seq.next(), Some(id));
        self.waiting.push(ImportEntry { seq: self.seq, id, draft });
        if self.waiting.len() >= BATCH {
            self.flush().await?;
        }
        Ok((self.seq, id))
    }

    /// The position as a cursor, for read markers.
    #[must_use]
    pub fn cursor(&self, seq: Seq) -> Cursor {
        Cursor::new(self.epoch.clone(), seq)
    }

    /// Stores what waits.
    ///
    /// # Errors
    /// The store's, or that the room holds other messages where these should be: somebody wrote there since the last import.
    ///
    /// # Cancel safety
    /// A dropped call has stored whole batches; begin again.
    pub async fn flush(&mut self) -> anyhow::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let (room, life, entries) = (self.room.clone(), self.life.clone(), std::mem::take(&mut self.waiting));
        let outcome = self.archive.import(&[Import { room, life, entries }]).await?.pop();
        match outcome.context("an import without an outcome")? {
            ImportOutcome::Stored(_) => Ok(()),
            ImportOutcome::Gap(head) => {
                bail!("room {}: it ends at {head}, before what is imported", self.room)
            }
            ImportOutcome::Superseded => {
                bail!(
                    "room {}: other messages are where these should be; somebody wrote there meanwhile",
                    self.room
                )
            }
            ImportOutcome::RoomMissing => bail!("room {} is gone", self.room),
        }
    }

    /// Stores what waits and answers the last position that was given out.
    ///
    /// # Errors
    /// As for [`flush`](Self::flush).
    pub async fn finish(mut self) -> anyhow::Result<Seq> {
        self.flush().await?;
        Ok(self.seq)
    }
}

#[cfg(test)]
mod tests {
    use chat_core::{NewRoom, Storage as _, memory::MemoryStore};

    use super::*;

    #[tokio::test]
    async fn a_room_that_a_server_has_opened_is_left_to_it() {
        let store = MemoryStore::default();
        let (archive, id) = (store.archive(), RoomId::new("room").unwrap());
        store.rooms().create(NewRoom::new(id.clone())).await.unwrap();
        let lives = async || {
            let known = archive.rooms(std::slice::from_ref(&id)).await.unwrap();
            known.into_iter().next().flatten().unwrap()
        };
        for _ in 0..2 {
            RoomImport::begin(store.archive(), id.clone()).await.unwrap();
            assert_eq!(lives().await.lives.len(), 1, "a second run goes on with the first one's");
        }
        let served = Life { epoch: Epoch::generate(), base: Seq::ZERO };
        assert_eq!(archive.begin_life(&id, &lives().await, &served).await.unwrap(), LifeOutcome::Begun);
        let refused = RoomImport::begin(store.archive(), id.clone()).await.unwrap_err();
        assert!(refused.to_string().contains("a server has opened it"), "{refused}");
        assert_eq!(lives().await.life(), Some(&served), "what it accepted is still taken");
    }
}
