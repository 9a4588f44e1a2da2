//! Every message on a channel of Redis, for programs that are no instances of this one. The instances themselves hear of it by the
//! library's fan-out, which knows what was lost on the way; this does not.

use async_trait::async_trait;
use bytes::Bytes;
use chat_backend_redis::RedisBackend;
use chat_core::{Hooks, StoredMessage};

use crate::wire::Told;

#[derive(Debug)]
pub(crate) struct Mirror {
    pub(crate) redis: RedisBackend,
    pub(crate) channel: String,
}

#[async_trait]
impl Hooks for Mirror {
    async fn after_append(&self, message: &StoredMessage) {
        let body = Told::of(message).and_then(|told| serde_json::to_vec(&told).ok());
        let Some(body) = body else { return };
        if let Err(error) = self.redis.publish(&self.channel, Bytes::from(body)).await {
            tracing::debug!(error = %error.with_causes(), channel = self.channel, "a message was not told on the channel");
        }
    }
}
