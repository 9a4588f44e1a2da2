//! Finds out when the connection for commands leads nowhere any more.
//!
//! The client looks at the time of the last write: where writes go on, each into the same silence, it waits until the system
//! gives up, a quarter of an hour later. So silence is looked for here, too.

use std::sync::Weak;

use fred::{
    clients::Client,
    interfaces::{ClientLike, ClusterInterface as _},
};
use futures::future::join_all;
use tokio::time::{sleep, timeout};

use crate::{RedisError, RedisErrorKind, backend::Shared};

/// Questions in a row without an answer.
const SILENCES: usize = 2;

const RECONNECTS: &str = "chat_redis_silent_connections_total";

/// Watches until the backend is gone or closed, which it does not keep alive.
pub(crate) async fn watch(shared: Weak<Shared>) {
    let Some(period) = shared.upgrade().map(|shared| shared.config.command_timeout) else { return };
    loop {
        sleep(period).await;
        let Some(shared) = shared.upgrade() else { return };
        let Ok(client) = shared.client() else { return };
        // One that is being put back is silent, of course.
        if client.is_connected() && is_silent(client).await && client.is_connected() {
            tracing::warn!("a connection to Redis is silent, and is made anew");
            metrics::counter!(RECONNECTS).increment(1);
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
