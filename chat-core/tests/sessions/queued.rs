//! A log that only accepts, and stores later: what senders and readers are told of it.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chat_core::{
    AppendOutcome, Backend, Chat, ClientMessageId, Content, Draft, Durability, Error, Event, Head,
    JoinRequest, MemberChange, MessageLog, Page, ReadQuery, Refusal, Result, Retention, RoomId, SendFailure,
    Session, SessionEvents, Storage as _, StoredMessage,
    fanout::{Fanout, FanoutEvent, Publication, Topic},
};

use crate::world::{World, connect, joined, next, next_seq, quiet, room, say, user, with_members};

/// Keeps what it is given until it is told to store it, and then tells everybody, as a worker of its own would.
#[derive(Debug)]
struct Queue {
    log: Arc<dyn MessageLog>,
    fanout: Arc<dyn Fanout>,
    waiting: Mutex<Vec<Draft>>,
}

impl Queue {
    async fn work(&self) {
        let drafts: Vec<Draft> = std::mem::take(&mut *self.waiting.lock().unwrap());
        let outcomes = self.log.append(&drafts).await.unwrap();
        for (draft, outcome) in drafts.into_iter().zip(outcomes) {
            let (room, client_id, user) = (draft.room.clone(), draft.client_id.clone(), draft.sender.clone());
            let failed = |reason| {
                let event =
                    FanoutEvent::SendFailed { room: room.clone(), client_id, user: user.clone(), reason };
                Publication::new(Topic::User(user.clone()), event)
            };
            let publication = match outcome {
                AppendOutcome::New(at) | AppendOutcome::Duplicate(at) => Publication::new(
                    Topic::Room(room.clone()),
                    FanoutEvent::Message(StoredMessage::new(draft, at)),
                ),
                AppendOutcome::Conflict(first) => failed(SendFailure::Conflict(first)),
                AppendOutcome::Refused(refusal) => failed(SendFailure::Refused(refusal)),
                other => panic!("{other:?}"),
            };
            self.fanout.publish(&[publication]).await.unwrap();
        }
    }
}

#[async_trait]
impl Backend for Queue {
    fn name(&self) -> &'static str {
        "queue"
    }

    async fn health(&self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl MessageLog for Queue {
    fn durability(&self) -> Durability {
        Durability::Accepted
    }

    async fn append(&self, drafts: &[Draft]) -> Result<Vec<AppendOutcome>> {
        self.waiting.lock().unwrap().extend_from_slice(drafts);
        Ok(vec![AppendOutcome::Accepted; drafts.len()])
    }

    async fn read(&self, room: &RoomId, query: ReadQuery) -> Result<Page> {
        self.log.read(room, query).await
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>> {
        self.log.heads(rooms).await
    }

    async fn trim(&self, room: &RoomId, retention: Retention) -> Result<Head> {
        self.log.trim(room, retention).await
    }
}

struct Stage {
    queue: Arc<Queue>,
    chat: Chat,
}

async fn stage() -> Stage {
    let world = World::new();
    let queue = Arc::new(Queue {
        log: world.store.message_log(),
        fanout: Arc::new(world.fanout.clone()),
        waiting: Mutex::default(),
    });
    let chat = world.node_of(quiet(), queue.clone(), world.store.rooms());
    with_members(&chat, &["ann", "bob"]).await;
    Stage { queue, chat }
}

async fn in_the_room(chat: &Chat, name: &str) -> (Session, SessionEvents) {
    let (session, mut events) = connect(chat, name).await;
    session.join(JoinRequest::new(room())).await.unwrap();
    joined(&mut events).await;
    (session, events)
}

/// The next word of a send that failed.
async fn failure(events: &mut SessionEvents) -> (ClientMessageId, SendFailure) {
    loop {
        if let Event::Notice(notice) = next(events).await
            && let FanoutEvent::SendFailed { client_id, reason, .. } = notice.value()
        {
            return (client_id.clone(), reason.clone());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_accepted_has_no_place_and_comes_to_everybody_once_it_is_stored() {
    let Stage { queue, chat } = stage().await;
    let (ann, mut at_ann) = in_the_room(&chat, "ann").await;
    let (_bob, mut at_bob) = in_the_room(&chat, "bob").await;
    let client_id = ClientMessageId::new("c").unwrap();
    let sent = ann.actor().unwrap().send_text(&room(), client_id.clone(), "hello").await.unwrap();
    assert_eq!((sent.position, sent.duplicate, sent.durability), (None, false, Durability::Accepted));
    // Sent once more, since nobody knows: it is one message all the same.
    ann.actor().unwrap().send_text(&room(), client_id, "hello").await.unwrap();
    say(&ann.actor().unwrap(), "and more").await;
    queue.work().await;
    for events in [&mut at_ann, &mut at_bob] {
        assert_eq!(next_seq(events).await, 1);
        assert_eq!(next_seq(events).await, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_removed_before_it_is_stored_is_told_on_every_session() {
    let Stage { queue, chat } = stage().await;
    let (ann, mut at_ann) = connect(&chat, "ann").await;
    let (_other, mut at_other) = connect(&chat, "ann").await;
    say(&ann.actor().unwrap(), "too late").await;
    let client_id = queue.waiting.lock().unwrap()[0].client_id.clone();
    chat.system(user("system")).change_member(&room(), MemberChange::remove(user("ann"))).await.unwrap();
    queue.work().await;
    for events in [&mut at_ann, &mut at_other] {
        assert_eq!(failure(events).await, (client_id.clone(), SendFailure::Refused(Refusal::NotAMember)));
    }
    let error = SendFailure::Refused(Refusal::NotAMember).to_error(&room(), &user("ann"));
    assert!(matches!(error, Error::NotAMember { .. }), "as if the sender had waited: {error:?}");
}

#[tokio::test(start_paused = true)]
async fn another_payload_under_the_same_name_is_told_with_the_place_of_the_first() {
    let Stage { queue, chat } = stage().await;
    let (ann, mut at_ann) = in_the_room(&chat, "ann").await;
    let client_id = ClientMessageId::new("c").unwrap();
    for text in ["one", "two"] {
        let content = Content::text(text);
        ann.actor().unwrap().send(&room(), client_id.clone(), content).await.unwrap();
    }
    queue.work().await;
    let (name, SendFailure::Conflict(first)) = failure(&mut at_ann).await else { panic!("another reason") };
    assert_eq!((name, first.cursor.seq.get()), (client_id, 1));
}
