//! Nodes over one memory backend, and a client's view of a session.

use std::{sync::Arc, time::Duration};

use chat_core::{
    Actor, Chat, ChatBuilder, ClientMessageId, Cursor, Event, MemberChange, MemberOutcome, MessageLog,
    NewRoom, Role, RoomId, Rooms, Session, SessionEvents, Settings, Storage as _, UserId,
    auth::Credentials,
    memory::{MemoryFanout, MemoryPresence, MemoryRevocations, MemoryStore},
    session::JoinOutcome,
    testkit::TokenIsUser,
};

pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) fanout: MemoryFanout,
    pub(crate) presence: MemoryPresence,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { store: MemoryStore::new(), fanout: MemoryFanout::new(), presence: MemoryPresence::new() }
    }

    pub(crate) fn node(&self, settings: Settings) -> Chat {
        self.node_with(settings, self.store.message_log())
    }

    pub(crate) fn node_with(&self, settings: Settings, log: Arc<dyn MessageLog>) -> Chat {
        self.node_of(settings, log, self.store.rooms())
    }

    pub(crate) fn node_of(
        &self,
        settings: Settings,
        log: Arc<dyn MessageLog>,
        rooms: Arc<dyn Rooms>,
    ) -> Chat {
        self.builder(settings).log(log).rooms(rooms).build().unwrap()
    }

    /// A node that is not built yet.
    pub(crate) fn builder(&self, settings: Settings) -> ChatBuilder {
        Chat::builder()
            .storage(&self.store)
            .fanout(self.fanout.clone())
            .presence(self.presence.clone())
            .auth(TokenIsUser)
            .revocations(MemoryRevocations::new())
            .settings(settings)
    }
}

pub(crate) fn room() -> RoomId {
    RoomId::new("general").unwrap()
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub(crate) async fn with_members(chat: &Chat, names: &[&str]) {
    let system = chat.system(user("system"));
    system.create_room(NewRoom::new(room())).await.unwrap();
    for name in names {
        let outcome =
            system.change_member(&room(), MemberChange::add(user(name), Role::Member)).await.unwrap();
        assert!(matches!(outcome, MemberOutcome::Added(_)));
    }
}

/// Without join and leave entries, so that a test's positions are its own.
pub(crate) fn quiet() -> Settings {
    let mut settings = Settings::default();
    settings.announce_members = false;
    settings
}

pub(crate) async fn connect(chat: &Chat, name: &str) -> (Session, SessionEvents) {
    chat.connect(&Credentials::token(name)).await.unwrap()
}

pub(crate) async fn say(actor: &Actor, text: &str) {
    actor.send_text(&room(), ClientMessageId::generate(), text).await.unwrap();
}

pub(crate) async fn next(events: &mut SessionEvents) -> Event {
    tokio::time::timeout(Duration::from_secs(5), events.next())
        .await
        .expect("an event in time")
        .expect("not closed")
}

/// The next entry's number, passing over notices and heartbeats.
pub(crate) async fn next_seq(events: &mut SessionEvents) -> u64 {
    loop {
        match next(events).await {
            Event::Entry(entry) => return entry.value().seq().get(),
            Event::Notice(_) | Event::Heads(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn joined(events: &mut SessionEvents) -> (JoinOutcome, Cursor) {
    loop {
        match next(events).await {
            Event::Joined(joined) => return (joined.outcome, joined.cursor),
            Event::Notice(_) | Event::Heads(_) => {}
            other => panic!("{other:?}"),
        }
    }
}
