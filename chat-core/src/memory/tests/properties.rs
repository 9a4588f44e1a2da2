//! Random histories against naive models.

use std::collections::BTreeMap;

use futures::FutureExt;
use proptest::prelude::*;

use super::{Fixture, now, room, user};
use crate::{
    AppendOutcome, Authority, Body, Content, Error, MemberChange, MessageId, Page, ReactionKey, ReactionOp,
    ReadQuery, Refusal, Role, Storage as _, View,
};

/// One thing done to a room of three users, by number.
#[derive(Debug, Clone, Copy)]
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
