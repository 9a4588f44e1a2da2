//! Takes over the tables of the system before: rooms, members, messages, read marks, with their ids, times and order.
//!
//! It may be run again, and goes on behind what it has taken over; no instance may run meanwhile.

mod reference;

use anyhow::{Context as _, bail, ensure};
use chat_backend_postgres::PostgresBackend;
use chat_core::{
    Authority, ClientMessageId, Cursor, Draft, Epoch, Error, MemberChange, MessageId, ReadQuery, Role,
    RoomChange, RoomId, Seq, StoredMessage, Timestamp,
    tiered::{Import, ImportEntry, ImportOutcome, Life, LifeOutcome},
};
use example_support::settings::Environment;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use self::reference::{OldMember, OldMessage, OldRoom, Reference};
use crate::{
    numbers::Numbers,
    settings::Database,
    studies::{OFFSET, new_room},
    wire::{Kind, Stored, Told, local, room, user},
};

/// How the names of imported messages begin.
const NAME: &str = "import:";

/// Messages stored in one step.
const BATCH: usize = 500;

/// What was done.
#[derive(Debug, Default)]
struct Taken {
    rooms: usize,
    members: usize,
    messages: u64,
}

pub(crate) async fn run(mut environment: Environment) -> anyhow::Result<()> {
    let database = Database::read(&mut environment);
    let old = reference::settings(&mut environment);
    let (database, old) = environment.finish_with(database.zip(old))?;
    let store = PostgresBackend::connect(database.config()?).await?;
    let numbers = Numbers::open(&database).await?;
    let reference = Reference::connect(&old, &database).await.context("the tables to be imported")?;
    let mut taken = Taken::default();
    for old in reference.rooms().await? {
        let members = reference.members(old.id).await?;
        let one = Room { store: &store, id: room(old.id)? };
        one.make(&old).await?;
        one.add(&members).await?;
        taken.messages += one.take_messages(&reference, &old).await?;
        one.mark(&members).await?;
        one.end(&members).await?;
        let change = RoomChange { active: Some(old.active), ..RoomChange::default() };
        store.rooms().update(&one.id, change).await?;
        numbers.go_past(i64::try_from(old.id)?).await?;
        taken.rooms += 1;
        taken.members += members.len();
    }
    numbers.close().await;
    store.close().await;
    let Taken { rooms, members, messages } = taken;
    println!("imported: {rooms} rooms, {members} members, {messages} new messages");
    Ok(())
}

/// One room on its way.
struct Room<'a> {
    store: &'a PostgresBackend,
    id: RoomId,
}

impl Room<'_> {
    async fn make(&self, old: &OldRoom) -> anyhow::Result<()> {
        let mut new = new_room(old.study, &old.name)?;
        new.id = self.id.clone();
        let (made, _) = self.store.rooms().create(new).await?;
        ensure!(made.id == self.id, "study {} has room {} here, not {}", old.study, made.id, self.id);
        Ok(())
    }

    /// Before the messages, so that their marks begin at the start. The time of a change is its version: what was taken over already
    /// is not changed.
    async fn add(&self, members: &[OldMember]) -> anyhow::Result<()> {
        for member in members {
            let change = MemberChange::add(user(member.user)?, Role::Member);
            let change = change.with_version(member.joined.as_millis()).with_time(member.joined);
            self.store.rooms().change_member(&self.id, change).await?;
        }
        Ok(())
    }

    /// Those behind the last one that was taken over. How many they were.
    async fn take_messages(&self, reference: &Reference, old: &OldRoom) -> anyhow::Result<u64> {
        let archive = self.store.archive();
        let rooms = archive.rooms(std::slice::from_ref(&self.id)).await?;
        let known = rooms.into_iter().flatten().next().context("the room is gone")?;
        let life = match known.life() {
            Some(life) => life.epoch.clone(),
            None => {
                let life = Life { epoch: Epoch::new("import")?, base: known.head.cursor.seq };
                let begun = archive.begin_life(&self.id, &known, &life).await?;
                ensure!(begun == LifeOutcome::Begun, "room {} is in use", self.id);
                life.epoch
            }
        };
        let (mut seq, mut last_id) = (known.head.cursor.seq, known.last_id);
        let begun = seq;
        let mut last = self.last_message().await?;
        loop {
            let batch = reference.messages(old.id, last, BATCH).await?;
            let Some(newest) = batch.last() else { break };
            last = newest.id;
            let mut entries = Vec::with_capacity(batch.len());
            for message in &batch {
                seq = seq.next();
                let entry = self.entry(message, seq, last_id)?;
                last_id = Some(entry.id);
                entries.push(entry);
            }
            let import = Import { room: self.id.clone(), life: life.clone(), entries };
            match archive.import(&[import]).await?[..] {
                [ImportOutcome::Stored(_)] => {}
                ref other => bail!("room {} is in use: {other:?}", self.id),
            }
        }
        // New messages go on counting where the old ones end.
        let mut metadata = self.store.rooms().room(&self.id).await?.metadata;
        metadata.insert(OFFSET.to_owned(), json!(last.saturating_sub(seq.get())));
        let change = RoomChange { metadata: Some(metadata), ..RoomChange::default() };
        self.store.rooms().update(&self.id, change).await?;
        Ok(seq.since(begun))
    }

    /// The id of the last message that was taken over; zero where none was.
    async fn last_message(&self) -> anyhow::Result<u64> {
        let page = self.store.message_log().read(&self.id, ReadQuery::newest().with_limit(1)).await?;
        let Some(entry) = page.entries.last() else { return Ok(0) };
        let imported = |entry: &StoredMessage| entry.client_id.as_str().starts_with(NAME);
        match Told::of(entry) {
            Some(told) if imported(entry) => Ok(told.message_id),
            _ => bail!("room {} has messages of its own: it is in use already", self.id),
        }
    }

    fn entry(&self, old: &OldMessage, seq: Seq, last_id: Option<MessageId>) -> anyhow::Result<ImportEntry> {
        let at = Timestamp::from_millis(old.created_micros / 1_000);
        // The same at every run, and different for every message.
        let digest = Sha256::digest(format!("{}:{}", self.id, old.id));
        let mut random = [0; 16];
        random.copy_from_slice(&digest[..16]);
        let id = MessageId::next(last_id, at, u128::from_be_bytes(random));
        // A clock that went back, and microseconds, are kept beside the id.
        let exact = exact(old.created_micros);
        let said = (local(id.timestamp()) != exact).then(|| exact.into());
        let offset =
            old.id.checked_sub(seq.get()).context("a room has more messages than their ids allow")?;
        let stored = Stored {
            nickname: old.nickname.as_str().into(),
            content: old.content.as_str().into(),
            offset,
            at: said,
        };
        let name = ClientMessageId::new(&format!("{NAME}{}", old.id))?;
        let draft = Draft::new(self.id.clone(), user(old.sender)?, name, stored.content(old.kind)?);
        let authority = if old.kind == Kind::Chat { Authority::Member } else { Authority::System };
        Ok(ImportEntry { seq, id, draft: draft.with_authority(authority) })
    }

    async fn mark(&self, members: &[OldMember]) -> anyhow::Result<()> {
        let heads = self.store.message_log().heads(std::slice::from_ref(&self.id)).await?;
        let head = heads.into_iter().flatten().next().context("the room is gone")?.cursor;
        for member in members.iter().filter(|member| member.read > 0) {
            let read = Seq::new(member.read).context("a read mark")?.min(head.seq);
            let cursor = Cursor::new(head.epoch.clone(), read);
            match self.store.rooms().mark_read(&self.id, &user(member.user)?, &cursor).await {
                // Went in an earlier run.
                Err(Error::NotAMember { .. }) if member.left.is_some() => {}
                done => drop(done?),
            }
        }
        Ok(())
    }

    async fn end(&self, members: &[OldMember]) -> anyhow::Result<()> {
        for member in members {
            let Some(left) = member.left else { continue };
            let version = left.as_millis().max(member.joined.as_millis() + 1);
            let change = MemberChange::remove(user(member.user)?).with_version(version).with_time(left);
            self.store.rooms().change_member(&self.id, change).await?;
        }
        Ok(())
    }
}

/// A time as [`local`] shows it, with its microseconds where there are any.
fn exact(micros: u64) -> String {
    let millis = Timestamp::from_millis(micros / 1_000);
    match micros % 1_000 {
        0 => local(millis),
        rest => format!("{}{rest:03}", millis.to_string().trim_end_matches('Z')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_keeps_its_microseconds() {
        assert_eq!(exact(1_736_433_000_000_000), "2025-01-09T14:30:00");
        assert_eq!(exact(1_736_433_000_120_000), "2025-01-09T14:30:00.120");
        assert_eq!(exact(1_736_433_000_120_005), "2025-01-09T14:30:00.120005");
    }
}
