//! The judge can tell: made-up histories, and what is done to them is found.

use chat_core::{Cursor, Draft, Epoch, Position, Timestamp};

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
                text: text_of(entry).unwrap(),
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

/// Ann and Bob have said six things; this is found when Ann's notes or the log are changed.
fn judged(change: impl FnOnce(&mut Vec<StoredMessage>, &mut Notes)) -> Vec<(Sort, &'static str)> {
    judged_of(6, change)
}

fn judged_of(
    entries: u64,
    change: impl FnOnce(&mut Vec<StoredMessage>, &mut Notes),
) -> Vec<(Sort, &'static str)> {
    let mut stored: Vec<_> =
        (1..=entries).map(|seq| entry(seq, if seq % 2 == 0 { "ann" } else { "bob" })).collect();
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
        let found = judged(|_, ann| sabotage.apply(ann).unwrap());
        assert!(found.contains(&expected), "{sabotage:?}: {found:?}");
    }
}

#[tokio::test]
async fn another_text_than_was_sent_is_found() {
    let swapped = |stored: &mut Vec<StoredMessage>, ann: &mut Notes| {
        let (one, other) = (stored[1].content.clone(), stored[3].content.clone());
        (stored[1].content, stored[3].content) = (other, one);
        // What was given is what is stored: nothing but what was sent differs from it.
        for (seen, stored) in ann.seen.iter_mut().zip(stored) {
            seen.text = text_of(stored);
        }
    };
    assert!(judged(swapped).contains(&(Sort::Other, "G1")));
}

#[tokio::test]
async fn too_little_to_falsify_is_said() {
    Sabotage::Drop.apply(&mut Notes::default()).unwrap_err();
}

#[tokio::test]
async fn who_only_reads_is_a_witness_too() {
    for (sabotage, expected) in [
        (Sabotage::Drop, (Sort::Loss, "G5")),
        (Sabotage::Double, (Sort::Duplicate, "G5")),
        (Sabotage::Swap, (Sort::Disorder, "G3")),
        (Sabotage::Invent, (Sort::Loss, "G1")),
    ] {
        let stored: Vec<_> = (1..=6).map(|seq| entry(seq, "bob")).collect();
        let (bob, mut eve) = (notes("bob", &stored), notes("eve", &stored));
        assert!(eve.acks.is_empty());
        sabotage.apply(&mut eve).unwrap();
        let (rooms, users) = ([room()], [user("bob"), user("eve")]);
        let witnesses = [("bob", &users[0], &bob), ("eve", &users[1], &eve)]
            .map(|(name, user, notes)| Witness { name, user, rooms: &rooms, notes });
        let found = check(RULES, &BTreeMap::from([(room(), stored)]), &witnesses);
        crate::sabotage::was_noticed("eve", &found).unwrap();
        crate::sabotage::was_noticed("bob", &found).unwrap_err();
        assert!(found.iter().any(|one| (one.sort, one.guarantee) == expected), "{sabotage:?}: {found:?}");
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

/// Everybody has said `entries` things, and Ann was sent a page in place of what lies between the second and `up_to`, where the log went
/// to `head` by the page's own account.
fn judged_with_a_page(entries: u64, up_to: u64, head: u64) -> Vec<(Sort, &'static str)> {
    judged_of(entries, |_, ann| {
        let (after, up_to, head) = (Seq::new(2).unwrap(), Seq::new(up_to).unwrap(), Seq::new(head).unwrap());
        ann.seen.retain(|seen| {
            let seq = seen.cursor.as_ref().unwrap().seq;
            seq <= after || seq > up_to
        });
        ann.skips.push(Skip { room: room(), after, up_to, head });
    })
}

#[tokio::test]
async fn a_page_in_place_of_more_than_is_sent_again_is_no_loss() {
    let head = 2 + Settings::REPLAY_LIMIT + 1;
    assert_eq!(judged_with_a_page(head, head - 1, head), []);
    // More has come since.
    assert_eq!(judged_with_a_page(head + 5, head - 1, head), []);
}

#[tokio::test]
async fn a_page_in_place_of_what_has_to_be_sent_again_is_a_loss() {
    let lost = [(Sort::Loss, "G5")];
    assert_eq!(judged_with_a_page(6, 4, 6), lost);
    let head = 2 + Settings::REPLAY_LIMIT;
    assert_eq!(judged_with_a_page(head, head - 1, head), lost);
    // It was so when the page was sent, or the page says that there is more than there is.
    assert_eq!(judged_with_a_page(head + 5, head - 1, head), lost);
    assert_eq!(judged_with_a_page(head, head - 1, head + 5), lost);
}
