//! Every command and every event.

use chat_core::{MemberChange, Role, RoomChange};
use serde_json::{Value, json};

use crate::world::{Server, room, user};

#[tokio::test]
async fn connect_says_who_one_is_and_what_the_limits_are() {
    let server = Server::start().await;
    let mut client = server
        .open_with(|request| {
            request.headers_mut().insert("Sec-WebSocket-Protocol", "other, chat.v1".parse().unwrap());
        })
        .await
        .unwrap();
    assert_eq!(client.response.headers()["sec-websocket-protocol"], "chat.v1");
    let connected = client.ask(json!({"type": "connect", "token": server.token("ann")})).await;
    assert_eq!(connected["user"], "ann");
    assert_eq!(connected["heartbeat"], 25);
    assert_eq!(connected["limits"], json!({"frameBytes": 65536, "rooms": 100, "replay": 1000}));
    assert!(connected["connection"].as_str().unwrap().len() > 20);
    assert!(connected["expiresAt"].as_str().unwrap().ends_with('Z'));
    assert_eq!(client.ask(json!({"type": "ping"})).await["type"], "pong");
}

#[tokio::test]
async fn a_header_serves_instead_of_a_token() {
    let server = Server::start().await;
    let token = server.token("bob");
    let mut client = server
        .open_with(|request| {
            request.headers_mut().insert("Authorization", format!("Bearer {token}").parse().unwrap());
        })
        .await
        .unwrap();
    assert_eq!(client.ask(json!({"type": "connect"})).await["user"], "bob");
}

async fn general(client: &mut crate::world::Client, frame: Value) -> Value {
    let mut frame = frame;
    frame["room"] = "general".into();
    client.ask(frame).await
}

#[tokio::test]
async fn a_message_goes_its_whole_way() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.joined("ann").await, server.joined("bob").await);
    let sent = general(&mut ann, json!({"type": "send", "clientId": "c-1", "text": "hello \"you\""})).await;
    assert_eq!(
        (&sent["type"], &sent["clientId"], &sent["seq"], &sent["duplicate"], &sent["durability"]),
        (&json!("sent"), &json!("c-1"), &json!(1), &json!(false), &json!("volatile"))
    );
    let again = general(&mut ann, json!({"type": "send", "clientId": "c-1", "text": "hello \"you\""})).await;
    assert_eq!((&again["duplicate"], &again["id"]), (&json!(true), &sent["id"]));
    for client in [&mut ann, &mut bob] {
        let entry = client.next_of("entry").await["entry"].take();
        assert_eq!(
            entry,
            json!({
                "room": "general", "cursor": sent["cursor"], "seq": 1, "id": sent["id"], "sender": "ann",
                "clientId": "c-1", "createdAt": sent["createdAt"], "kind": "chat", "text": "hello \"you\"",
            })
        );
    }
    let target = sent["id"].clone();
    general(&mut ann, json!({"type": "edit", "clientId": "c-2", "target": target, "json": {"a": [1.50]}}))
        .await;
    general(
        &mut bob,
        json!({"type": "react", "clientId": "b-1", "target": target, "key": "👍", "op": "add"}),
    )
    .await;
    let edit = bob.next_of("entry").await["entry"].take();
    assert_eq!(
        (&edit["kind"], &edit["target"], &edit["json"]),
        (&json!("edit"), &target, &json!({"a": [1.5]}))
    );
    let reaction = bob.next_of("entry").await["entry"].take();
    assert_eq!(
        (&reaction["kind"], &reaction["key"], &reaction["op"], &reaction["sender"]),
        (&json!("reaction"), &json!("👍"), &json!("add"), &json!("bob"))
    );
    let page = general(&mut bob, json!({"type": "history"})).await["page"].take();
    assert_eq!(page["entries"].as_array().unwrap().len(), 1);
    let folded = &page["entries"][0];
    assert_eq!(folded["json"], json!({"a": [1.5]}));
    assert_eq!(folded["text"], Value::Null);
    assert_eq!(folded["edited"]["seq"], 2);
    assert_eq!(folded["reactions"], json!([{"key": "👍", "count": 1, "users": ["bob"]}]));
    assert_eq!((&page["reachesStart"], &page["reachesHead"]), (&json!(true), &json!(true)));
    general(&mut ann, json!({"type": "delete", "clientId": "c-3", "target": target})).await;
    let log = general(&mut bob, json!({"type": "history", "view": "log", "before": page["cursor"]})).await;
    assert_eq!(log["page"]["entries"].as_array().unwrap().len(), 2);
    let first = &log["page"]["entries"][0];
    assert_eq!((&first["deleted"], &first["json"]), (&json!(true), &Value::Null));
    let custom = json!({"type": "send", "clientId": "c-4", "json": null, "name": "poll"});
    assert_eq!(general(&mut ann, custom).await["seq"], 5);
}

#[tokio::test]
async fn live_notices_reach_the_room() {
    let server = Server::start().await;
    let (mut ann, mut bob) = (server.joined("ann").await, server.joined("bob").await);
    assert_eq!(general(&mut ann, json!({"type": "typing"})).await["type"], "ok");
    assert_eq!(
        bob.next_of("typing").await,
        json!({"type": "typing", "room": "general", "user": "ann", "active": true})
    );
    // Without an id there is no answer.
    ann.send(json!({"type": "typing", "room": "general", "active": false})).await;
    assert_eq!(bob.next_of("typing").await["active"], false);
    general(&mut ann, json!({"type": "signal", "name": "ring", "data": {"x": [1, null]}})).await;
    assert_eq!(
        bob.next_of("signal").await,
        json!({"type": "signal", "room": "general", "user": "ann", "name": "ring", "data": {"x": [1, null]}})
    );
    let cursor = server.say("read me").await;
    assert_eq!(general(&mut ann, json!({"type": "read", "cursor": cursor})).await["type"], "ok");
    assert_eq!(
        bob.next_of("read").await,
        json!({"type": "read", "room": "general", "user": "ann", "cursor": cursor})
    );
    let system = server.chat.system(user("system"));
    let change = RoomChange { active: Some(false), ..RoomChange::default() };
    system.update_room(&room(), change).await.unwrap();
    let changed = bob.next_of("room").await["room"].take();
    assert_eq!((&changed["id"], &changed["active"]), (&json!("general"), &json!(false)));
    system.change_member(&room(), MemberChange::add(user("cy"), Role::Reader)).await.unwrap();
    let member = bob.next_of("member").await;
    assert_eq!((&member["room"], &member["member"]["user"]), (&json!("general"), &json!("cy")));
    assert_eq!(member["member"]["role"], "reader");
    let _cy = server.client("cy").await;
    let presence = bob.next_of("presence").await;
    assert_eq!((&presence["users"][0]["user"], &presence["reply"]), (&json!("cy"), &Value::Null));
}

#[tokio::test]
async fn lists_come_in_pages() {
    let server = Server::start().await;
    server.say("newest").await;
    let mut ann = server.client("ann").await;
    let rooms = ann.ask(json!({"type": "rooms"})).await;
    let summary = &rooms["rooms"][0];
    assert_eq!((&summary["room"]["id"], &summary["role"]), (&json!("general"), &json!("member")));
    assert_eq!((&summary["unread"], &summary["preview"]["text"]), (&json!(0), &json!("newest")));
    assert_eq!(rooms["next"], Value::Null);
    let members = general(&mut ann, json!({"type": "members", "limit": 1})).await;
    assert_eq!((&members["members"][0]["user"], &members["next"]), (&json!("ann"), &json!("ann")));
    let rest = general(&mut ann, json!({"type": "members", "after": "ann"})).await;
    assert_eq!((&rest["members"][0]["user"], &rest["next"]), (&json!("bob"), &Value::Null));
    let presence = ann.ask(json!({"type": "presence", "users": ["ann", "bob"]})).await;
    assert_eq!(
        (&presence["users"][0]["online"], &presence["users"][1]["online"]),
        (&json!(true), &json!(false))
    );
}

#[tokio::test]
async fn leaving_ends_the_entries() {
    let server = Server::start().await;
    let mut ann = server.joined("ann").await;
    assert_eq!(general(&mut ann, json!({"type": "leave"})).await["type"], "ok");
    server.say("unheard").await;
    let joined = general(&mut ann, json!({"type": "join"})).await;
    assert_eq!(
        (&joined["outcome"], &joined["page"]["entries"][0]["text"]),
        (&json!("new"), &json!("unheard"))
    );
    server.say("heard").await;
    let entry = ann.next_of("entry").await;
    assert_eq!(entry["entry"]["text"], "heard");
}

#[tokio::test]
async fn the_heartbeat_tells_heads_that_changed() {
    let mut settings = crate::world::settings();
    settings.heartbeat_interval = std::time::Duration::from_millis(300);
    let server = Server::with(settings, chat_gateway::Limits::new()).await;
    let mut ann = server.open().await;
    let connected = ann.ask(json!({"type": "connect", "token": server.token("ann")})).await;
    assert_eq!(connected["heartbeat"], 0.3);
    general(&mut ann, json!({"type": "join"})).await;
    let cursor = server.say("one").await;
    ann.next_of("entry").await;
    assert_eq!(ann.next_of("heads").await["heads"], json!({"general": cursor}));
    assert_eq!(ann.next_of("heads").await["heads"], json!({}));
}
