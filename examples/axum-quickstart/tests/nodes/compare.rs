//! What clients saw, next to what is stored.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chat_core::{Cursor, Epoch, MessageId, MessageLog, ReadQuery, RoomId, Seq, StoredMessage, UserId};
use chat_simulation::History;

use crate::{client::Client, notes::Notes};

/// What one client saw. A `hot` log answers before it is stored, and what it loses of that has to be told.
pub(crate) fn compare(
    history: &History,
    client: &Client,
    rooms: &[RoomId],
    stored: &[Vec<StoredMessage>],
    hot: bool,
) {
    let user: UserId = UserId::new(&client.guest.user).unwrap();
    let notes = client.notes();
    let mut heard = Notes::default();
    heard.acks.clone_from(&notes.acks);
    heard.entries.clone_from(&notes.entries);
    let ids: BTreeSet<MessageId> = stored.iter().flatten().map(|entry| entry.position.id).collect();
    if hot {
        told_of_losses(history, &user, &notes, &ids);
        heard.acks.retain(|ack| ids.contains(&ack.position.id));
        // The lives of a hot log are its own: the database counts on in one.
        let epochs: BTreeMap<&RoomId, &Epoch> =
            rooms.iter().zip(stored.iter().map(|entries| &entries[0].position.cursor.epoch)).collect();
        let acks = heard.acks.iter_mut().map(|ack| (&ack.room, &mut ack.position));
        let entries = heard.entries.iter_mut().map(|entry| (&entry.room, &mut entry.position));
        acks.chain(entries).for_each(|(room, position)| position.cursor.epoch = epochs[room].clone());
    }
    for ack in &heard.acks {
        history.acknowledged(&ack.room, &user, &ack.client_id, &ack.position);
        if ack.durability != if hot { "accepted" } else { "persisted" } {
            history.violation("G1", format!("{ack:?}"));
        }
    }
    for entry in &heard.entries {
        history.applied(&user, entry, Duration::ZERO);
    }
    for problem in &notes.problems {
        history.violation("G5", format!("{user}: {problem}"));
    }
    for (room, stored) in rooms.iter().zip(stored) {
        let seqs: Vec<u64> =
            heard.entries.iter().filter(|entry| entry.room == *room).map(|entry| entry.seq().get()).collect();
        let since = notes.since[room].seq.get();
        if seqs != (since + 1..=stored.len() as u64).collect::<Vec<_>>() {
            history.violation("G5", format!("{user} was given {seqs:?} of {room} after {since}"));
        }
        // What is stored of this person was also answered, and the other way round.
        let own = |entry: &&StoredMessage| entry.sender == user && entry.is_countable();
        let there: BTreeSet<_> = stored.iter().filter(own).map(|entry| &entry.client_id).collect();
        let answered: BTreeSet<_> =
            heard.acks.iter().filter(|ack| ack.room == *room).map(|ack| &ack.client_id).collect();
        if there != answered {
            let differ: Vec<_> = there.symmetric_difference(&answered).collect();
            history.violation("G1", format!("{user} in {room}: stored or answered, not both: {differ:?}"));
        }
    }
}

/// Whoever had seen something that was lost was told to begin anew, and nobody else was.
fn told_of_losses(history: &History, user: &UserId, notes: &Notes, ids: &BTreeSet<MessageId>) {
    let mut answers = 0;
    for (place, ack) in notes.acks.iter().enumerate().filter(|(_, ack)| !ids.contains(&ack.position.id)) {
        answers += 1;
        if !notes.resets.iter().any(|reset| reset.room == ack.room && place < reset.acks) {
            history.violation("G1", format!("{user} was not told that {ack:?} was lost"));
        }
    }
    for reset in &notes.resets {
        let lost = reset.forgotten.iter().filter(|entry| !ids.contains(&entry.position.id)).count();
        if lost == 0 {
            let (room, seen) = (&reset.room, reset.forgotten.len());
            history
                .violation("G5", format!("{user} had to forget {seen} entries of {room}, and none was lost"));
        }
    }
    if !notes.resets.is_empty() {
        println!("{user} was told of losses {} times; {answers} answers were lost", notes.resets.len());
    }
}

pub(crate) async fn whole_log(log: &dyn MessageLog, room: &RoomId) -> Vec<StoredMessage> {
    let head = log.heads(std::slice::from_ref(room)).await.unwrap().remove(0).unwrap();
    let mut after = Cursor::new(head.cursor.epoch, Seq::ZERO);
    let mut entries: Vec<StoredMessage> = Vec::new();
    loop {
        let page = log.read(room, ReadQuery::after(after).with_limit(1_000)).await.unwrap();
        entries.extend(page.entries);
        after = entries.last().unwrap().position.cursor.clone();
        if page.reaches_head {
            return entries;
        }
    }
}
