#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod auth;
mod backend;
mod broadcast;
mod chat;
mod clock;
mod cursor;
mod error;
pub mod fanout;
mod forward;
mod hub;
mod id;
#[cfg(feature = "memory")]
pub mod memory;
mod message;
mod message_log;
mod mutation;
pub mod observe;
pub mod presence;
pub mod rate_limit;
pub mod rooms;
pub mod rules;
pub mod search;
pub mod session;
mod storage;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod tiered;

pub use auth::{Auth, Principal};
pub use backend::Backend;
pub use broadcast::{Broadcast, EncodingSlot};
pub use chat::{
    Actor, BuildError, BuildErrors, Chat, ChatBuilder, Health, Hooks, PartHealth, Sent, Settings, Verdict,
};
pub use clock::{Clock, SystemClock, Timestamp};
pub use cursor::{Cursor, Epoch, InvalidCursor, InvalidSeq, Seq};
pub use error::{BoxError, Error, Result, Retry};
pub use fanout::Fanout;
pub use hub::{LiveEntry, LivePage};
pub use id::{
    ClientMessageId, ConnectionId, CustomKind, InvalidId, InvalidMessageId, MessageId, NodeId, ReactionKey,
    RoomId, RoomKey, TokenId, UserId,
};
pub use message::{
    Authority, Body, Content, DEFAULT_MAX_BODY_CHARS, Draft, Edited, EntryKind, EntryState, Fingerprint,
    InvalidBody, JsonText, MAX_BODY_CHARS, Position, ReactionOp, Reactions, StoredMessage,
};
pub use message_log::{
    AppendOutcome, Durability, Head, MessageLog, Page, Place, ReadFrom, ReadQuery, Refusal, Retention,
    SendFailure, View, check_body,
};
#[doc(hidden)]
pub use mutation::Mutation;
pub use observe::Observed;
pub use presence::Presence;
pub use rooms::{Member, MemberChange, MemberOutcome, NewRoom, ReadMarker, Role, Room, RoomChange, Rooms};
pub use search::Search;
pub use session::{Event, JoinRequest, Session, SessionEvents};
pub use storage::Storage;
