//! Who is online: every transition one script, on the server's clock. The rules are in `scripts/presence.lua`.

use std::{fmt, sync::Arc, sync::LazyLock, time::Duration};

use async_trait::async_trait;
use chat_core::{
    Backend, Presence, Result, Timestamp, UserId,
    presence::{Incarnation, LeaseStatus, NodeLease, PresenceChange, PresenceConnection, UserPresence},
};
use fred::types::Value;
use futures::future::try_join_all;

use crate::{
    RedisError,
    backend::Shared,
    keys::PRESENCE_KEYS,
    script::{Script, integer},
};

/// Longer times are taken as this one, so that no sum overflows.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3_600);
/// Users and connections in one step of a sweep: a few milliseconds, in which the server does nothing else.
const SWEPT_AT_ONCE: usize = 250;
/// Users in one question: a script takes a bounded number of arguments.
const ASKED_AT_ONCE: usize = 1_000;

type Done<T> = std::result::Result<T, RedisError>;

macro_rules! script {
    ($name:literal) => {
        LazyLock::new(|| {
            Script::new(concat!(
                include_str!("scripts/presence.lua"),
                "\n",
                include_str!(concat!("scripts/", $name))
            ))
        })
    };
}

static RENEW: LazyLock<Script> = script!("renew.lua");
static RELEASE: LazyLock<Script> = script!("release.lua");
static CONNECTED: LazyLock<Script> = script!("connected.lua");
static DISCONNECTED: LazyLock<Script> = script!("disconnected.lua");
static ONLINE: LazyLock<Script> = script!("online.lua");
static SWEEP: LazyLock<Script> = script!("sweep.lua");

/// The presence of one prefix.
pub(crate) struct RedisPresence {
    shared: Arc<Shared>,
    keys: [String; PRESENCE_KEYS],
}

impl RedisPresence {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let keys = shared.keys.presence();
        Self { shared, keys }
    }

    async fn call(&self, script: &Script, arguments: Vec<Value>) -> Done<Value> {
        script.call(self.shared.client()?, &self.keys, arguments).await
    }

    async fn ask(&self, users: &[UserId]) -> Done<Vec<UserPresence>> {
        let names = users.iter().map(|user| Value::from(user.as_str())).collect();
        let answer = array(self.call(&ONLINE, names).await?)?;
        if answer.len() != 3 * users.len() {
            return Err(RedisError::corrupt("an answer of another length"));
        }
        users.iter().zip(answer.chunks(3)).map(|(user, told)| user_presence(user, told)).collect()
    }

    async fn sweep_all(&self, grace: Duration) -> Done<Vec<UserPresence>> {
        let kept = self.shared.config.last_seen_kept;
        let mut gone = Vec::new();
        loop {
            let arguments = vec![millis(grace), number(SWEPT_AT_ONCE), millis(kept)];
            match self.call(&SWEEP, arguments).await.and_then(|answer| swept(answer, &mut gone)) {
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
fn swept(answer: Value, gone: &mut Vec<UserPresence>) -> Done<bool> {
    let answer = array(answer)?;
    let (more, users) =
        answer.split_first().ok_or_else(|| RedisError::corrupt("a sweep without an answer"))?;
    for user in users.chunks(2) {
        let [name, seen] = user else { return Err(RedisError::corrupt("a user without a time")) };
        let name = name.as_str().ok_or_else(|| RedisError::corrupt("a user without a name"))?;
        let user = UserId::new(&name).map_err(RedisError::corrupt)?;
        gone.push(UserPresence { last_seen: time(seen)?, ..UserPresence::never(user) });
    }
    Ok(integer(more)? != 0)
}

fn array(value: Value) -> Done<Vec<Value>> {
    match value {
        Value::Array(values) => Ok(values),
        _ => Err(RedisError::corrupt("a script answered no list")),
    }
}

/// Lua's numbers are exact up to 2^53 only: as texts of one length greater ones are greater.
fn incarnation(incarnation: Incarnation) -> Value {
    format!("{:020}", incarnation.0).into()
}

fn millis(time: Duration) -> Value {
    let millis = u64::try_from(time.min(LONGEST).as_millis()).unwrap_or(u64::MAX);
    millis.to_string().into()
}

fn number(number: usize) -> Value {
    number.to_string().into()
}

/// A time, where there is one.
fn time(value: &Value) -> Done<Option<Timestamp>> {
    Ok(u64::try_from(integer(value)?).ok().map(Timestamp::from_millis))
}

fn change(done: i64) -> PresenceChange {
    match done {
        0 => PresenceChange::CameOnline,
        1 => PresenceChange::Noted,
        _ => PresenceChange::Stale,
    }
}

fn user_presence(user: &UserId, told: &[Value]) -> Done<UserPresence> {
    let [live, since, last_seen] = told else { return Err(RedisError::corrupt("not all of a user")) };
    let connections = u32::try_from(integer(live)?).unwrap_or(u32::MAX);
    Ok(UserPresence {
        user: user.clone(),
        online: connections > 0,
        connections,
        since: time(since)?,
        last_seen: time(last_seen)?,
    })
}

impl fmt::Debug for RedisPresence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisPresence").field("prefix", &self.shared.keys.prefix()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for RedisPresence {
    fn name(&self) -> &'static str {
        crate::NAME
    }

    async fn health(&self) -> Result<()> {
        self.shared.health().await
    }
}

#[async_trait]
impl Presence for RedisPresence {
    async fn renew(&self, lease: &NodeLease, ttl: Duration) -> Result<LeaseStatus> {
        let arguments = vec![lease.node.as_str().into(), incarnation(lease.incarnation), millis(ttl)];
        let done = self.call(&RENEW, arguments).await.and_then(|answer| integer(&answer));
        let status = |done| match done {
            0 => LeaseStatus::Renewed,
            1 => LeaseStatus::Started,
            _ => LeaseStatus::Superseded,
        };
        done.map(status).map_err(|error| error.during("renew"))
    }

    async fn release(&self, lease: &NodeLease) -> Result<()> {
        let arguments = vec![lease.node.as_str().into(), incarnation(lease.incarnation)];
        self.call(&RELEASE, arguments).await.map(drop).map_err(|error| error.during("release"))
    }

    async fn connected(&self, connection: &PresenceConnection) -> Result<PresenceChange> {
        let PresenceConnection { user, connection, incarnation: life, lease } = connection;
        let arguments = vec![
            user.as_str().into(),
            connection.as_str().into(),
            incarnation(*life),
            lease.node.as_str().into(),
            incarnation(lease.incarnation),
        ];
        let done = self.call(&CONNECTED, arguments).await.and_then(|answer| integer(&answer));
        done.map(change).map_err(|error| error.during("connected"))
    }

    async fn disconnected(&self, connection: &PresenceConnection) -> Result<PresenceChange> {
        let arguments = vec![connection.connection.as_str().into(), incarnation(connection.incarnation)];
        let done = self.call(&DISCONNECTED, arguments).await.and_then(|answer| integer(&answer));
        done.map(change).map_err(|error| error.during("disconnected"))
    }

    async fn presence(&self, users: &[UserId]) -> Result<Vec<UserPresence>> {
        let parts = try_join_all(users.chunks(ASKED_AT_ONCE).map(|part| self.ask(part))).await;
        parts.map(|parts| parts.concat()).map_err(|error| error.during("presence"))
    }

    async fn sweep(&self, grace: Duration) -> Result<Vec<UserPresence>> {
        self.sweep_all(grace).await.map_err(|error| error.during("sweep"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greater_incarnations_are_greater_texts() {
        let texts = [0, 1, 10, 1 << 53, (1 << 53) + 1, u64::MAX]
            .map(|number| incarnation(Incarnation(number)).as_string().unwrap());
        assert!(texts.is_sorted() && texts.iter().all(|text| text.len() == 20), "{texts:?}");
    }

    #[test]
    fn an_answer_that_is_not_ours_is_an_error_and_no_panic() {
        let mut gone = Vec::new();
        for wrong in [Value::Null, Value::Array(vec![]), Value::Array(vec![0.into(), "ann".into()])] {
            assert!(swept(wrong, &mut gone).is_err());
        }
        assert!(user_presence(&UserId::new("ann").unwrap(), &[1.into()]).is_err());
    }
}
