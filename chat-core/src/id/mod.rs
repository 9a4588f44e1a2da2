//! Validated identifiers: parsed once at the edge, cheap to clone, safe as keys in any store.

mod message_id;
mod text;

pub use message_id::{InvalidMessageId, MessageId};
pub use text::{
    ClientMessageId, ConnectionId, CustomKind, InvalidId, NodeId, ReactionKey, RoomId, RoomKey, TokenId,
    UserId,
};
