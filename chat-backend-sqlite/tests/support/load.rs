//! Mixed load on a file, whose every attempt and every answer is said at once to whoever listens, so that the listener
//! knows what was promised when the process is gone.

use std::{io::Write as _, path::PathBuf, time::Duration};

use chat_backend_sqlite::SqliteBackend;
use chat_core::{
    ClientMessageId, Content, Cursor, Draft, MemberChange, MessageId, ReactionOp, Retention, Role, RoomId,
    Seq, UserId,
    testkit::{
        LogNode,
        fixtures::{about, reaction, room, user},
    },
};
use serde::{Deserialize, Serialize};

use super::node;

pub const ROOMS: usize = 4;
pub const WRITERS: u64 = 6;

/// What the process says. A line each.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Said {
    /// It is about to append this.
    Trying(RoomId, UserId, ClientMessageId, Content),
    /// It was told that this entry is stored there.
    Stored(RoomId, UserId, ClientMessageId, Seq, MessageId),
    Read(RoomId, UserId, Seq),
    Member {
        room: RoomId,
        user: UserId,
        current: bool,
        version: u64,
    },
    Trimmed(RoomId, Seq),
    Copied(PathBuf),
}

pub fn room_name(number: usize) -> String {
    format!("room-{number}")
}

pub fn writer_name(number: u64) -> String {
    format!("user-{number}")
}

fn say(said: &Said) {
    let mut line = serde_json::to_string(said).unwrap();
    line.push('\n');
    // One call: a line is said whole or not at all.
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Writes until the process is killed, or whoever started it is gone.
pub async fn run(backend: SqliteBackend, seed: u64) {
    std::thread::spawn(|| {
        let _ = std::io::read_to_string(std::io::stdin());
        std::process::exit(0);
    });
    for number in 0..WRITERS {
        let writer = Writer {
            backend: backend.clone(),
            node: node(&backend),
            name: writer_name(number),
            guest: format!("guest-{number}"),
            random: fastrand::Rng::with_seed(seed.wrapping_mul(WRITERS).wrapping_add(number)),
            prefix: format!("{seed:x}-{number}"),
            count: 0,
            own: Vec::new(),
        };
        tokio::spawn(writer.run());
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
}

struct Writer {
    backend: SqliteBackend,
    node: LogNode,
    name: String,
    guest: String,
    random: fastrand::Rng,
    prefix: String,
    count: u64,
    /// Its own messages, which it edits and deletes.
    own: Vec<(String, MessageId, Cursor)>,
}

impl Writer {
    async fn run(mut self) {
        loop {
            match self.random.u32(..1_000) {
                0..800 => self.append().await,
                800..900 => self.mark_read().await,
                900..960 => self.change_guest().await,
                960..992 => self.trim().await,
                _ => self.copy().await,
            }
        }
    }

    /// Some drafts for mixed rooms: mostly messages, and changes of own ones.
    async fn append(&mut self) {
        let mut drafts = Vec::new();
        for _ in 0..self.random.usize(1..=5) {
            self.count += 1;
            let client = format!("{}-{}", self.prefix, self.count);
            let content = Content::text(&format!("pear number {}", self.count));
            let message = about(&room_name(self.random.usize(..ROOMS)), &self.name, &client, content);
            let changed = (self.random.u8(..10) < 4).then(|| self.change(&client)).flatten();
            drafts.push(changed.unwrap_or(message));
        }
        for Draft { room, sender, client_id, content, .. } in &drafts {
            say(&Said::Trying(room.clone(), sender.clone(), client_id.clone(), content.clone()));
        }
        let outcomes = self.node.log.append(&drafts).await.unwrap();
        for (draft, outcome) in drafts.iter().zip(outcomes) {
            // Refused: another writer's trim took the target.
            let Some(position) = outcome.stored() else { continue };
            say(&Said::Stored(
                draft.room.clone(),
                draft.sender.clone(),
                draft.client_id.clone(),
                position.cursor.seq,
                position.id,
            ));
            if draft.content.target().is_none() {
                self.own.push((draft.room.to_string(), position.id, position.cursor.clone()));
            }
        }
    }

    fn change(&mut self, client: &str) -> Option<Draft> {
        let index = self.random.usize(..self.own.len().max(1));
        let (in_room, target, _) = self.own.get(index)?.clone();
        let content = match self.random.u8(..4) {
            0 => Content::Edit { target, body: chat_core::Body::text(&format!("plum for {client}")) },
            1 => {
                self.own.swap_remove(index);
                Content::Delete { target }
            }
            2 => reaction(target, "👍", ReactionOp::Remove),
            _ => reaction(target, "👍", ReactionOp::Add),
        };
        Some(about(&in_room, &self.name, client, content))
    }

    async fn mark_read(&mut self) {
        let Some((in_room, _, cursor)) = self.random.choice(&self.own).cloned() else { return };
        let (in_room, reader) = (room(&in_room), user(&self.name));
        let marker = self.node.rooms.mark_read(&in_room, &reader, &cursor).await.unwrap();
        say(&Said::Read(in_room, reader, marker.cursor.seq));
    }

    /// Nobody else adds or removes this guest.
    async fn change_guest(&mut self) {
        let (in_room, guest) = (room(&room_name(self.random.usize(..ROOMS))), user(&self.guest));
        let change = match self.random.bool() {
            true => MemberChange::add(guest.clone(), Role::Reader),
            false => MemberChange::remove(guest.clone()),
        };
        self.node.rooms.change_member(&in_room, change).await.unwrap();
        if let Some(member) = self.node.rooms.member(&in_room, &guest).await.unwrap() {
            let (current, version) = (member.is_current(), member.version);
            say(&Said::Member { room: in_room, user: guest, current, version });
        }
    }

    async fn trim(&mut self) {
        let in_room = room(&room_name(self.random.usize(..ROOMS)));
        let retention = Retention { max_entries: Some(self.random.u64(100..300)), not_before: None };
        let head = self.node.log.trim(&in_room, retention).await.unwrap();
        say(&Said::Trimmed(in_room, head.oldest));
    }

    async fn copy(&mut self) {
        self.count += 1;
        let target = self.backend.path().with_file_name(format!("copy-{}-{}.db", self.prefix, self.count));
        self.backend.backup(&target).await.unwrap();
        say(&Said::Copied(target));
    }
}
