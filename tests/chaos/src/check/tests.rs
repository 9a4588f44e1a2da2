//! The judge can tell: made-up histories, and what is done to them is found.

use chat_core::{Cursor, Epoch, Position, Timestamp};

use super::*;
use crate::sabotage::Sabotage;

const RULES: Rules = Rules { every_kind: true, durability: "persisted", lives: false };

fn room() -> RoomId {
    RoomId::new("tea").unwrap()
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn entry(seq: u64, sender: &str) -> StoredMessage {
    let client_id = ClientMessageId::new(&format!("c-{seq}")).unwrap();
    let draft = Draft::new(room(), user(sender), client_id, Content::text(&format!("number {seq}")));
    let cursor = Cursor::new(Epoch::new("e").unwrap(), Seq::new(seq).unwrap());
    let id = MessageId::from_u128(1_000 + u128::from(seq));
    StoredMessage::new(draft, Position { cursor, id, created_at: Timestamp::from_millis(1_000 + seq) })
}

/// What a client notes that was answered and given everything.
fn notes(user_name: &str, stored: &[StoredMessage]) -> Notes {
    let mut notes = Notes::default();
    for entry in stored {
        let at = Instant::now();
        if entry.sender == user(user_name) {
            notes.acks.push(Ack {
                room: room(),
                client_id: entry.client_id.clone(),
                position: Some(entry.position.clone()),
                durability: Some("persisted".to_owned()),
                at,
            });
        }
        notes.seen.push(Seen {
            room: room(),
            id: Some(entry.position.id),
            cursor: Some(entry.position.cursor.clone()),
            sender: entry.sender.clone(),
            client_id: Some(entry.client_id.clone()),
            text: text_of(entry),
            at,
        });
    }
    notes
}

/// Ann and Bob have said six things; this is found when their notes or the log are changed.
fn judged(change: impl FnOnce(&mut Vec<StoredMessage>, &mut Notes)) -> Vec<(Sort, &'static str)> {
    let mut stored: Vec<_> =
        (1..=6).map(|seq| entry(seq, if seq % 2 == 0 { "ann" } else { "bob" })).collect();
    let (mut ann, bob) = (notes("ann", &stored), notes("bob", &stored));
    change(&mut stored, &mut ann);
    let (rooms, users) = ([room()], [user("ann"), user("bob")]);
    let witness =
        |number: usize, notes| Witness { name: "somebody", user: &users[number], rooms: &rooms, notes };
    let found = check(RULES, &BTreeMap::from([(room(), stored)]), &[witness(0, &ann), witness(1, &bob)]);
    found.into_iter().map(|finding| (finding.sort, finding.guarantee)).collect()
}

#[tokio::test]
async fn a_good_run_has_no_findings() {
    assert_eq!(judged(|_, _| {}), []);
}

#[tokio::test]
async fn every_sabotage_is_found() {
    for (sabotage, expected) in [
        (Sabotage::Drop, (Sort::Loss, "G5")),
        (Sabotage::Double, (Sort::Duplicate, "G5")),
        (Sabotage::Swap, (Sort::Disorder, "G3")),
        (Sabotage::Invent, (Sort::Loss, "G1")),
    ] {
        let found = judged(|_, ann| sabotage.apply(ann));
        assert!(found.contains(&expected), "{sabotage:?}: {found:?}");
    }
}

#[tokio::test]
async fn what_the_store_lost_doubled_or_changed_is_found() {
    // The tail is gone, with what was acknowledged.
    assert!(judged(|stored, _| drop(stored.pop())).contains(&(Sort::Loss, "G1")));
    // A hole in the middle.
    assert!(judged(|stored, _| drop(stored.remove(2))).contains(&(Sort::Disorder, "G3")));
    let twice = judged(|stored, _| {
        stored.push(entry(7, "ann"));
        stored[6].client_id = stored[5].client_id.clone();
    });
    assert!(twice.contains(&(Sort::Duplicate, "G2")), "{twice:?}");
    let changed = judged(|_, ann| ann.seen[3].text = Some("something else".to_owned()));
    assert_eq!(changed, [(Sort::Disorder, "G3")]);
    let unsafely = judged(|_, ann| ann.acks[0].durability = Some("volatile".to_owned()));
    assert_eq!(unsafely, [(Sort::Other, "G1")]);
    let unanswered = judged(|_, ann| drop(ann.acks.pop()));
    assert_eq!(unanswered, [(Sort::Other, "G1")]);
}

#[tokio::test]
async fn what_the_server_said_it_passes_over_is_no_loss() {
    let skipped = judged(|_, ann| {
        ann.seen.drain(2..4);
        let (after, up_to) = (Seq::new(2).unwrap(), Seq::new(4).unwrap());
        ann.skips.push(crate::notes::Skip { room: room(), after, up_to });
    });
    assert_eq!(skipped, []);
}
