//! Appends that wait for replicas.

use std::time::Duration;

use fred::{
    error::Error as Cause,
    interfaces::{ClientLike as _, ClusterInterface as _},
    types::{ClusterHash, CustomCommand, Value, config::Options},
    util::redis_keyslot,
};
use tokio::{sync::OnceCell, time::timeout};

use super::partition::Done;
use crate::{
    RedisError, RedisErrorKind,
    backend::Shared,
    connect::{Connection, Use},
    script::{Script, integer},
};

/// Has writes wait for replicas, over a connection of its own: `WAIT` is about what was sent over the same one, and
/// holds it up.
#[derive(Debug)]
pub(super) struct Replicas {
    count: u32,
    wait: Duration,
    connection: OnceCell<Connection>,
}

impl Replicas {
    pub(super) fn new(count: u32, wait: Duration) -> Self {
        Self { count, wait, connection: OnceCell::new() }
    }

    /// Runs a script; an answer of fewer replicas in time is a timeout.
    pub(super) async fn call(
        &self,
        shared: &Shared,
        script: &Script,
        keys: &[String],
        arguments: &[Value],
    ) -> Done<Value> {
        let open = || Connection::open(&shared.config, &shared.config.server, Use::Commands);
        let connection = self.connection.get_or_try_init(open).await?;
        match self.send(shared, connection, "EVALSHA", script.digest(), keys, arguments).await {
            Err(error) if error.code() == Some("NOSCRIPT") => {
                self.send(shared, connection, "EVAL", script.source(), keys, arguments).await
            }
            done => done,
        }
    }

    async fn send(
        &self,
        shared: &Shared,
        connection: &Connection,
        command: &'static str,
        script: &str,
        keys: &[String],
        arguments: &[Value],
    ) -> Done<Value> {
        let key = keys.first().ok_or_else(|| RedisError::corrupt("a script without keys"))?;
        let slot = ClusterHash::Custom(redis_keyslot(key.as_bytes()));
        let options = Options {
            max_attempts: Some(1),
            // Sent to another server, the script would run there and the wait be one here.
            max_redirections: Some(0),
            timeout: Some(shared.config.command_timeout + self.wait),
            fail_fast: true,
            ..Options::default()
        };
        let count = i64::try_from(keys.len()).unwrap_or(i64::MAX);
        let mut script: Vec<Value> = vec![script.into(), count.into()];
        script.extend(keys.iter().map(Value::from));
        script.extend_from_slice(arguments);
        let millis = i64::try_from(self.wait.as_millis()).unwrap_or(i64::MAX);
        let wait: Vec<Value> = vec![i64::from(self.count).into(), millis.into()];
        // Written together: over a connection made anew in between, the wait would be one for nothing.
        let pipeline = connection.client.pipeline().with_options(&options);
        pipeline.custom::<(), Value>(CustomCommand::new_static(command, slot.clone(), false), script).await?;
        // What a repeat found may have been written over another connection: a wait for this is one for that, too.
        let touch: Vec<Value> = vec![key.into(), "touched".into(), "1".into()];
        pipeline.custom::<(), Value>(CustomCommand::new_static("HSET", slot.clone(), false), touch).await?;
        pipeline.custom::<(), Value>(CustomCommand::new_static("WAIT", slot, false), wait).await?;
        let answers: Vec<Result<Value, Cause>> = pipeline.try_all().await;
        let mut answers = answers.into_iter();
        let answer = match answers.next() {
            Some(answer) => answer.map_err(RedisError::from),
            None => Err(RedisError::corrupt("no answer")),
        };
        if let Err(error) = &answer {
            self.mend(shared, connection, error.kind()).await;
        }
        let answer = answer?;
        answers.next().ok_or_else(|| RedisError::corrupt("no answer"))??;
        let replicas = answers.next().ok_or_else(|| RedisError::corrupt("no answer of the replicas"))??;
        if integer(&replicas)? < i64::from(self.count) {
            return Err(RedisError::new(RedisErrorKind::Timeout, "fewer replicas have it than are wanted"));
        }
        Ok(answer)
    }

    /// What stands in the way is told already, by the error that led here.
    async fn mend(&self, shared: &Shared, connection: &Connection, kind: RedisErrorKind) {
        let client = &connection.client;
        let mending = async {
            match kind {
                RedisErrorKind::Unavailable if client.is_clustered() => client.sync_cluster().await,
                // The same address leads elsewhere now.
                RedisErrorKind::ReadOnly => client.force_reconnection().await,
                _ => Ok(()),
            }
        };
        let _ = timeout(shared.config.connect_timeout, mending).await;
    }
}
