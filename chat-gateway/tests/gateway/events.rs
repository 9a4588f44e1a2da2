//! Event streams: what comes, and what comes after a break.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chat_core::{ClientMessageId, Content, JsonText, MemberChange, NewRoom, Role, RoomId};
use chat_gateway::Limits;
use serde_json::{Value, json};

use crate::world::{Server, room, settings, user};

fn other() -> RoomId {
    RoomId::new("other,room").unwrap()
}

/// The rooms `general` and `other,room`.
const BOTH: &str = "rooms=general&room=other,room";

async fn with_other_room(server: &Server) {
    let system = server.chat.system(user("system"));
    system.create_room(NewRoom::new(other())).await.unwrap();
    for name in ["ann", "bob"] {
        system.change_member(&other(), MemberChange::add(user(name), Role::Member)).await.unwrap();
    }
}

async fn say_in(server: &Server, room: &RoomId, text: &str) -> String {
    let bob = server.chat.system(user("bob"));
    let sent = bob.send_text(room, ClientMessageId::generate(), text).await.unwrap();
    sent.position.unwrap().cursor.to_string()
}

fn seqs(page: &Value) -> Vec<u64> {
    page["entries"].as_array().unwrap().iter().map(|entry| entry["seq"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_stream_says_what_a_websocket_says() {
    let server = Server::start().await;
    server.say("before").await;
    let mut socket = server.client("bob").await;
    let mut source = server.source("ann", "rooms=general&limit=10", "").await;
    let connected = source.next().await;
    assert_eq!((&connected["type"], &connected["user"]), (&json!("connected"), &json!("ann")));
    assert!((1_000..5_000).contains(&source.retry.unwrap()));
    let over_socket = socket.ask(json!({"type": "join", "room": "general", "limit": 10})).await;
    let joined = source.next_of("joined").await;
    for field in ["room", "outcome", "cursor", "page"] {
        assert_eq!(joined[field], over_socket[field]);
    }
    assert_eq!(joined["lastEventId"].as_str(), Some(&*source.last_id));
    server.say("after").await;
    socket.send(json!({"type": "typing", "room": "general"})).await;
    let entry = source.next_of("entry").await;
    assert_eq!(entry["entry"], socket.next_of("entry").await["entry"]);
    assert_eq!(entry["entry"]["text"], "after");
    // What is not stored has no place to come back to.
    let typing = source.next_of("typing").await;
    assert!(typing["user"] == "bob" && typing.get("lastEventId").is_none(), "{typing}");
}

#[tokio::test]
async fn a_cut_stream_of_two_rooms_resumes_exactly_once_and_in_order() {
    const MESSAGES: u64 = 300;
    let server = Arc::new(Server::start().await);
    with_other_room(&server).await;
    let speaker = tokio::spawn({
        let server = server.clone();
        async move {
            let general = room();
            for n in 1..=MESSAGES {
                say_in(&server, &general, &n.to_string()).await;
                say_in(&server, &other(), &n.to_string()).await;
                if n % 6 == 0 {
                    tokio::time::sleep(Duration::from_millis(4)).await;
                }
            }
        }
    });
    let mut applied: BTreeMap<String, u64> = BTreeMap::new();
    let (mut id, mut cuts) = (String::new(), 0);
    while applied.values().sum::<u64>() < 2 * MESSAGES {
        let mut source = server.source("ann", BOTH, &id).await;
        // Cut at uneven places: ids in between stand for whatever was applied till then.
        let mut left = 37 + cuts % 5;
        while left > 0 && (cuts == 0 || applied.values().sum::<u64>() < 2 * MESSAGES) {
            let mut frame = source.next().await;
            match frame["type"].as_str().unwrap() {
                "joined" if cuts == 0 => {
                    assert_eq!(frame["outcome"], "new");
                    applied.insert(
                        frame["room"].as_str().unwrap().to_owned(),
                        frame["page"]["seq"].as_u64().unwrap(),
                    );
                }
                "joined" => assert_eq!(frame["outcome"], "recovered", "{frame}"),
                "entry" => {
                    let entry = frame["entry"].take();
                    let seq = applied.get_mut(entry["room"].as_str().unwrap()).unwrap();
                    *seq += 1;
                    assert_eq!((&entry["seq"], &entry["text"]), (&json!(*seq), &json!(seq.to_string())));
                    left -= 1;
                }
                "connected" | "presence" => {}
                other => panic!("{other}"),
            }
        }
        id = source.last_id.clone();
        cuts += 1;
    }
    speaker.await.unwrap();
    assert!(cuts > 5, "{cuts}");
    // Nothing comes twice, and what comes next is next.
    let mut source = server.source("ann", &format!("{BOTH}&last_event_id={id}"), "").await;
    say_in(&server, &other(), "on").await;
    assert_eq!(source.next_of("entry").await["entry"]["seq"], MESSAGES + 1);
}

#[tokio::test]
async fn a_stream_cut_before_what_it_promised_promises_it_again() {
    let server = Server::start().await;
    with_other_room(&server).await;
    let mut source = server.source("ann", BOTH, "").await;
    source.next_of("joined").await;
    source.next_of("joined").await;
    let id = source.last_id.clone();
    drop(source);
    for n in ["1", "2"] {
        server.say(n).await;
        say_in(&server, &other(), n).await;
    }
    let mut source = server.source("ann", BOTH, &id).await;
    source.last_id = id;
    // Cut as soon as both rooms were said to be recovered, whatever was sent of them by then.
    let (mut recovered, mut applied) = (0, Vec::new());
    while recovered < 2 {
        let frame = source.next().await;
        match frame["type"].as_str().unwrap() {
            "joined" => {
                assert_eq!(frame["outcome"], "recovered");
                recovered += 1;
            }
            "entry" => {
                applied.push((frame["entry"]["room"].to_string(), frame["entry"]["seq"].as_u64().unwrap()))
            }
            _ => {}
        }
    }
    assert!(applied.len() < 4, "there is something left");
    let mut again = server.source("ann", BOTH, &source.last_id).await;
    while applied.len() < 4 {
        let entry = again.next_of("entry").await["entry"].take();
        applied.push((entry["room"].to_string(), entry["seq"].as_u64().unwrap()));
    }
    applied.sort();
    let expected = [("\"general\"", 1), ("\"general\"", 2), ("\"other,room\"", 1), ("\"other,room\"", 2)];
    assert_eq!(applied, expected.map(|(room, seq)| (room.to_owned(), seq)));
}

#[tokio::test]
async fn a_page_that_kept_cursors_goes_on_from_them() {
    let server = Server::start().await;
    with_other_room(&server).await;
    let first = server.say("1").await;
    server.say("2").await;
    say_in(&server, &other(), "1").await;
    let query = format!("{BOTH}&cursors={first},");
    let mut source = server.source("ann", &query, "").await;
    let one = source.next_of("joined").await;
    assert_eq!((&one["room"], &one["outcome"]), (&json!("general"), &json!("recovered")));
    let entry = source.next_of("entry").await;
    assert_eq!((&entry["entry"]["room"], &entry["entry"]["seq"]), (&json!("general"), &json!(2)));
    let two = source.next_of("joined").await;
    assert_eq!((&two["room"], &two["outcome"]), (&json!("other,room"), &json!("new")));
}

#[tokio::test]
async fn positions_that_hold_no_more_are_limited_or_reset() {
    let mut settings = settings();
    settings.replay_limit = 5;
    settings.room_buffer_entries = 4;
    let server = Server::with(settings, Limits::new()).await;
    let mut source = server.source("ann", "rooms=general", "").await;
    server.say("1").await;
    source.next_of("entry").await;
    let id = source.last_id.clone();
    drop(source);
    for n in 2..=20 {
        server.say(&n.to_string()).await;
    }
    let mut source = server.source("ann", "rooms=general&limit=3", &id).await;
    let limited = source.next_of("joined").await;
    assert_eq!(limited["outcome"], "limited");
    assert_eq!(seqs(&limited["page"]), [18, 19, 20]);
    // From the page on, the position is the page's.
    let id = source.last_id.clone();
    drop(source);
    server.say("21").await;
    let mut source = server.source("ann", "rooms=general", &id).await;
    assert_eq!(source.next_of("joined").await["outcome"], "recovered");
    assert_eq!(source.next_of("entry").await["entry"]["seq"], 21);
    drop(source);
    let mut source = server.source("ann", "rooms=general&cursors=elsewhere.7", "").await;
    let reset = source.next_of("joined").await;
    assert_eq!(reset["outcome"], "reset");
    assert_eq!(seqs(&reset["page"]).last(), Some(&21));
}

#[tokio::test]
async fn a_restored_log_resets_the_room_live_and_the_position_with_it() {
    let server = Server::start().await;
    let mut source = server.source("ann", "rooms=general", "").await;
    source.next_of("joined").await;
    server.say("kept").await;
    let backup = server.store.snapshot();
    server.say("lost").await;
    source.next_of("entry").await;
    source.next_of("entry").await;
    let before = source.last_id.clone();
    server.store.restore(&backup);
    server.say("new life").await;
    assert_eq!(seqs(&source.next_of("reset").await["page"]), [1, 2]);
    let after = source.last_id.clone();
    drop(source);
    server.say("on").await;
    let mut source = server.source("ann", "rooms=general", &after).await;
    assert_eq!(source.next_of("joined").await["outcome"], "recovered");
    assert_eq!(source.next_of("entry").await["entry"]["seq"], 3);
    let mut source = server.source("ann", "rooms=general", &before).await;
    assert_eq!(source.next_of("joined").await["outcome"], "reset");
}

#[tokio::test]
async fn without_rooms_only_what_concerns_the_user_comes() {
    let server = Server::start().await;
    let mut source = server.source("ann", "", "").await;
    source.next_of("connected").await;
    server.say("not followed").await;
    with_other_room(&server).await;
    let member = source.next_of("member").await;
    assert_eq!((&member["room"], &member["member"]["user"]), (&json!("other,room"), &json!("ann")));
}

#[tokio::test]
async fn json_over_several_lines_arrives_whole() {
    let server = Server::start().await;
    let mut source = server.source("ann", "rooms=general", "").await;
    source.next_of("joined").await;
    let body = chat_core::Body::Json(JsonText::new("{\"a\":\r\n[1,\n\n2],\r\"b\": \"x\\ny\"}").unwrap());
    let bob = server.chat.system(user("bob"));
    bob.send(&room(), ClientMessageId::generate(), Content::Chat { body }).await.unwrap();
    let entry = source.next_of("entry").await;
    assert_eq!(entry["entry"]["json"], json!({"a": [1, 2], "b": "x\ny"}));
}

#[tokio::test]
async fn a_silent_stream_is_kept_alive() {
    let mut settings = settings();
    settings.heartbeat_interval = Duration::from_millis(100);
    let server = Server::with(settings, Limits::new()).await;
    let mut source = server.source("ann", "rooms=general", "").await;
    for _ in 0..4 {
        source.next_of("heads").await;
    }
    assert!((2..=8).contains(&source.comments), "{}", source.comments);
}

#[tokio::test]
async fn a_slow_reader_delays_nobody_and_is_brought_back() {
    const MESSAGES: u64 = 5_000;
    let server = Server::start().await;
    let mut slow = server.narrow_source("ann", "rooms=general").await;
    slow.next_of("joined").await;
    let text = "x".repeat(900);
    for _ in 0..MESSAGES {
        server.say(&text).await;
    }
    let seq = |cursor: &Value| cursor.as_str().unwrap().split('.').nth(1).unwrap().parse::<u64>().unwrap();
    let (mut applied, mut entries, mut resyncs) = (0, 0, 0);
    while applied < MESSAGES {
        let frame = slow.next().await;
        match frame["type"].as_str().unwrap() {
            "entry" => {
                assert_eq!(frame["entry"]["seq"], applied + 1);
                applied += 1;
                entries += 1;
            }
            "resync" => {
                resyncs += 1;
                assert_eq!(seq(&frame["hole"]["after"]), applied);
                if frame.get("page").is_some() {
                    applied = seq(&frame["cursor"]);
                    assert!(frame["lastEventId"].as_str().unwrap().ends_with(&format!(".{applied}")));
                }
            }
            "heads" | "presence" | "noticesLost" => {}
            other => panic!("{other}"),
        }
    }
    // Had the server kept everything for this client, it would have been sent all of it.
    assert!(resyncs >= 1 && entries < 2_000, "{resyncs} resyncs, {entries} entries");
    server.say("and on").await;
    assert_eq!(slow.next_of("entry").await["entry"]["seq"], MESSAGES + 1);
}

#[tokio::test]
async fn the_session_of_a_client_that_reads_nothing_ends() {
    let server = Server::with(settings(), Limits::new().with_write_timeout(Duration::from_millis(300))).await;
    let _stuck = server.narrow_source("ann", "rooms=general").await;
    let text = "x".repeat(1_000);
    for _ in 0..20_000 {
        server.say(&text).await;
        if server.chat.session_count() == 0 {
            return;
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(server.chat.session_count(), 0);
}

#[tokio::test]
async fn the_first_pages_of_all_rooms_share_what_may_wait() {
    let mut settings = settings();
    settings.session_page_entries = 10;
    let server = Server::with(settings, Limits::new()).await;
    with_other_room(&server).await;
    for n in 0..12 {
        server.say(&n.to_string()).await;
        say_in(&server, &other(), &n.to_string()).await;
    }
    let mut source = server.source("ann", &format!("{BOTH}&limit=1000"), "").await;
    for _ in 0..2 {
        let joined = source.next_of("joined").await;
        assert_eq!(seqs(&joined["page"]), [8, 9, 10, 11, 12], "{}", joined["room"]);
        assert_eq!(joined["page"]["reachesStart"], false);
    }
    // One room has all of it.
    let mut source = server.source("ann", "rooms=general&limit=1000", "").await;
    assert_eq!(seqs(&source.next_of("joined").await["page"]).len(), 10);
}

#[tokio::test]
async fn the_first_frame_repeats_the_positions_that_a_stream_was_opened_with() {
    let server = Server::start().await;
    with_other_room(&server).await;
    let mut source = server.source("ann", BOTH, "").await;
    let connected = source.next().await;
    assert!(
        connected["type"] == "connected" && connected.get("lastEventId").is_none(),
        "nothing is known yet"
    );
    source.next_of("joined").await;
    source.next_of("joined").await;
    let id = source.last_id.clone();
    drop(source);
    server.say("missed").await;
    // A client that forgets the last id whenever it connects, and is cut at once, each time.
    let mut last_id = id.clone();
    for _ in 0..3 {
        let mut source = server.source("ann", BOTH, &last_id).await;
        assert_eq!(source.last_id, "");
        assert_eq!(source.next().await["type"], "connected");
        last_id = source.last_id.clone();
        assert_eq!(last_id, id);
    }
    let mut source = server.source("ann", BOTH, &last_id).await;
    assert_eq!(source.next_of("joined").await["outcome"], "recovered");
    assert_eq!(source.next_of("entry").await["entry"]["text"], "missed");
    // Positions of the query count as well.
    let mut source = server.source("ann", &format!("{BOTH}&last_event_id={id}"), "").await;
    assert_eq!(source.next().await["lastEventId"], *id);
}
