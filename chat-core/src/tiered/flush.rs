//! Moves entries that wait into the archive.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream};
use tracing::{error, warn};

use super::{
    Archived, DeadLetter, HotEntry, HotState, Import, ImportEntry, ImportOutcome, Pending, Shared, meter,
    payload,
};
use crate::{Body, Content, Draft, Epoch, Error, Result, Retry, RoomId, Seq};

/// So many entries of a room are moved at once while somebody waits for them.
const AT_ONCE: usize = 250;
/// So often is looked whether all is there.
const ROUNDS: usize = 1_000;
/// So many entries go into the archive in one step at most, so that it is over in time.
const STEP: usize = 4_000;

impl Shared {
    /// Returns once everything is archived that these rooms held when this was called.
    pub(super) async fn flush(&self, rooms: &[RoomId]) -> Result<()> {
        let mut wanted: BTreeMap<RoomId, (Epoch, Seq)> = BTreeMap::new();
        for (room, state) in rooms.iter().zip(self.hot.rooms(rooms).await?) {
            let open = match state {
                HotState::Open(open) => Some(open),
                HotState::Left => self.open(room).await?,
                HotState::Absent => None,
            };
            if let Some(open) = open
                && open.archived < open.head
            {
                wanted.insert(room.clone(), (open.life, open.head));
            }
        }
        for _ in 0..ROUNDS {
            if wanted.is_empty() {
                return Ok(());
            }
            let names: Vec<RoomId> = wanted.keys().cloned().collect();
            let pending = self.hot.pending(&names, AT_ONCE).await?;
            let (done, failed) = self.archive_entries(&pending).await;
            self.hot.archived(&done).await?;
            failed?;
            for (room, state) in names.iter().zip(self.hot.rooms(&names).await?) {
                let waits = match (&state, wanted.get(room)) {
                    (HotState::Open(open), Some((life, upto))) => open.life == *life && open.archived < *upto,
                    _ => false,
                };
                if !waits {
                    wanted.remove(room);
                }
            }
        }
        Err(Error::Timeout { operation: "moving entries into the archive" })
    }

    /// Archives what was taken. Answers what the hot log is to be told, and what failed first: a room that is in the way keeps no
    /// other one from it. A room whose life is over is opened anew.
    pub(super) async fn archive_entries(&self, pending: &[Pending]) -> (Vec<Archived>, Result<()>) {
        let (mut done, mut failed) = (Vec::with_capacity(pending.len()), None);
        let mut note = |outcome: Result<Archived>| match outcome {
            Ok(archived) => done.push(archived),
            Err(error) => failed = failed.take().or(Some(error)),
        };
        let mut imports = Vec::with_capacity(pending.len());
        for taken in pending {
            match (&taken.life, &taken.entries[..]) {
                (None, _) => note(self.reopen(taken).await),
                // Somebody was faster.
                (Some(life), []) => note(Ok(archived(taken, life, Seq::ZERO))),
                (Some(life), entries) => match self.readable(&taken.room, life, entries).await {
                    Ok(entries) => {
                        imports
                            .push((taken, Import { room: taken.room.clone(), life: life.clone(), entries }));
                    }
                    Err(error) => note(Err(error)),
                },
            }
        }
        let mut rest = &imports[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(step(rest));
            match self.import_all(now.iter().map(|(_, import)| import.clone()).collect()).await {
                Ok(outcomes) => {
                    for ((taken, import), outcome) in now.iter().zip(outcomes) {
                        note(self.conclude(taken, import, outcome).await);
                    }
                }
                Err(error) => note(Err(error)),
            }
            rest = later;
        }
        (done, failed.map_or(Ok(()), Err))
    }

    /// What the hot log is to be told of an import.
    async fn conclude(&self, taken: &Pending, import: &Import, outcome: ImportOutcome) -> Result<Archived> {
        let last = import.entries.last().map_or(Seq::ZERO, |entry| entry.seq);
        match outcome {
            ImportOutcome::Stored(_) => {}
            ImportOutcome::Gap(_) | ImportOutcome::Superseded => {
                warn!(room = %import.room, ?outcome, "the archive does not go along with this life of the room");
                self.hot.close_room(&import.room, &import.life).await?;
                return self.reopen(taken).await;
            }
            ImportOutcome::RoomMissing => {
                for entry in &taken.entries {
                    let reason = "there is no such room".to_owned();
                    self.bury(&taken.room, &import.life, entry.clone(), reason).await?;
                }
            }
        }
        Ok(archived(taken, &import.life, last))
    }

    /// Opens a room with entries left, at once: nobody else may ask for it. What waits is taken again then.
    async fn reopen(&self, taken: &Pending) -> Result<Archived> {
        let open = self.open(&taken.room).await?;
        // Of one that does not exist, the ticket alone is given back.
        let life = open.map_or_else(Epoch::generate, |open| open.life);
        Ok(archived(taken, &life, Seq::ZERO))
    }

    /// Imports; where the archive will never take some of it, finds out which.
    async fn import_all(&self, imports: Vec<Import>) -> Result<Vec<ImportOutcome>> {
        match self.archive.import(&imports).await {
            Err(Error::Invalid { reason, .. }) => {
                warn!(reason, rooms = imports.len(), "the archive refuses a batch: each room for itself");
            }
            done => return done,
        }
        let mut outcomes = Vec::with_capacity(imports.len());
        for import in imports {
            outcomes.push(self.import_room(import).await?);
        }
        Ok(outcomes)
    }

    async fn import_room(&self, mut import: Import) -> Result<ImportOutcome> {
        match self.archive.import(std::slice::from_ref(&import)).await {
            Err(Error::Invalid { .. }) => {}
            done => return only(done?),
        }
        let mut outcome = ImportOutcome::Superseded;
        for entry in std::mem::take(&mut import.entries) {
            let (seq, id) = (entry.seq, entry.id);
            let sent = entry.draft.clone();
            import.entries = vec![entry];
            outcome = match self.archive.import(std::slice::from_ref(&import)).await {
                Err(refused @ Error::Invalid { .. }) => {
                    let payload = payload::encode(&sent)?;
                    let entry = HotEntry { seq, id, target: None, payload };
                    self.bury(&import.room, &import.life, entry, refused.to_string()).await?;
                    import.entries = vec![ImportEntry { seq, id, draft: withdrawn(&import.room, seq)? }];
                    only(self.archive.import(std::slice::from_ref(&import)).await?)?
                }
                done => only(done?)?,
            };
            if !matches!(outcome, ImportOutcome::Stored(_)) {
                break;
            }
        }
        Ok(outcome)
    }

    /// The entries as the archive takes them. One that cannot be read is put aside, and its place kept.
    async fn readable(&self, room: &RoomId, life: &Epoch, entries: &[HotEntry]) -> Result<Vec<ImportEntry>> {
        let mut readable = Vec::with_capacity(entries.len());
        for entry in entries {
            readable.push(match payload::import_entry(entry) {
                Ok(entry) => entry,
                Err(reason) => {
                    self.bury(room, life, entry.clone(), reason).await?;
                    ImportEntry { seq: entry.seq, id: entry.id, draft: withdrawn(room, entry.seq)? }
                }
            });
        }
        Ok(readable)
    }

    async fn bury(&self, room: &RoomId, life: &Epoch, entry: HotEntry, reason: String) -> Result<()> {
        error!(%room, seq = %entry.seq, reason, "an entry cannot be archived and is put aside");
        meter::buried();
        let letter = DeadLetter { room: room.clone(), life: life.clone(), entry, reason };
        self.hot.bury(&[letter]).await
    }

    /// Everything that waits in a room of this user, for lists that must show it.
    pub(super) async fn flush_rooms_of(&self, user: &crate::UserId) -> Result<()> {
        let waiting = self.hot.pending_rooms().await?;
        if waiting.is_empty() {
            return Ok(());
        }
        let members = self.rooms.memberships(user, &waiting).await?;
        let theirs: Vec<RoomId> = waiting
            .into_iter()
            .zip(members)
            .filter(|(_, member)| member.as_ref().is_some_and(crate::Member::is_current))
            .map(|(room, _)| room)
            .collect();
        self.flush(&theirs).await
    }

    /// Names of the archive that the hot log does not know yet, a page at a time.
    pub(super) async fn learn_names(&self, room: &RoomId) -> Result<()> {
        const PAGE: usize = 1_000;
        loop {
            // The life first: what is to be told is then of this one, or the telling has no effect.
            let [HotState::Open(open)] = &self.hot.rooms(std::slice::from_ref(room)).await?[..] else {
                return Ok(());
            };
            let Some(unlearned) = self.hot.unlearned(room).await? else { return Ok(()) };
            let mut names = self.archive.names(room, unlearned.after, PAGE).await?;
            names.retain(|(seq, ..)| *seq <= unlearned.upto);
            let upto = match names.last() {
                Some((seq, ..)) if names.len() == PAGE => *seq,
                _ => unlearned.upto,
            };
            let keys: Vec<_> =
                names.iter().map(|(_, sender, name)| super::NameKey::new(sender, name)).collect();
            self.hot.learn(room, &open.life, unlearned.after, upto, &keys).await?;
        }
    }

    /// As [`learn_names`](Self::learn_names), of several rooms; what fails is left for the next time.
    pub(super) async fn learn_some(&self, rooms: Vec<RoomId>) {
        const ROOMS: usize = 4;
        stream::iter(rooms)
            .for_each_concurrent(ROOMS, |room| async move {
                if let Err(error) = self.learn_names(&room).await {
                    tracing::debug!(%error, %room, "names of the archive could not be told to the hot log");
                }
            })
            .await;
    }
}

fn archived(taken: &Pending, life: &Epoch, upto: Seq) -> Archived {
    Archived { room: taken.room.clone(), life: life.clone(), upto, ticket: taken.ticket.clone() }
}

/// How many of these imports go together: at least one.
fn step(imports: &[(&Pending, Import)]) -> usize {
    let mut entries = 0;
    let fits = imports.iter().take_while(|(_, import)| {
        entries += import.entries.len();
        entries <= STEP
    });
    fits.count().max(1)
}

fn only(mut outcomes: Vec<ImportOutcome>) -> Result<ImportOutcome> {
    let missing = || Error::backend(super::NAME, "import", Retry::Never, "an import without an outcome");
    outcomes.pop().ok_or_else(missing)
}

/// What stands at the position of an entry that was put aside: from the service, without a text, counted by nobody.
fn withdrawn(room: &RoomId, seq: Seq) -> Result<Draft> {
    let invalid = |error: crate::InvalidId| Error::invalid("id", error);
    let sender = crate::UserId::new("system").map_err(invalid)?;
    let client_id = crate::ClientMessageId::new(&format!("withdrawn-{seq}")).map_err(invalid)?;
    let content = Content::Chat { body: Body::Removed };
    let draft = Draft::new(room.clone(), sender, client_id, content);
    Ok(draft.with_authority(crate::Authority::System))
}
