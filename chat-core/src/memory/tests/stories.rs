//! Single stories, told in full.

use super::{Fixture, now, now_err, room, seq, user};
use crate::{
    AppendOutcome, Body, ClientMessageId, Content, Error, Member, MemberChange, MemberOutcome, NewRoom,
    ReactionKey, ReactionOp, ReadFrom, ReadQuery, Refusal, Retention, Role, RoomId, Storage as _, Timestamp,
    UserId, View, search::SearchQuery,
};

#[test]
fn restoring_begins_a_new_epoch_with_the_older_content() {
    let mut fixture = Fixture::new(&["ann", "bob"]);
    fixture.send("ann", Content::text("one"));
    let snapshot = fixture.store.snapshot();
    let lost = fixture.draft("ann", Content::text("two"));
    let AppendOutcome::New(lost_at) = fixture.append(&lost) else { panic!() };
    let (before, after) = (fixture.cursor(1), lost_at.cursor.clone());
    fixture.store.restore(&snapshot);
    let log = fixture.store.message_log();
    for old in [before, after] {
        let error = now_err(log.read(&room(), ReadQuery::after(old.clone())));
        assert!(matches!(error, Error::CursorReset { current, .. } if current == fixture.cursor(1)));
        assert!(matches!(
            now_err(log.read(&room(), ReadQuery::before(old.clone()))),
            Error::CursorReset { .. }
        ));
        let marked = now_err(fixture.store.rooms().mark_read(&room(), &user("bob"), &old));
        assert!(matches!(marked, Error::CursorReset { .. }));
    }
    assert_eq!(fixture.unread("bob"), 1);
    // The lost message is unknown again, and its retry takes the position a second time, in the new epoch.
    let AppendOutcome::New(again) = fixture.append(&lost) else { panic!() };
    assert_eq!(again.cursor, fixture.cursor(2));
    assert_ne!(again.cursor, lost_at.cursor);
    // A snapshot stays what it was.
    fixture.store.restore(&snapshot);
    assert_eq!(fixture.read(ReadQuery::newest()).entries.len(), 1);
}

#[test]
fn deleting_takes_the_words_from_the_message_and_its_edits_for_good() {
    let mut fixture = Fixture::new(&["ann"]);
    let target = fixture.send("ann", Content::text("secret one"));
    fixture.send("ann", Content::Edit { target, body: Body::text("secret two") });
    assert_eq!(fixture.found("ann", "TWO"), [target]);
    assert_eq!(fixture.found("ann", "one"), []);
    fixture.send("ann", Content::Delete { target });
    let all = |fixture: &Fixture| format!("{:?}", fixture.read(ReadQuery::newest()).entries);
    assert!(!all(&fixture).contains("secret"));
    assert_eq!(fixture.found("ann", "secret"), []);
    // The target goes first; the edit must not speak again.
    fixture.trim_to(2);
    assert!(!all(&fixture).contains("secret"));
}

#[test]
fn a_trim_takes_everything_of_an_entry_and_keeps_the_head() {
    let mut fixture = Fixture::new(&["ann", "bob"]);
    let first = fixture.draft("ann", Content::text("one"));
    let AppendOutcome::New(position) = fixture.append(&first) else { panic!() };
    fixture.send("bob", Content::text("two"));
    fixture.trim_to(0);
    {
        let state = fixture.store.lock();
        let log = &state.rooms[&room()].log;
        assert_eq!(log.indexed(), 0, "nothing is left in an index");
    }
    let page = fixture.read(ReadQuery::newest());
    assert_eq!((page.head.cursor.clone(), page.head.oldest), (fixture.cursor(2), seq(3)));
    assert!(page.reaches_head && page.reaches_start && page.entries.is_empty());
    assert_eq!((fixture.unread("ann"), fixture.unread("bob")), (0, 0));
    let log = fixture.store.message_log();
    let expired = now_err(log.read(&room(), ReadQuery::after(position.cursor.clone())));
    assert!(matches!(expired, Error::CursorExpired { oldest, .. } if oldest == seq(3)));
    assert!(fixture.read(ReadQuery::before(position.cursor.clone())).entries.is_empty());
    // Its key is forgotten; ids still grow though the clock went back.
    fixture.clock.set(Timestamp::from_secs(1));
    let AppendOutcome::New(again) = fixture.append(&first) else { panic!() };
    assert_eq!(again.cursor, fixture.cursor(3));
    assert!(again.id > position.id);
}

#[test]
fn trimming_by_time_stops_at_the_first_entry_that_is_new_enough() {
    let mut fixture = Fixture::new(&["ann"]);
    for secs in [10, 30, 20, 40] {
        fixture.clock.set(Timestamp::from_secs(secs));
        fixture.send("ann", Content::text("tick"));
    }
    let trim = |not_before| {
        let retention =
            Retention { max_entries: Some(9), not_before: Some(Timestamp::from_secs(not_before)) };
        now(fixture.store.message_log().trim(&room(), retention)).oldest
    };
    assert_eq!(trim(25), seq(2));
    assert_eq!(trim(35), seq(4));
    assert_eq!(trim(50), seq(5));
}

#[test]
fn a_retry_by_somebody_who_left_a_closed_room_gets_its_first_answer() {
    let mut fixture = Fixture::new(&["ann"]);
    let draft = fixture.draft("ann", Content::text("one"));
    let AppendOutcome::New(first) = fixture.append(&draft) else { panic!() };
    now(fixture.store.rooms().change_member(&room(), MemberChange::remove(user("ann"))));
    let close = crate::RoomChange { active: Some(false), ..Default::default() };
    now(fixture.store.rooms().update(&room(), close));
    assert_eq!(fixture.append(&draft), AppendOutcome::Duplicate(first.clone()));
    let mut other = draft;
    other.content = Content::text("another");
    assert_eq!(fixture.append(&other), AppendOutcome::Conflict(first));
    other.client_id = ClientMessageId::new("new").unwrap();
    assert_eq!(fixture.append(&other), AppendOutcome::Refused(Refusal::RoomInactive));
}

#[test]
fn reactions_are_counted_in_the_order_they_came() {
    let mut fixture = Fixture::new(&["ann", "bob"]);
    let target = fixture.send("ann", Content::text("look"));
    let mut react = |who: &str, key: &str, op| {
        fixture.send(who, Content::Reaction { target, key: ReactionKey::new(key).unwrap(), op });
        let entry =
            fixture.read(ReadQuery::new(ReadFrom::Newest).with_view(View::Timeline)).entries.remove(0);
        let on = entry.state.reactions.iter().map(|on| {
            assert_eq!(on.count as usize, on.users.len());
            format!("{}:{}", on.key, on.users.iter().map(UserId::as_str).collect::<Vec<_>>().join(","))
        });
        on.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(react("bob", "A", ReactionOp::Add), "A:bob");
    assert_eq!(react("bob", "B", ReactionOp::Add), "A:bob B:bob");
    assert_eq!(react("ann", "A", ReactionOp::Add), "A:bob,ann B:bob");
    assert_eq!(react("bob", "A", ReactionOp::Add), "A:bob,ann B:bob");
    assert_eq!(react("bob", "A", ReactionOp::Remove), "A:ann B:bob");
    assert_eq!(react("bob", "A", ReactionOp::Add), "A:ann,bob B:bob");
    assert_eq!(react("bob", "B", ReactionOp::Remove), "A:ann,bob");
    assert_eq!(react("ann", "C", ReactionOp::Remove), "A:ann,bob");
}

#[test]
fn changes_of_a_membership_apply_by_version_and_not_by_arrival() {
    let fixture = Fixture::new(&[]);
    let rooms = fixture.store.rooms();
    let change = |change| now(rooms.change_member(&room(), change));
    let version = |outcome: &MemberOutcome| match outcome {
        MemberOutcome::Added(member) | MemberOutcome::Unchanged(Some(member)) => member.version,
        other => panic!("{other:?}"),
    };
    let (add, remove) =
        (|| MemberChange::add(user("ann"), Role::Member), || MemberChange::remove(user("ann")));
    // The removal overtook the addition it undoes.
    assert_eq!(change(remove().with_version(5)), MemberOutcome::Unchanged(None));
    assert_eq!(change(add().with_version(4)), MemberOutcome::Unchanged(None));
    assert_eq!(now(rooms.member(&room(), &user("ann"))), None);
    assert_eq!(version(&change(add().with_version(6))), 6);
    // It was so already, but what came before version 8 is outdated now.
    assert_eq!(version(&change(add().with_version(8))), 8);
    assert_eq!(version(&change(remove().with_version(7))), 8);
    assert!(now(rooms.member(&room(), &user("ann"))).as_ref().is_some_and(Member::is_current));
    assert!(matches!(change(remove()), MemberOutcome::Removed(member) if member.version == 9));
    assert_eq!(now(rooms.rooms_of(&user("ann"), None, 10)).rooms, []);
}

#[test]
fn search_finds_words_of_any_script_in_current_rooms_page_by_page() {
    let mut fixture = Fixture::new(&["ann", "bob"]);
    let sent: Vec<_> = ["ÉCLAIR à la crème", "ΟΔΟΣ", "plain", "more éclairs, CRÈME"]
        .map(|text| fixture.send("ann", Content::text(text)))
        .into();
    assert_eq!(fixture.found("bob", "crème éclair"), [sent[3], sent[0]]);
    assert_eq!(fixture.found("bob", "οδοσ"), [sent[1]]);
    let mut query = SearchQuery::new(user("bob"), "éclair");
    query.limit = 1;
    let search = fixture.store.search();
    let first = now(search.search(query.clone()));
    assert_eq!((first.messages[0].position.id, first.next), (sent[3], Some(sent[3])));
    query.before = first.next;
    let last = now(search.search(query.clone()));
    assert_eq!((last.messages[0].position.id, last.next), (sent[0], None));
    now(fixture.store.rooms().change_member(&room(), MemberChange::remove(user("bob"))));
    assert_eq!(fixture.found("bob", "plain"), []);
    query.room = Some(room());
    assert!(matches!(now_err(search.search(query)), Error::NotAMember { .. }));
    assert!(matches!(
        now_err(search.search(SearchQuery::new(user("ann"), " \t"))),
        Error::LimitExceeded { .. }
    ));
}

#[test]
fn a_users_rooms_come_by_latest_activity_and_equal_ones_by_id() {
    let fixture = Fixture::new(&[]);
    let rooms = fixture.store.rooms();
    for number in 0..7 {
        let id = RoomId::new(&format!("r{number}")).unwrap();
        now(rooms.create(NewRoom::new(id.clone())));
        fixture.clock.set(Timestamp::from_secs(1_000 + number / 3));
        now(rooms.change_member(&id, MemberChange::add(user("ann"), Role::Member)));
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = now(rooms.rooms_of(&user("ann"), after.as_ref(), 2));
        seen.extend(page.rooms.iter().map(|summary| summary.room.id.to_string()));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, ["r6", "r5", "r4", "r3", "r2", "r1", "r0"]);
}

#[test]
fn the_same_seed_and_clock_give_the_same_positions() {
    let run = || {
        fastrand::seed(7);
        let mut fixture = Fixture::new(&["ann"]);
        let drafts: Vec<_> = (0..5).map(|_| fixture.draft("ann", Content::text("hello"))).collect();
        let outcomes: Vec<_> = drafts.iter().map(|draft| fixture.append(draft)).collect();
        fixture.store.restore(&fixture.store.snapshot());
        (outcomes, fixture.cursor(5))
    };
    let (first, second) = (run(), run());
    assert_eq!(first, second);
    assert!(matches!(&first.0[4], AppendOutcome::New(position) if position.cursor != first.1));
}
