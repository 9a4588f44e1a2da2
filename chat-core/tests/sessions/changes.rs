//! Whoever goes away while a change is being stored, and whoever tries again: those concerned are told.

use std::{sync::Arc, time::Duration};

use chat_core::{
    Chat, ClientMessageId, EntryKind, Error, Event, JoinRequest, MemberChange, MemberOutcome, Principal,
    ReadQuery, Role, RoomChange, SessionEvents, Settings, Storage as _, fanout::FanoutEvent,
    session::LeftReason,
};
use tokio::time::timeout;

use crate::{
    slow_rooms::SlowRooms,
    world::{World, connect, joined, next, room, say, user},
};

const LATENCY: Duration = Duration::from_millis(200);

/// A node over slow rooms; ann and bob are members.
async fn slow(world: &World, settings: Settings) -> Chat {
    let rooms = world.store.rooms();
    rooms.create(chat_core::NewRoom::new(room())).await.unwrap();
    for name in ["ann", "bob"] {
        rooms.change_member(&room(), MemberChange::add(user(name), Role::Member)).await.unwrap();
    }
    world.node_of(settings, world.store.message_log(), Arc::new(SlowRooms { rooms, latency: LATENCY }))
}

async fn follow(chat: &Chat, name: &str) -> SessionEvents {
    let (session, mut events) = connect(chat, name).await;
    session.join(JoinRequest::new(room())).await.unwrap();
    joined(&mut events).await;
    events
}

/// Waits for the end of the subscription; no entry may come before it.
async fn left(events: &mut SessionEvents) -> LeftReason {
    loop {
        match next(events).await {
            Event::Left { reason, .. } => return reason,
            Event::Notice(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn leaves(world: &World) -> usize {
    let page = world.store.message_log().read(&room(), ReadQuery::newest()).await.unwrap();
    page.entries.iter().filter(|entry| entry.content.kind() == EntryKind::Leave).count()
}

#[tokio::test(start_paused = true)]
async fn a_removal_whose_caller_goes_away_is_told_all_the_same() {
    // Before, and after it is stored.
    for patience in [LATENCY / 2, LATENCY * 3 / 2] {
        let world = World::new();
        let chat = slow(&world, Settings::default()).await;
        let mut events = follow(&chat, "bob").await;
        let service = chat.system(user("service"));
        let (r, remove) = (room(), MemberChange::remove(user("bob")));
        timeout(patience, service.change_member(&r, remove)).await.unwrap_err();
        assert_eq!(left(&mut events).await, LeftReason::Removed, "{patience:?}");
        tokio::time::sleep(LATENCY).await;
        assert_eq!(leaves(&world).await, 1);
        say(&chat.system(user("ann")), "nothing for bob").await;
        // At most that the membership ended is told to the user's devices.
        while let Ok(event) = timeout(Duration::from_secs(1), events.next()).await {
            assert!(matches!(event, Some(Event::Notice(_))), "{event:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_outlasts_the_patience_is_told_when_it_is_stored() {
    let world = World::new();
    let mut settings = Settings::default();
    settings.call_timeout = LATENCY / 2;
    let chat = slow(&world, settings).await;
    let mut events = follow(&chat, "bob").await;
    let answer = chat.system(user("service")).change_member(&room(), MemberChange::remove(user("bob"))).await;
    assert!(matches!(answer, Err(Error::Timeout { .. })), "{answer:?}");
    assert_eq!(left(&mut events).await, LeftReason::Removed);
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_was_stored_and_never_told_is_told_when_it_is_tried_again() {
    let world = World::new();
    let chat = slow(&world, Settings::default()).await;
    let mut events = follow(&chat, "bob").await;
    // As by a node that died in between.
    let remove = || MemberChange::remove(user("bob"));
    world.store.rooms().change_member(&room(), remove()).await.unwrap();
    for _ in 0..2 {
        let again = chat.system(user("service")).change_member(&room(), remove()).await.unwrap();
        assert!(matches!(again, MemberOutcome::Unchanged(Some(_))), "{again:?}");
    }
    assert_eq!(left(&mut events).await, LeftReason::Removed);
    assert_eq!(leaves(&world).await, 1, "the room says so once");
}

#[tokio::test(start_paused = true)]
async fn a_membership_that_is_as_it_should_be_gives_no_entry() {
    let world = World::new();
    let chat = slow(&world, Settings::default()).await;
    let service = chat.system(user("service"));
    for change in [MemberChange::add(user("bob"), Role::Member), MemberChange::remove(user("nobody"))] {
        let outcome = service.change_member(&room(), change).await.unwrap();
        assert!(matches!(outcome, MemberOutcome::Unchanged(_)), "{outcome:?}");
    }
    let page = world.store.message_log().read(&room(), ReadQuery::newest()).await.unwrap();
    assert!(page.entries.is_empty(), "{:?}", page.entries);
}

#[tokio::test(start_paused = true)]
async fn a_room_and_a_marker_whose_caller_goes_away_are_told_all_the_same() {
    let world = World::new();
    let chat = slow(&world, Settings::default()).await;
    say(&chat.system(user("ann")), "to be read").await;
    let mut events = follow(&chat, "bob").await;
    let (r, service, ann) = (room(), chat.system(user("service")), chat.system(user("ann")));
    let head = world.store.message_log().heads(&[room()]).await.unwrap()[0].clone().unwrap().cursor;
    timeout(
        LATENCY / 2,
        service.update_room(&r, RoomChange { active: Some(false), ..RoomChange::default() }),
    )
    .await
    .unwrap_err();
    timeout(LATENCY / 2, ann.mark_read(&r, &head)).await.unwrap_err();
    let (mut changed, mut read) = (false, false);
    while !(changed && read) {
        let Event::Notice(notice) = next(&mut events).await else { continue };
        changed |= matches!(notice.value(), FanoutEvent::RoomChanged(room) if !room.active);
        read |= matches!(notice.value(), FanoutEvent::Read { user: reader, .. } if *reader == user("ann"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_cannot_take_the_place_of_the_entry_that_tells_of_them() {
    let world = World::new();
    let chat = slow(&world, Settings::default()).await;
    let bob = chat.actor(Principal::new(user("bob")));
    // Whatever the next changes of this membership are called.
    for version in 0..5 {
        for name in [format!("leave-{version}"), format!("!leave-{version}"), format!("!join-{version}")] {
            let sent = bob.send_text(&room(), ClientMessageId::new(&name).unwrap(), "hi").await;
            match sent {
                Err(Error::Invalid { what: "client id", .. }) => assert!(name.starts_with('!')),
                sent => assert!(sent.is_ok() && !name.starts_with('!'), "{name}: {sent:?}"),
            }
        }
    }
    let removed =
        chat.system(user("service")).change_member(&room(), MemberChange::remove(user("bob"))).await.unwrap();
    assert!(matches!(removed, MemberOutcome::Removed(_)), "{removed:?}");
    assert_eq!(leaves(&world).await, 1);
}
