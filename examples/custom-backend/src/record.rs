//! What the file says, a line each.

use chat_core::{Draft, Epoch, Member, MessageId, Room, RoomId, Seq, Timestamp, UserId};
use serde::{Deserialize, Serialize};

/// Something that happened. What is known is what all of them together come to, in their order.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Record {
    /// From here on cursors are of this epoch.
    Epoch(Epoch),
    /// The room is there, and like this.
    Room(Room),
    /// What is known of a user in a room; no member where only a numbered removal was seen.
    Member { room: RoomId, user: UserId, member: Option<Member>, version: u64 },
    /// A user has read up to there.
    Read { room: RoomId, user: UserId, seq: Seq, at: Timestamp },
    /// An entry, with all that it was given.
    Entry { seq: Seq, id: MessageId, at: Timestamp, draft: Draft },
    /// Everything before this position is gone.
    Trim { room: RoomId, oldest: Seq },
}
