//! Hooks: bounded, and no room stops for one.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chat_core::{
    Body, ClientMessageId, Content, Draft, Error, Hooks, StoredMessage, UserId, Verdict, auth::Credentials,
    memory::MemoryFanout,
};

use crate::support::{builder, client_ids, entries, room, settings, store, user};

/// Does what the text says, and notes what it is told.
#[derive(Debug, Default)]
struct Moderator {
    stored: Mutex<Vec<String>>,
    offline: Mutex<Vec<UserId>>,
    life: Mutex<Vec<&'static str>>,
}

fn text(content: &Content) -> &str {
    match content.body() {
        Some(Body::Text(text)) => text,
        _ => "",
    }
}

#[async_trait]
impl Hooks for Moderator {
    async fn before_append(&self, draft: &Draft) -> Verdict {
        match text(&draft.content) {
            "rude" => Verdict::Reject("mind your language".to_owned()),
            "rewrite me" => {
                // Never twice the same, as with a time or a random part.
                Verdict::Rewrite(Content::text(&format!("rewritten {}", ClientMessageId::generate())))
            }
            "slow" => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Verdict::Accept
            }
            "panic" => panic!("a hook that panics"),
            _ => Verdict::Accept,
        }
    }

    async fn after_append(&self, message: &StoredMessage) {
        if text(&message.content) == "slow after" {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        assert_ne!(text(&message.content), "panic after");
        self.stored.lock().unwrap().push(message.client_id.to_string());
    }

    fn wants_members_offline(&self, message: &StoredMessage) -> bool {
        text(&message.content) == "push"
    }

    async fn members_offline(&self, _: &StoredMessage, users: &[UserId]) {
        self.offline.lock().unwrap().extend_from_slice(users);
    }

    async fn connected(&self, _: &chat_core::Principal, _: &chat_core::ConnectionId) {
        self.life.lock().unwrap().push("connected");
    }

    async fn disconnected(&self, _: &chat_core::Principal, _: &chat_core::ConnectionId) {
        self.life.lock().unwrap().push("disconnected");
    }
}

/// Hooks are called through what the application keeps a handle to.
#[derive(Debug)]
struct Shared(Arc<Moderator>);

#[async_trait]
impl Hooks for Shared {
    async fn before_append(&self, draft: &Draft) -> Verdict {
        self.0.before_append(draft).await
    }

    async fn after_append(&self, message: &StoredMessage) {
        self.0.after_append(message).await;
    }

    fn wants_members_offline(&self, message: &StoredMessage) -> bool {
        self.0.wants_members_offline(message)
    }

    async fn members_offline(&self, message: &StoredMessage, users: &[UserId]) {
        self.0.members_offline(message, users).await;
    }

    async fn connected(&self, principal: &chat_core::Principal, connection: &chat_core::ConnectionId) {
        self.0.connected(principal, connection).await;
    }

    async fn disconnected(&self, principal: &chat_core::Principal, connection: &chat_core::ConnectionId) {
        self.0.disconnected(principal, connection).await;
    }
}

struct Service {
    store: chat_core::memory::MemoryStore,
    chat: chat_core::Chat,
    moderator: Arc<Moderator>,
}

async fn service(hook_queue: usize) -> Service {
    let store = store(&["ann", "bob", "cy"]).await;
    let moderator = Arc::new(Moderator::default());
    let mut settings = settings();
    settings.hook_queue = hook_queue;
    let hooks = Shared(moderator.clone());
    let chat = builder(&store, &MemoryFanout::new()).hooks(hooks).settings(settings).build().unwrap();
    Service { store, chat, moderator }
}

impl Service {
    async fn say(&self, client_id: &str, text: &str) -> chat_core::Result<chat_core::Sent> {
        let actor = self.chat.actor(chat_core::Principal::new(user("ann")));
        actor.send_text(&room(), ClientMessageId::new(client_id).unwrap(), text).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_message_is_not_stored_and_its_sender_is_told_why() {
    let service = service(16).await;
    let Err(Error::Rejected { reason }) = service.say("c1", "rude").await else { panic!() };
    assert_eq!(reason, "mind your language");
    assert!(entries(&service.store).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_rewritten_message_sent_again_is_the_same_message() {
    let service = service(16).await;
    let first = service.say("c1", "rewrite me").await.unwrap();
    let again = service.say("c1", "rewrite me").await.unwrap();
    assert!(again.duplicate);
    assert_eq!(again.position, first.position);
    assert!(matches!(service.say("c1", "something else").await, Err(Error::Conflict { .. })));
    let stored = entries(&service.store).await;
    assert_eq!(stored.len(), 1);
    assert!(text(&stored[0].content).starts_with("rewritten "));
}

#[tokio::test(start_paused = true)]
async fn a_slow_or_panicking_hook_fails_its_message_and_no_other() {
    let service = service(16).await;
    let (slow, quick) = tokio::join!(service.say("c1", "slow"), async {
        let start = tokio::time::Instant::now();
        let sent = service.say("c2", "quick").await;
        (sent, start.elapsed())
    });
    assert!(matches!(slow, Err(Error::Timeout { .. })));
    assert!(quick.0.is_ok() && quick.1 < Duration::from_secs(1));
    assert!(matches!(service.say("c3", "panic").await, Err(Error::Timeout { .. })));
    assert_eq!(client_ids(&service.store).await, ["c2"]);
}

#[tokio::test(start_paused = true)]
async fn after_append_is_told_in_order_and_survives_slow_and_panicking_calls() {
    let service = service(16).await;
    for (client_id, text) in [("c1", "one"), ("c2", "slow after"), ("c3", "panic after"), ("c4", "four")] {
        service.say(client_id, text).await.unwrap();
    }
    // A repeat was told of before.
    service.say("c1", "one").await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(*service.moderator.stored.lock().unwrap(), ["c1", "c4"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_of_hooks_holds_nobody_up() {
    let service = service(2).await;
    service.say("c0", "slow after").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    for n in 1..=20 {
        service.say(&format!("c{n}"), "quick").await.unwrap();
    }
    assert_eq!(entries(&service.store).await.len(), 21);
    tokio::time::sleep(Duration::from_secs(30)).await;
    // The two that fitted.
    assert_eq!(service.moderator.stored.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn members_who_are_offline_are_named_without_the_sender() {
    let service = service(16).await;
    let online = service.chat.connect(&Credentials::token("bob")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    service.say("c1", "quiet").await.unwrap();
    service.say("c2", "push").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(*service.moderator.offline.lock().unwrap(), [user("cy")]);
    drop(online);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(*service.moderator.life.lock().unwrap(), ["connected", "disconnected"]);
}
