//! Finds out when the connection for commands leads nowhere any more, or to a server that takes no writes.
//!
//! The client looks at the time of the last write: where writes go on, each into the same silence, it waits until the system
//! gives up, a quarter of an hour later. So silence is looked for here, too. And it keeps a connection to a primary that has become
//! a replica without ending it, which some do that have one address for whoever is the primary.

use std::sync::Weak;

use fred::{
    clients::Client,
    interfaces::{ClientLike, ClusterInterface as _},
    types::{ClusterHash, CustomCommand, Value},
};
use futures::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use crate::{RedisError, RedisErrorKind, backend::Shared};

/// Questions in a row without an answer.
const SILENCES: usize = 2;

const SILENT: &str = "chat_redis_silent_connections_total";
const DEMOTED: &str = "chat_redis_demoted_servers_total";

/// Watches until the backend is gone or closed, which it does not keep alive.
pub(crate) async fn watch(shared: Weak<Shared>) {
    let Some(period) = shared.upgrade().map(|shared| shared.config.command_timeout) else { return };
    let mut looked = Instant::now();
    loop {
        sleep(period).await;
        let Some(shared) = shared.upgrade() else { return };
        let Ok(client) = shared.client() else { return };
        // One that is being put back is silent, of course.
        if !client.is_connected() {
            continue;
        }
        let is_bad = if is_silent(client).await && client.is_connected() {
            tracing::warn!("a connection to Redis is silent, and is made anew");
            metrics::counter!(SILENT).increment(1);
            true
        } else if looked.elapsed() >= shared.config.probe {
            looked = Instant::now();
            is_replica(client).await
        } else {
            false
        };
        if is_bad {
            // What stands in its way is told to everybody who calls.
            let _ = timeout(shared.config.connect_timeout, client.force_reconnection()).await;
        }
    }
}

/// Whether one of the servers has not answered several times.
async fn is_silent(client: &Client) -> bool {
    let servers = client.cached_cluster_state().map(|cluster| cluster.unique_primary_nodes());
    let Some(servers) = servers else { return is_silent_at(client.clone()).await };
    let asked = servers.into_iter().map(|server| is_silent_at(client.with_cluster_node(server)));
    join_all(asked).await.contains(&true)
}

async fn is_silent_at(client: impl ClientLike) -> bool {
    for _ in 0..SILENCES {
        match client.ping::<()>(None).await.map_err(RedisError::from) {
            Err(error) if error.kind() == RedisErrorKind::Timeout => {}
            _ => return false,
        }
    }
    true
}

/// Whether this server follows another one. In a cluster the servers themselves say where to go. Where it may not be asked for, the
/// answer is no.
async fn is_replica(client: &Client) -> bool {
    if client.is_clustered() {
        return false;
    }
    let command = CustomCommand::new_static("ROLE", ClusterHash::Random, false);
    let Ok(Value::Array(role)) = client.custom::<Value, Value>(command, Vec::new()).await else {
        return false;
    };
    let is_replica = role.first().and_then(Value::as_str).is_some_and(|role| role == "slave");
    if is_replica {
        tracing::warn!("the server is a replica now, and the primary is looked for");
        metrics::counter!(DEMOTED).increment(1);
    }
    is_replica
}
