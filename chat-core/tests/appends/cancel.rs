//! Every await point of append, send, connect, join and next is a place where the caller may be dropped.

use std::time::Duration;

use chat_core::{
    AppendOutcome, ClientMessageId, Event, JoinRequest, auth::Credentials, memory::MemoryFanout,
    session::JoinOutcome,
};

use crate::support::{
    TestLog, builder, client_ids, draft, entries, poll_and_drop, room, settings, store, user,
};

/// More polls than any of the calls needs, which each test sees by their being done.
const MOST_POLLS: usize = 60;

#[tokio::test(start_paused = true)]
async fn an_append_dropped_at_any_point_is_stored_once_when_it_is_sent_again() {
    let mut done = 0;
    for polls in 0..MOST_POLLS {
        let store = store(&["ann", "bob"]).await;
        let chat = builder(&store, &MemoryFanout::new()).log(TestLog::new(&store)).build().unwrap();
        done += usize::from(poll_and_drop(chat.append(draft("ann", "c1")), polls).await.is_some());
        // Another sender, and the same one's next message, are not affected.
        assert!(matches!(chat.append(draft("bob", "b1")).await, Ok(AppendOutcome::New(_))));
        let again = chat.append(draft("ann", "c1")).await.unwrap();
        assert!(
            matches!(again, AppendOutcome::New(_) | AppendOutcome::Duplicate(_)),
            "{polls} polls: {again:?}"
        );
        assert!(matches!(chat.append(draft("ann", "c2")).await, Ok(AppendOutcome::New(_))));
        let mut stored = client_ids(&store).await;
        assert!(stored.iter().position(|id| id == "c1") < stored.iter().position(|id| id == "c2"));
        stored.sort();
        assert_eq!(stored, ["b1", "c1", "c2"], "{polls} polls");
    }
    assert!(done > 0, "no number of polls was enough");
}

#[tokio::test(start_paused = true)]
async fn a_send_dropped_at_any_point_is_stored_once_when_it_is_sent_again() {
    let mut done = 0;
    for polls in 0..MOST_POLLS {
        let store = store(&["ann"]).await;
        let chat = builder(&store, &MemoryFanout::new()).log(TestLog::new(&store)).build().unwrap();
        let (session, _events) = chat.connect(&Credentials::token("ann")).await.unwrap();
        let actor = session.actor().unwrap();
        let id = ClientMessageId::new("c1").unwrap();
        done += usize::from(poll_and_drop(actor.send_text(&room(), id.clone(), "c1"), polls).await.is_some());
        actor.send_text(&room(), id, "c1").await.unwrap();
        assert_eq!(client_ids(&store).await, ["c1"], "{polls} polls");
    }
    assert!(done > 0, "no number of polls was enough");
}

#[tokio::test(start_paused = true)]
async fn a_join_dropped_at_any_point_leaves_nothing_and_can_be_made_again() {
    let mut done = 0;
    for polls in 0..MOST_POLLS {
        let store = store(&["ann"]).await;
        let fanout = MemoryFanout::new();
        let chat = builder(&store, &fanout).log(TestLog::new(&store)).build().unwrap();
        chat.append(draft("ann", "before")).await.unwrap();
        let epoch = entries(&store).await[0].position.cursor.epoch.clone();
        let cursor: chat_core::Cursor = format!("{epoch}.0").parse().unwrap();
        let (session, mut events) = chat.connect(&Credentials::token("ann")).await.unwrap();
        let request = JoinRequest::new(room()).after(cursor);
        done += usize::from(poll_and_drop(session.join(request.clone().with_tag(1)), polls).await.is_some());
        session.join(request.with_tag(2)).await.unwrap();
        chat.append(draft("ann", "after")).await.unwrap();

        // From the second join on: everything after the cursor, once.
        let mut seqs = Vec::new();
        while seqs.last() != Some(&2) {
            match events.next().await.unwrap() {
                Event::Joined(joined) => {
                    assert!(matches!(joined.outcome, JoinOutcome::Recovered));
                    seqs.clear();
                }
                Event::Entry(entry) => seqs.push(entry.value().seq().get()),
                _ => {}
            }
        }
        assert_eq!(seqs, [1, 2], "{polls} polls");
        drop((session, events));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(fanout.topics(), 0, "{polls} polls: a room is followed for nobody");
    }
    assert!(done > 0, "no number of polls was enough");
}

#[tokio::test(start_paused = true)]
async fn a_connect_dropped_at_any_point_leaves_no_session() {
    let mut done = 0;
    for polls in 0..MOST_POLLS {
        let store = store(&["ann"]).await;
        let fanout = MemoryFanout::new();
        let chat = builder(&store, &fanout).build().unwrap();
        done += usize::from(poll_and_drop(chat.connect(&Credentials::token("ann")), polls).await.is_some());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(chat.session_count(), 0, "{polls} polls");
        assert_eq!(fanout.topics(), 0, "{polls} polls");
        let presence = chat.system(user("s")).presence(&[user("ann")]).await.unwrap();
        assert!(!presence[0].online, "{polls} polls");
    }
    assert!(done > 0, "no number of polls was enough");
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_events_dropped_at_any_point_loses_and_doubles_nothing() {
    for polls in 0..12 {
        let store = store(&["ann"]).await;
        let mut small = settings();
        // So that most of it comes from the log.
        small.room_buffer_entries = 3;
        let chat =
            builder(&store, &MemoryFanout::new()).log(TestLog::new(&store)).settings(small).build().unwrap();
        let (session, mut events) = chat.connect(&Credentials::token("ann")).await.unwrap();
        session.join(JoinRequest::new(room())).await.unwrap();
        for n in 1..=20 {
            chat.append(draft("ann", &format!("c{n}"))).await.unwrap();
        }
        let mut seqs = Vec::new();
        while seqs.len() < 20 {
            let event = match poll_and_drop(events.next(), polls).await {
                Some(event) => event,
                // Whatever it was doing goes on from where it was.
                None => events.next().await,
            };
            if let Some(Event::Entry(entry)) = event {
                seqs.push(entry.value().seq().get());
            }
        }
        assert_eq!(seqs, (1..=20).collect::<Vec<_>>(), "{polls} polls");
    }
}
