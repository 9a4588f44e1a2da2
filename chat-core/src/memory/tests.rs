//! What is special to this backend: its structures against a naive model, and restoring.

use std::{collections::BTreeMap, sync::Arc};

use futures::FutureExt;
use proptest::prelude::*;

use super::{MemoryStore, test_clock::TestClock};
use crate::{
    AppendOutcome, Authority, Body, ClientMessageId, Content, Cursor, Draft, Error, Member, MemberChange,
    MemberOutcome, MessageId, NewRoom, Page, ReactionKey, ReactionOp, ReadFrom, ReadQuery, Refusal, Result,
    Retention, Role, RoomId, Seq, Timestamp, UserId, View, rooms::RoomSummary, search::SearchQuery,
};

/// Nothing in memory ever waits.
fn now<T>(call: impl Future<Output = Result<T>>) -> T {
    call.now_or_never().expect("waited").unwrap()
}

fn now_err<T: std::fmt::Debug>(call: impl Future<Output = Result<T>>) -> Error {
    call.now_or_never().expect("waited").unwrap_err()
}

fn room() -> RoomId {
    RoomId::new("r").unwrap()
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

/// A room with members, and short words for what is done to it.
struct Fixture {
    store: MemoryStore,
    clock: Arc<TestClock>,
    drafts: u64,
}

impl Fixture {
    fn new(members: &[&str]) -> Self {
        let clock = Arc::new(TestClock::at(Timestamp::from_secs(1_000)));
        let store = MemoryStore::with_clock(clock.clone());
        now(store.rooms().create(NewRoom::new(room())));
        for name in members {
            now(store.rooms().change_member(&room(), MemberChange::add(user(name), Role::Member)));
        }
        Self { store, clock, drafts: 0 }
    }

    fn draft(&mut self, sender: &str, content: Content) -> Draft {
        self.drafts += 1;
        Draft::new(room(), user(sender), ClientMessageId::new(&format!("m{}", self.drafts)).unwrap(), content)
    }

    fn append(&self, draft: &Draft) -> AppendOutcome {
        now(self.store.message_log().append(std::slice::from_ref(draft))).remove(0)
    }

    fn send(&mut self, sender: &str, content: Content) -> MessageId {
        let draft = self.draft(sender, content);
        match self.append(&draft) {
            AppendOutcome::New(position) => position.id,
            other => panic!("{other:?}"),
        }
    }

    fn read(&self, query: ReadQuery) -> Page {
        now(self.store.message_log().read(&room(), query))
    }

    fn trim_to(&self, entries: u64) {
        let retention = Retention { max_entries: Some(entries), not_before: None };
        now(self.store.message_log().trim(&room(), retention));
    }

    fn cursor(&self, number: u64) -> Cursor {
        Cursor::new(self.store.lock().epoch.clone(), seq(number))
    }

    fn unread(&self, name: &str) -> u64 {
        now(self.store.rooms().unread(&user(name), &[room()])).remove(0)
    }

    fn summary(&self, name: &str) -> Option<RoomSummary> {
        now(self.store.rooms().rooms_of(&user(name), None, 10)).rooms.pop()
    }

    fn found(&self, name: &str, text: &str) -> Vec<MessageId> {
        let page = now(self.store.search().search(SearchQuery::new(user(name), text)));
        page.messages.into_iter().map(|message| message.position.id).collect()
    }
}

/// One thing done to a room of three users, by number.
#[derive(Debug, Clone)]
enum Step {
    Send { user: usize, system: bool, kind: u8 },
    Delete { user: usize, target: prop::sample::Index },
    Edit { user: usize, target: prop::sample::Index },
    Mark { user: usize, at: prop::sample::Index },
    Trim { keep: prop::sample::Index },
    Leave { user: usize },
    Join { user: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let index = || any::<prop::sample::Index>();
    prop_oneof![
        8 => (0..3usize, prop::bool::weighted(0.1), 0..6u8)
            .prop_map(|(user, system, kind)| Step::Send { user, system, kind }),
        3 => (0..3usize, index()).prop_map(|(user, target)| Step::Delete { user, target }),
        1 => (0..3usize, index()).prop_map(|(user, target)| Step::Edit { user, target }),
        3 => (0..3usize, index()).prop_map(|(user, at)| Step::Mark { user, at }),
        1 => index().prop_map(|keep| Step::Trim { keep }),
        1 => (0..3usize).prop_map(|user| Step::Leave { user }),
        2 => (0..3usize).prop_map(|user| Step::Join { user }),
    ]
}

const USERS: [&str; 3] = ["ann", "bob", "cy"];

/// The naive model: every entry ever, and marks.
#[derive(Default)]
struct Model {
    /// Sender, can be a target, counts, is deleted, and the id.
    entries: Vec<(usize, bool, bool, bool, MessageId)>,
    kept_from: usize,
    marks: BTreeMap<usize, (bool, usize)>,
}

impl Model {
    fn unread(&self, user: usize) -> u64 {
        let Some((true, read)) = self.marks.get(&user) else { return 0 };
        let unread = |(index, entry): &(usize, &(usize, bool, bool, bool, MessageId))| {
            *index >= self.kept_from && *index >= *read && entry.0 != user && entry.2 && !entry.3
        };
        self.entries.iter().enumerate().filter(unread).count() as u64
    }

    fn target(&self, target: prop::sample::Index) -> Option<usize> {
        (!self.entries.is_empty()).then(|| target.index(self.entries.len()))
    }
}

fn apply(fixture: &mut Fixture, model: &mut Model, step: Step) {
    let (user_number, system, content, deletes) = match step {
        Step::Mark { user: who, at } => {
            let at = at.index(model.entries.len() + 1);
            let call = fixture.store.rooms();
            let cursor = fixture.cursor(at as u64);
            let answer = call.mark_read(&room(), &user(USERS[who]), &cursor).now_or_never().unwrap();
            match model.marks.get_mut(&who) {
                Some((true, read)) => {
                    *read = at.max(*read);
                    assert_eq!(answer.unwrap().cursor.seq.get(), *read as u64);
                }
                _ => assert!(matches!(answer, Err(Error::NotAMember { .. }))),
            }
            return;
        }
        Step::Trim { keep } => {
            let kept = keep.index(model.entries.len() - model.kept_from + 1);
            fixture.trim_to(kept as u64);
            model.kept_from = model.entries.len() - kept;
            return;
        }
        Step::Leave { user: who } => {
            now(fixture.store.rooms().change_member(&room(), MemberChange::remove(user(USERS[who]))));
            if let Some(mark) = model.marks.get_mut(&who) {
                mark.0 = false;
            }
            return;
        }
        Step::Join { user: who } => {
            now(fixture
                .store
                .rooms()
                .change_member(&room(), MemberChange::add(user(USERS[who]), Role::Member)));
            let mark = model.marks.entry(who).or_default();
            if !mark.0 {
                *mark = (true, model.entries.len());
            }
            return;
        }
        Step::Send { user: who, system, kind } => {
            let content = match kind {
                0 => Content::Join { user: user(USERS[who]) },
                1 => Content::Custom {
                    name: crate::CustomKind::new("poll").unwrap(),
                    body: Body::text("which?"),
                },
                _ => Content::text("hello"),
            };
            (who, system, content, None)
        }
        Step::Delete { user: who, target } => {
            let Some(target) = model.target(target) else { return };
            (who, false, Content::Delete { target: model.entries[target].4 }, Some(target))
        }
        Step::Edit { user: who, target } => {
            let Some(target) = model.target(target) else { return };
            (
                who,
                false,
                Content::Edit { target: model.entries[target].4, body: Body::text("new") },
                Some(target),
            )
        }
    };
    let is_delete = matches!(content, Content::Delete { .. });
    let is_said = matches!(content, Content::Chat { .. } | Content::Custom { .. });
    let mut draft = fixture.draft(USERS[user_number], content);
    if system {
        draft = draft.with_authority(Authority::System);
    }
    let outcome = fixture.append(&draft);
    let member = model.marks.get(&user_number).is_some_and(|mark| mark.0);
    let target = deletes.map(|target| (target, model.entries[target]));
    match (outcome, target) {
        (AppendOutcome::New(position), _) => {
            assert!(member || system);
            if let Some((index, (sender, is_target, _, deleted, _))) = target {
                assert!(index >= model.kept_from && is_target && !deleted && sender == user_number);
                model.entries[index].3 |= is_delete;
            }
            model.entries.push((user_number, is_said, is_said && !system, false, position.id));
            assert_eq!(position.cursor.seq.get(), model.entries.len() as u64);
        }
        (AppendOutcome::Refused(Refusal::NotAMember), _) => assert!(!member && !system),
        (AppendOutcome::Refused(Refusal::TargetNotOwn), Some((_, (sender, ..)))) => {
            assert_ne!(sender, user_number)
        }
        (AppendOutcome::Refused(Refusal::TargetMissing), Some((index, (_, is_target, _, deleted, _)))) => {
            assert!(index < model.kept_from || !is_target || deleted);
        }
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn unread_is_what_a_naive_count_gives(steps in prop::collection::vec(step(), 1..120)) {
        let mut fixture = Fixture::new(&[]);
        let mut model = Model::default();
        for step in steps {
            apply(&mut fixture, &mut model, step);
            for (number, name) in USERS.iter().enumerate() {
                prop_assert_eq!(fixture.unread(name), model.unread(number));
                prop_assert_eq!(fixture.summary(name).map_or(0, |summary| summary.unread), model.unread(number));
            }
        }
    }

    #[test]
    fn pages_in_either_direction_join_up_to_the_whole_view(
        entries in prop::collection::vec(0..2u8, 0..40),
        trimmed in 0..50u64,
        limit in 1..9usize,
        timeline in any::<bool>(),
    ) {
        let mut fixture = Fixture::new(&["ann"]);
        let mut said = None;
        for kind in &entries {
            match said {
                Some(target) if *kind == 1 => {
                    let key = ReactionKey::new("+1").unwrap();
                    fixture.send("ann", Content::Reaction { target, key, op: ReactionOp::Add });
                }
                _ => said = Some(fixture.send("ann", Content::text("hello"))),
            }
        }
        let last = entries.len() as u64;
        fixture.trim_to(trimmed.max(1));
        let view = if timeline { View::Timeline } else { View::Log };
        let head = fixture.read(ReadQuery::newest()).head;
        let whole: Vec<_> = (head.oldest.get()..=last).filter(|number| {
            let before = fixture.cursor(number - 1);
            let entry = &fixture.read(ReadQuery::after(before).with_limit(1)).entries[0];
            !timeline || entry.content.kind().in_timeline()
        }).collect();
        let seqs = |page: &Page| page.entries.iter().map(|entry| entry.seq().get()).collect::<Vec<_>>();

        let mut forward = Vec::new();
        let mut at = fixture.cursor(head.oldest.get() - 1);
        loop {
            let page = fixture.read(ReadQuery::after(at.clone()).with_view(view).with_limit(limit));
            prop_assert_eq!(page.reaches_start, forward.is_empty());
            forward.extend(seqs(&page));
            if page.reaches_head { break }
            prop_assert_eq!(page.entries.len(), limit);
            at = page.entries.last().unwrap().position.cursor.clone();
        }
        prop_assert_eq!(&forward, &whole);

        let mut backward = Vec::new();
        let mut page = fixture.read(ReadQuery::newest().with_view(view).with_limit(limit));
        prop_assert!(page.reaches_head);
        loop {
            backward.splice(0..0, seqs(&page));
            if page.reaches_start { break }
            let first = page.entries[0].position.cursor.clone();
            page = fixture.read(ReadQuery::before(first).with_view(view).with_limit(limit));
            prop_assert!(!page.reaches_head);
        }
        prop_assert_eq!(&backward, &whole);
    }
}

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
