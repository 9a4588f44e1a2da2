//! Unread counts for all nodes: of each user a hash of counts and a set of holds, in one slot.

use std::{
    fmt,
    sync::{Arc, LazyLock},
    time::Duration,
};

use async_trait::async_trait;
use chat_core::{
    Backend, Cursor, Epoch, Head, Result, RoomId, Seq, UserId,
    unread::{HOLD_TIME, KnownUnread, NewUnread, UnreadCache, UnreadCount, UnreadHold, UnreadVersion},
};
use fred::types::Value;

use crate::{RedisError, backend::Shared, pause::Pause, script::Script};

macro_rules! script {
    ($name:literal) => {
        LazyLock::new(|| Script::new(include_str!(concat!("scripts/unread/", $name))))
    };
}

static RECALL: LazyLock<Script> = script!("recall.lua");
static REMEMBER: LazyLock<Script> = script!("remember.lua");
static HOLD: LazyLock<Script> = script!("hold.lua");
static RELEASE: LazyLock<Script> = script!("release.lua");

/// How long what is known of a user is kept, from the first of it on.
const TIME_TO_LIVE: Duration = Duration::from_secs(300);
/// Of so many rooms of one user.
const MAX_ROOMS: usize = 1_000;
/// So many holds of one user are told apart. One more holds all the user's rooms until it ends by itself.
const MAX_HOLDS: usize = 128;

/// The counts of one prefix.
pub(crate) struct RedisUnreadCache {
    shared: Arc<Shared>,
    pause: Pause,
}

type Done<T> = std::result::Result<T, RedisError>;

impl RedisUnreadCache {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, pause: Pause::new() }
    }

    async fn call(&self, script: &Script, user: &UserId, arguments: Vec<Value>) -> Done<Value> {
        script.call(self.shared.client()?, &self.shared.keys.unread(user.as_str()), arguments).await
    }

    async fn look(&self, user: &UserId, rooms: &[RoomId]) -> Done<Vec<KnownUnread>> {
        let time = TIME_TO_LIVE.as_millis().to_string();
        let mut arguments = vec![name().into(), time.into(), MAX_ROOMS.to_string().into()];
        arguments.extend(rooms.iter().map(|room| Value::from(room.as_str())));
        let answer = self.call(&RECALL, user, arguments).await?;
        let known = match &answer {
            Value::Array(answers) if answers.len() == rooms.len() => answers.iter().map(read).collect(),
            _ => None,
        };
        known.ok_or_else(|| RedisError::corrupt("a script answered no counts"))
    }

    async fn tell(&self, script: &Script, user: &UserId, arguments: Vec<Value>) -> Done<()> {
        self.call(script, user, arguments).await.map(drop)
    }
}

/// A name that nobody else gives.
fn name() -> String {
    format!("{:032x}", fastrand::u128(..))
}

fn read(answer: &Value) -> Option<KnownUnread> {
    let answer = answer.as_str()?;
    if answer.is_empty() {
        return Some(KnownUnread::default());
    }
    let mut parts = answer.split(' ');
    let version = Some(UnreadVersion::new(parts.next()?.to_owned()));
    let Some(epoch) = parts.next() else { return Some(KnownUnread { count: None, version }) };
    let mut number = || parts.next()?.parse::<u64>().ok();
    let cursor = Cursor::new(Epoch::new(epoch).ok()?, Seq::new(number()?)?);
    let head = Head { cursor, oldest: Seq::new(number()?)? };
    let count = Some(UnreadCount { head, unread: number()? });
    Some(KnownUnread { count, version })
}

fn written(count: &UnreadCount) -> String {
    let Head { cursor, oldest } = &count.head;
    format!("{} {} {oldest} {}", cursor.epoch, cursor.seq, count.unread)
}

impl fmt::Debug for RedisUnreadCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisUnreadCache").field("prefix", &self.shared.keys.prefix()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for RedisUnreadCache {
    fn name(&self) -> &'static str {
        crate::NAME
    }

    async fn health(&self) -> Result<()> {
        self.shared.health().await
    }
}

#[async_trait]
impl UnreadCache for RedisUnreadCache {
    async fn recall(&self, user: &UserId, rooms: &[RoomId]) -> Result<Vec<KnownUnread>> {
        if rooms.is_empty() {
            return Ok(Vec::new());
        }
        if !self.pause.is_over() {
            // Nobody waits for what can be counted.
            return Ok(vec![KnownUnread::default(); rooms.len()]);
        }
        let known = self.look(user, rooms).await;
        known.map_err(|error| {
            self.pause.begin("unread counts are not taken from the cache", &error);
            error.during("recall unread")
        })
    }

    async fn remember(&self, user: &UserId, counts: &[NewUnread]) -> Result<()> {
        if counts.is_empty() {
            return Ok(());
        }
        let mut arguments = Vec::with_capacity(3 * counts.len());
        for new in counts {
            let count = written(&new.count);
            arguments.extend([new.room.as_str().into(), new.version.as_str().into(), count.into()]);
        }
        self.tell(&REMEMBER, user, arguments).await.map_err(|error| error.during("remember unread"))
    }

    async fn hold(&self, user: &UserId, room: &RoomId) -> Result<UnreadHold> {
        let hold = UnreadHold::new(name());
        let lasts = HOLD_TIME.as_millis().to_string();
        let arguments =
            vec![room.as_str().into(), hold.as_str().into(), lasts.into(), MAX_HOLDS.to_string().into()];
        self.tell(&HOLD, user, arguments).await.map_err(|error| error.during("hold unread"))?;
        Ok(hold)
    }

    async fn release(&self, user: &UserId, room: &RoomId, hold: &UnreadHold) -> Result<()> {
        let arguments = vec![room.as_str().into(), hold.as_str().into()];
        self.tell(&RELEASE, user, arguments).await.map_err(|error| error.during("release unread"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes of two releases read each other's.
    #[test]
    fn a_count_has_one_text() {
        let cursor = Cursor::new(Epoch::new("a-b_C").unwrap(), Seq::new(7).unwrap());
        let count = UnreadCount { head: Head { cursor, oldest: Seq::new(3).unwrap() }, unread: 4 };
        assert_eq!(written(&count), "a-b_C 7 3 4");
        let version = Some(UnreadVersion::new("v1".to_owned()));
        let known = KnownUnread { count: Some(count), version: version.clone() };
        assert_eq!(read(&"v1 a-b_C 7 3 4".into()), Some(known));
        assert_eq!(read(&"v1".into()), Some(KnownUnread { count: None, version }));
        assert_eq!(read(&"".into()), Some(KnownUnread::default()));
        for wrong in ["v1 a", "v1 a 7 3", "v1 a 7 x 4", "v1 ä 7 3 4"] {
            assert_eq!(read(&wrong.into()), None, "{wrong}");
        }
    }
}
