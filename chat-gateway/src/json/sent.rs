//! How the answer to a send looks in JSON.

use chat_core::{ClientMessageId, Cursor, Durability, MessageId, Sent, Seq};
use serde::Serialize;

use super::view::Time;
#[cfg(feature = "openapi")]
use crate::document::values;

/// A message that is stored, or in a durable queue. Without `id`, `cursor`, `seq` and `createdAt` it has no place yet.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ChatSent))]
pub(crate) struct SentView<'a> {
    /// The sender's name for it.
    #[cfg_attr(feature = "openapi", schema(value_type = values::ClientMessageId))]
    client_id: &'a ClientMessageId,
    /// Its identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = values::MessageId, required = false))]
    id: Option<MessageId>,
    /// Its place in the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = values::Cursor, required = false))]
    cursor: Option<&'a Cursor>,
    /// The number behind the cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = values::SequenceNumber, required = false))]
    seq: Option<Seq>,
    /// When it was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = values::Time, required = false))]
    created_at: Option<Time>,
    /// It was there before: this is where the first one is.
    duplicate: bool,
    /// How safe it is.
    #[cfg_attr(feature = "openapi", schema(value_type = values::HowDurable))]
    durability: &'static str,
}

impl<'a> SentView<'a> {
    pub(crate) fn new(client_id: &'a ClientMessageId, sent: &'a Sent) -> Self {
        let position = sent.position.as_ref();
        Self {
            client_id,
            id: position.map(|position| position.id),
            cursor: position.map(|position| &position.cursor),
            seq: position.map(|position| position.cursor.seq),
            created_at: position.map(|position| Time(position.created_at)),
            duplicate: sent.duplicate,
            durability: match sent.durability {
                Durability::Volatile => "volatile",
                Durability::Accepted => "accepted",
                Durability::Persisted => "persisted",
            },
        }
    }
}
