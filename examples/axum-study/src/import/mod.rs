//! Takes over the tables of the system before: rooms, members, messages, read marks, with their ids, times and order.
//!
//! It may be run again, and adds what has come since; no instance may run meanwhile.

mod reference;

use anyhow::{Context as _, ensure};
use chat_backend_postgres::PostgresBackend;
use chat_core::{
    Authority, Cursor, Error, MemberChange, MessageLog, Role, RoomChange, RoomId, Rooms, Seq, Timestamp,
};
use example_support::{
    import::{self, RoomImport},
    settings::Environment,
};
use serde_json::json;
use std::sync::Arc;

use self::reference::{OldMember, OldMessage, OldRoom, Reference};
use crate::{
    numbers::Numbers,
    settings::Database,
    studies::{OFFSET, new_room},
    wire::{Kind, Stored, local, room, user},
};

/// Messages read at a time.
const BATCH: usize = 500;

pub(crate) async fn run(mut environment: Environment) -> anyhow::Result<()> {
    let database = Database::read(&mut environment);
    let old = reference::settings(&mut environment);
    let (database, old) = environment.finish_with(database.zip(old))?;
    let store = PostgresBackend::connect(database.config()?).await?;
    let numbers = Numbers::open(&database).await?;
    let reference = Reference::connect(&old, &database).await.context("the tables to be imported")?;
    let (mut rooms, mut members, mut messages) = (0, 0, 0);
    for old in reference.rooms().await? {
        let one = Room { rooms: store.rooms(), log: store.message_log(), id: room(old.id)? };
        let of_room = reference.members(old.id).await?;
        one.make(&old).await?;
        one.add(&of_room).await?;
        messages += one
            .take_messages(&reference, &old, RoomImport::begin(store.archive(), one.id.clone()).await?)
            .await?;
        one.mark(&of_room).await?;
        one.end(&of_room).await?;
        numbers.go_past(i64::try_from(old.id)?).await?;
        rooms += 1;
        members += of_room.len();
    }
    numbers.close().await;
    store.close().await;
    println!("imported: {rooms} rooms, {members} members, {messages} messages");
    Ok(())
}

/// One room on its way.
struct Room {
    rooms: Arc<dyn Rooms>,
    log: Arc<dyn MessageLog>,
    id: RoomId,
}

impl Room {
    async fn make(&self, old: &OldRoom) -> anyhow::Result<()> {
        let mut new = new_room(old.study, &old.name)?;
        new.id = self.id.clone();
        let (made, _) = self.rooms.create(new).await?;
        ensure!(made.id == self.id, "study {} has room {} here, not {}", old.study, made.id, self.id);
        Ok(())
    }

    /// Before the messages, so that their marks begin at the start. The time of a change is its version: what was taken over already
    /// is not changed.
    async fn add(&self, members: &[OldMember]) -> anyhow::Result<()> {
        for member in members {
            let change = MemberChange::add(user(member.user)?, Role::Member);
            let change = change.with_version(member.joined.as_millis()).with_since(member.joined);
            self.rooms.change_member(&self.id, change).await?;
        }
        Ok(())
    }

    /// All of them; what was taken over already is found to be there. How many they are.
    async fn take_messages(
        &self,
        reference: &Reference,
        old: &OldRoom,
        mut import: RoomImport,
    ) -> anyhow::Result<u64> {
        let (mut seq, mut last, mut latest) = (Seq::ZERO, 0, Timestamp::EPOCH);
        loop {
            let batch = reference.messages(old.id, last, BATCH).await?;
            if batch.is_empty() {
                break;
            }
            for message in &batch {
                let at = Timestamp::from_millis(message.created_micros / 1_000);
                // What the library says of the time: it never goes back.
                latest = latest.max(at);
                (seq, last) = (seq.next(), message.id);
                import.push(as_stored(message, seq, at, latest)?).await?;
            }
        }
        import.finish().await?;
        // New messages go on counting where the old ones end.
        let mut metadata = self.rooms.room(&self.id).await?.metadata;
        metadata.insert(OFFSET.to_owned(), json!(last.saturating_sub(seq.get())));
        let change =
            RoomChange { metadata: Some(metadata), active: Some(old.active), ..RoomChange::default() };
        self.rooms.update(&self.id, change).await?;
        Ok(seq.get())
    }

    async fn mark(&self, members: &[OldMember]) -> anyhow::Result<()> {
        let heads = self.log.heads(std::slice::from_ref(&self.id)).await?;
        let head = heads.into_iter().flatten().next().context("the room is gone")?.cursor;
        for member in members.iter().filter(|member| member.read > 0) {
            let read = Seq::new(member.read).context("a read mark")?.min(head.seq);
            let cursor = Cursor::new(head.epoch.clone(), read);
            match self.rooms.mark_read(&self.id, &user(member.user)?, &cursor).await {
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
            let change = MemberChange::remove(user(member.user)?).with_version(version).with_since(left);
            self.rooms.change_member(&self.id, change).await?;
        }
        Ok(())
    }
}

/// A message as it is to be stored at `seq`, where the library will say that it was at `said`.
fn as_stored(
    old: &OldMessage,
    seq: Seq,
    at: Timestamp,
    said: Timestamp,
) -> anyhow::Result<import::OldMessage> {
    // A clock that went back, and microseconds, are kept beside it.
    let exact = exact(old.created_micros);
    let differs = local(said) != exact;
    let offset = old.id.checked_sub(seq.get()).context("a room has more messages than their ids allow")?;
    let stored = Stored {
        nickname: old.nickname.as_str().into(),
        content: old.content.as_str().into(),
        offset,
        at: differs.then(|| exact.into()),
    };
    let authority = if old.kind == Kind::Chat { Authority::Member } else { Authority::System };
    Ok(import::OldMessage {
        id: old.id.to_string(),
        client_id: None,
        sender: user(old.sender)?,
        authority,
        content: stored.content(old.kind)?,
        at,
    })
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
