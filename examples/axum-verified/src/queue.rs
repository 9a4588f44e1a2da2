//! `GET /queue`: how far the database is behind.

use std::sync::Arc;

use axum::{Json, Router, routing::get};
use chat_core::tiered::Tiered;
use example_support::nest::Refused;
use serde_json::{Value, json};

/// What waits for the database.
pub(crate) struct Queue {
    tiered: Tiered,
    max: u32,
}

impl Queue {
    pub(crate) const fn new(tiered: Tiered, max: u32) -> Self {
        Self { tiered, max }
    }

    async fn report(&self) -> Result<Json<Value>, Refused> {
        let lag = self.tiered.lag().await?;
        let age = u64::try_from(lag.age.as_millis()).unwrap_or(u64::MAX);
        Ok(Json(
            json!({ "messages": lag.entries, "rooms": lag.rooms, "oldestMs": age, "maxPerRoom": self.max }),
        ))
    }
}

/// Numbers only, so without a token, as `/health`.
pub(crate) fn routes(queue: Arc<Queue>) -> Router {
    Router::new().route("/queue", get(async move || queue.report().await))
}
