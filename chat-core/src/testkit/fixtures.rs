//! Ids, drafts and rooms for cases; a backend's own tests may use them too.
#![allow(clippy::missing_panics_doc, reason = "a fixture that fails is a failing test")]
#![allow(clippy::unwrap_used, reason = "a fixture that fails is a failing test")]

use crate::{
    AppendOutcome, ClientMessageId, Content, Draft, Epoch, MemberChange, MessageId, NewRoom, Position,
    ReactionKey, ReactionOp, Role, RoomId, Seq, UserId, testkit::LogNode,
};

/// A user id.
#[must_use]
pub fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

/// A room id.
#[must_use]
pub fn room(name: &str) -> RoomId {
    RoomId::new(name).unwrap()
}

/// A client message id.
#[must_use]
pub fn client_id(name: &str) -> ClientMessageId {
    ClientMessageId::new(name).unwrap()
}

/// A text message of a member.
#[must_use]
pub fn draft(in_room: &str, sender: &str, client: &str, text: &str) -> Draft {
    Draft::new(room(in_room), user(sender), client_id(client), Content::text(text))
}

/// An entry of a member about another message.
#[must_use]
pub fn about(in_room: &str, sender: &str, client: &str, content: Content) -> Draft {
    Draft::new(room(in_room), user(sender), client_id(client), content)
}

/// A reaction.
#[must_use]
pub fn reaction(target: MessageId, key: &str, op: ReactionOp) -> Content {
    Content::Reaction { target, key: ReactionKey::new(key).unwrap(), op }
}

/// Creates a room with these members.
pub async fn create_room(node: &LogNode, name: &str, members: &[&str]) {
    node.rooms.create(NewRoom::new(room(name))).await.unwrap();
    for member in members {
        node.rooms.change_member(&room(name), MemberChange::add(user(member), Role::Member)).await.unwrap();
    }
}

/// Appends one draft and answers what became of it.
pub async fn append(node: &LogNode, draft: Draft) -> AppendOutcome {
    node.log.append(std::slice::from_ref(&draft)).await.unwrap().remove(0)
}

/// Appends one draft that must be stored now.
pub async fn store(node: &LogNode, draft: Draft) -> Position {
    match append(node, draft).await {
        AppendOutcome::New(position) => position,
        other => panic!("not stored: {other:?}"),
    }
}

/// Appends texts `c1`, `c2` … of one sender, and answers their positions.
pub async fn fill(node: &LogNode, in_room: &str, sender: &str, count: u64) -> Vec<Position> {
    let drafts: Vec<_> =
        (1..=count).map(|n| draft(in_room, sender, &format!("c{n}"), &format!("message {n}"))).collect();
    let outcomes = node.log.append(&drafts).await.unwrap();
    outcomes
        .into_iter()
        .map(|outcome| match outcome {
            AppendOutcome::New(position) => position,
            other => panic!("not stored: {other:?}"),
        })
        .collect()
}

/// The position with this number in an epoch.
#[must_use]
pub fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

/// An epoch that no store gave out.
#[must_use]
pub fn foreign_epoch() -> Epoch {
    Epoch::generate()
}
