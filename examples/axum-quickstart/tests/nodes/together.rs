//! What happens at one process is seen at the other.

use std::time::Duration;

use chat_core::RoomId;
use serde_json::json;

use crate::{
    client::Client,
    node::Guest,
    stage::{PATIENCE, Stage},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_on_one_database_are_one_chat() {
    let mut stage = Stage::open().await;
    stage.all_hear_all(0..4).await;
    let room = stage.rooms[0].clone();
    let [ann, _, cy, _] = &stage.clients[..] else { unreachable!() };
    let seen = |what: serde_json::Value| {
        move |notes: &crate::notes::Notes| {
            let fits = |event: &serde_json::Value| {
                what.as_object().unwrap().iter().all(|(name, value)| event[name] == *value)
            };
            notes.events.iter().any(fits)
        }
    };

    // Live notices.
    ann.tell(json!({"type": "typing", "room": room}));
    let typing = json!({"type": "typing", "room": room, "user": ann.guest.user, "active": true});
    cy.until("typing", PATIENCE, seen(typing)).await;
    let heard = cy.notes().applied[&room].to_string();
    cy.tell(json!({"type": "read", "room": room, "cursor": heard}));
    ann.until("reading", PATIENCE, seen(json!({"type": "read", "room": room, "user": cy.guest.user}))).await;

    // Who is there: the count is of both processes, and coming is announced at the other one.
    let users = format!("{},{}", ann.guest.user, cy.guest.user);
    for node in &stage.nodes {
        let answer = ann.guest.ask(node.address, "GET", &format!("/chat/presence?users={users}"), None).await;
        let online: Vec<_> = answer["users"].as_array().unwrap().iter().map(|user| &user["online"]).collect();
        assert_eq!(online, [true, true], "{answer}");
    }
    // A guest of the first process is one of the second, too: one secret signs for both.
    let eve = Guest::arrive(stage.nodes[0].address, "Eve").await;
    let path = format!("/chat/rooms/{room}/members/{}", eve.user);
    ann.guest.ask(stage.nodes[0].address, "PUT", &path, Some(json!({}))).await;
    let member = json!({"type": "member", "room": room});
    cy.until("a new member", PATIENCE, seen(member)).await;
    let at_the_second = Client::start(&eve, &[stage.nodes[1].address], std::slice::from_ref(&room));
    at_the_second.until("joining", PATIENCE, |notes| !notes.applied.is_empty()).await;
    let comes = |user: &str| {
        let user = user.to_owned();
        move |notes: &crate::notes::Notes| {
            let is_online = |who: &serde_json::Value| who["user"] == user.as_str() && who["online"] == true;
            let users = notes.events.iter().filter(|event| event["type"] == "presence");
            users.flat_map(|event| event["users"].as_array().into_iter().flatten()).any(is_online)
        }
    };
    ann.until("Eve's coming", PATIENCE, comes(&eve.user)).await;

    // Who is removed at one process is out at the other, and hears nothing more.
    ann.guest.ask(stage.nodes[0].address, "DELETE", &path, None).await;
    let left = json!({"type": "left", "room": room, "reason": "removed"});
    at_the_second.until("being removed", PATIENCE, seen(left)).await;
    ann.say(&room, "she is gone");
    cy.until("the message", PATIENCE, |notes| notes.heard("she is gone").is_some()).await;
    at_the_second
        .tell(json!({"type": "send", "id": 1_000_000, "room": room, "clientId": "x", "text": "let me in"}));
    at_the_second.until("a refusal", PATIENCE, |notes| !notes.problems.is_empty()).await;
    {
        let notes = at_the_second.notes();
        assert!(
            notes.problems.len() == 1 && notes.problems[0].contains("not_a_member"),
            "{:?}",
            notes.problems
        );
        assert!(notes.heard("she is gone").is_none());
    }

    // Everybody writes at once, at both.
    for client in &stage.clients {
        client.write_every(Some(Duration::from_millis(5)));
    }
    stage.more_is_said(100).await;
    stage.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_ends_in_good_order_hands_its_people_to_the_other() {
    let mut stage = Stage::open_under_load().await;
    let lobby = RoomId::new("lobby").unwrap();
    stage.nodes[0].stop().await;
    stage.all_hear_all(0..4).await;
    for client in &stage.clients[..2] {
        assert_eq!(client.notes().connections, 2, "{}", client.guest.user);
    }
    // The lobby that the first process made is there.
    let rooms = stage.clients[0].guest.ask(stage.nodes[1].address, "GET", "/chat/rooms", None).await;
    let ids: Vec<_> = rooms["rooms"].as_array().unwrap().iter().map(|room| &room["room"]["id"]).collect();
    assert!(ids.contains(&&json!(lobby)), "{rooms}");
    stage.judge().await;
}

/// The judge of all these tests can tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_lost_got_twice_or_was_told_wrongly_is_noticed() {
    let mut stage = Stage::open().await;
    stage.all_hear_all(0..4).await;
    assert_eq!(stage.rest().await.violations.len(), 0);
    let [ann, bob, cy, di] = &stage.clients[..] else { unreachable!() };
    ann.notes().entries.pop();
    let last = bob.notes().entries.last().unwrap().clone();
    bob.notes().entries.push(last);
    cy.notes().acks.pop();
    di.notes().acks[0].position = stage.clients[0].notes().acks[0].position.clone();
    let violations = stage.rest().await.violations;
    for (client, guarantee) in [(ann, "G5"), (bob, "G5"), (cy, "G1"), (di, "G1")] {
        let of_client = |violation: &&chat_simulation::Violation| violation.what.contains(&client.guest.user);
        let noticed: Vec<_> =
            violations.iter().filter(of_client).map(|violation| violation.guarantee).collect();
        assert_eq!(noticed, [guarantee], "{}: {violations:#?}", client.guest.user);
    }
}
