//! However many rooms are joined, and however large the pages asked for: what waits for a session is bounded.

use chat_core::{
    Chat, ClientMessageId, Event, JoinRequest, MemberChange, NewRoom, Role, RoomId, SessionEvents,
};

use crate::world::{World, connect, next, quiet, user};

const ROOMS: usize = 10;
const ENTRIES: usize = 30;

fn numbered(number: usize) -> RoomId {
    RoomId::new(&format!("room-{number}")).unwrap()
}

/// Rooms of ann's with messages in each.
async fn with_rooms(chat: &Chat) {
    let service = chat.system(user("service"));
    for number in 0..ROOMS {
        service.create_room(NewRoom::new(numbered(number))).await.unwrap();
        let change = MemberChange::add(user("ann"), Role::Member);
        service.change_member(&numbered(number), change).await.unwrap();
        for _ in 0..ENTRIES {
            service.send_text(&numbered(number), ClientMessageId::generate(), "hello").await.unwrap();
        }
    }
}

/// How long the pages are that these joins are answered with.
async fn pages(events: &mut SessionEvents, joins: usize) -> Vec<usize> {
    let mut pages = Vec::new();
    while pages.len() < joins {
        if let Event::Joined(joined) = next(events).await {
            pages.push(joined.outcome.page().unwrap().entries.len());
        }
    }
    pages
}

#[tokio::test(start_paused = true)]
async fn pages_that_nobody_takes_hold_a_bounded_number_of_entries() {
    let world = World::new();
    let mut settings = quiet();
    (settings.session_page_entries, settings.rooms_per_session) = (70, ROOMS);
    let chat = world.node(settings);
    with_rooms(&chat).await;
    let (ann, mut events) = connect(&chat, "ann").await;
    for number in 0..ROOMS {
        ann.join(JoinRequest::new(numbered(number)).with_page(1_000)).await.unwrap();
    }
    // The first one may have all there is to have, the others their rooms' shares.
    assert_eq!(pages(&mut events, ROOMS).await, [30, 7, 7, 7, 7, 7, 7, 7, 7, 7]);
    for number in 0..ROOMS {
        ann.join(JoinRequest::new(numbered(number)).with_page(ENTRIES)).await.unwrap();
    }
    assert_eq!(pages(&mut events, ROOMS).await, [30, 30, 7, 7, 7, 7, 7, 7, 7, 7]);
    // Whoever takes them as they come gets each as large as asked for.
    for number in 0..ROOMS {
        ann.join(JoinRequest::new(numbered(number)).with_page(ENTRIES)).await.unwrap();
        assert_eq!(pages(&mut events, 1).await, [ENTRIES]);
    }
    // And so does whoever leaves them behind.
    for number in 0..ROOMS {
        ann.join(JoinRequest::new(numbered(number)).with_page(ENTRIES)).await.unwrap();
        ann.leave(&numbered(number));
    }
    ann.join(JoinRequest::new(numbered(0)).with_page(ENTRIES)).await.unwrap();
    assert_eq!(pages(&mut events, 1).await, [ENTRIES]);
}
