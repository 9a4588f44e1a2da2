//! What a client gets after a break.

use chat_gateway::Limits;
use serde_json::{Value, json};

use crate::world::{Server, settings};

fn seqs(page: &Value) -> Vec<u64> {
    page["entries"].as_array().unwrap().iter().map(|entry| entry["seq"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_cut_connection_resumes_exactly_once_and_in_order() {
    let server = std::sync::Arc::new(Server::start().await);
    const MESSAGES: u64 = 400;
    let speaker = tokio::spawn({
        let server = server.clone();
        async move {
            for n in 0..MESSAGES {
                server.say(&n.to_string()).await;
                if n % 8 == 0 {
                    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
                }
            }
        }
    });
    let (mut applied, mut cursor, mut cuts) = (0u64, None::<String>, 0);
    while applied < MESSAGES {
        let mut ann = server.client("ann").await;
        let mut join = json!({"type": "join", "room": "general"});
        if let Some(cursor) = &cursor {
            join["cursor"] = cursor.as_str().into();
        }
        let joined = ann.ask(join).await;
        match joined["outcome"].as_str().unwrap() {
            "recovered" => assert!(joined.get("page").is_none()),
            "new" => {
                assert_eq!(cuts, 0);
                // The page is a timeline that ends at the cursor.
                applied = joined["cursor"].as_str().unwrap().split('.').nth(1).unwrap().parse().unwrap();
                cursor = Some(joined["cursor"].as_str().unwrap().to_owned());
            }
            other => panic!("{other}"),
        }
        for _ in 0..60 {
            if applied == MESSAGES {
                break;
            }
            let entry = ann.next_of("entry").await["entry"].take();
            assert_eq!(entry["seq"], applied + 1);
            assert_eq!(entry["text"], applied.to_string());
            applied += 1;
            cursor = Some(entry["cursor"].as_str().unwrap().to_owned());
        }
        cuts += 1;
        drop(ann);
    }
    speaker.await.unwrap();
    assert!(cuts > 3, "{cuts}");
}

#[tokio::test]
async fn a_cursor_too_far_back_is_limited_and_a_foreign_one_resets() {
    let mut settings = settings();
    settings.replay_limit = 5;
    settings.room_buffer_entries = 4;
    let server = Server::with(settings, Limits::new()).await;
    let first = server.say("1").await;
    for n in 2..=20 {
        server.say(&n.to_string()).await;
    }
    let mut ann = server.client("ann").await;
    let limited = ann.ask(json!({"type": "join", "room": "general", "cursor": first, "limit": 3})).await;
    assert_eq!(limited["outcome"], "limited");
    assert_eq!(seqs(&limited["page"]), [18, 19, 20]);
    assert_eq!(limited["hole"]["after"], first);
    assert_eq!(limited["hole"]["before"], limited["page"]["entries"][0]["cursor"]);
    assert_eq!(limited["cursor"], limited["page"]["cursor"]);
    server.say("21").await;
    assert_eq!(ann.next_seq().await, 21);
    let reset = ann.ask(json!({"type": "join", "room": "general", "cursor": "elsewhere.7"})).await;
    assert_eq!(reset["outcome"], "reset");
    assert_eq!(seqs(&reset["page"]).last(), Some(&21));
}

#[tokio::test]
async fn a_restored_log_resets_the_room_live() {
    let server = Server::start().await;
    let mut ann = server.joined("ann").await;
    server.say("kept").await;
    let backup = server.store.snapshot();
    server.say("lost").await;
    assert_eq!((ann.next_seq().await, ann.next_seq().await), (1, 2));
    server.store.restore(&backup);
    server.say("new life").await;
    let reset = ann.next_of("reset").await;
    assert_eq!(seqs(&reset["page"]), [1, 2]);
    assert_eq!(reset["cursor"], reset["page"]["cursor"]);
    server.say("on").await;
    assert_eq!(ann.next_seq().await, 3);
}
