//! Who is a member, and what changes of it do.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    AppendOutcome, Error, Member, MemberChange, MemberOutcome, Refusal, Role, Timestamp, UserId,
    testkit::{
        LogHarness, LogNode,
        fixtures::{append, create_room, draft, room, store, user},
    },
};

pub(super) async fn change(node: &LogNode, change: MemberChange) -> MemberOutcome {
    node.rooms.change_member(&room("r"), change).await.unwrap()
}

pub(super) async fn member(node: &LogNode, name: &str) -> Option<Member> {
    node.rooms.member(&room("r"), &user(name)).await.unwrap()
}

pub(super) fn add(name: &str, role: Role) -> MemberChange {
    MemberChange::add(user(name), role)
}

pub(super) fn remove(name: &str) -> MemberChange {
    MemberChange::remove(user(name))
}

/// What a case expects of a membership: role, whether current, version.
pub(super) fn facts(member: Option<&Member>) -> Option<(Role, bool, u64)> {
    member.map(|member| (member.role, member.is_current(), member.version))
}

/// The outcome is the membership that every node then sees.
pub async fn somebody_added_is_a_member_on_every_node(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &[]).await;
    let MemberOutcome::Added(added) = change(&nodes[0], add("ann", Role::Moderator)).await else {
        panic!("not added")
    };
    assert_eq!((added.user.clone(), added.role, added.is_current()), (user("ann"), Role::Moderator, true));
    for node in &nodes {
        assert_eq!(member(node, "ann").await, Some(added.clone()));
        let page = node.rooms.members(&room("r"), None, 10).await.unwrap();
        assert_eq!((page.members, page.next), (vec![added.clone()], None));
    }
    store(&nodes[1], draft("r", "ann", "c1", "hello")).await;
}

/// The time of joining stays.
pub async fn a_new_role_leaves_the_rest_of_the_membership(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    let before = member(&nodes[0], "ann").await.unwrap();
    for role in [Role::Reader, Role::Owner, Role::Moderator, Role::Member] {
        let MemberOutcome::RoleChanged(changed) = change(&nodes[0], add("ann", role)).await else {
            panic!("no new role")
        };
        assert_eq!((changed.role, changed.joined_at, changed.left_at), (role, before.joined_at, None));
        assert_eq!(member(&nodes[1], "ann").await, Some(changed));
    }
}

/// [`Rooms::member`](crate::Rooms::member) answers the past membership; lists do not.
pub async fn somebody_removed_is_a_past_member_who_is_still_known(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann", "bob"]).await;
    let before = member(&nodes[0], "ann").await.unwrap();
    let MemberOutcome::Removed(removed) = change(&nodes[0], remove("ann")).await else {
        panic!("not removed")
    };
    assert_eq!((removed.role, removed.joined_at), (before.role, before.joined_at));
    assert!(removed.left_at.is_some_and(|left| left >= removed.joined_at));
    for node in &nodes {
        assert_eq!(member(node, "ann").await, Some(removed.clone()));
        let members = node.rooms.members(&room("r"), None, 10).await.unwrap().members;
        assert_eq!(members.iter().map(|member| member.user.clone()).collect::<Vec<_>>(), [user("bob")]);
        let listed = node.rooms.rooms_of(&user("ann"), None, 10).await.unwrap().rooms;
        assert_eq!(listed, []);
    }
}

/// With its own time of joining and without an end.
pub async fn coming_back_is_a_new_membership(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    let first = member(&nodes[0], "ann").await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    change(&nodes[1], remove("ann")).await;
    let MemberOutcome::Added(again) = change(&nodes[0], add("ann", Role::Reader)).await else {
        panic!("not added")
    };
    assert_eq!((again.role, again.left_at), (Role::Reader, None));
    assert!(again.joined_at > first.joined_at, "{again:?}");
    assert!(again.version > first.version);
    assert_eq!(member(&nodes[1], "ann").await, Some(again));
    store(&nodes[1], draft("r", "ann", "c1", "back")).await;
}

/// In the list of rooms as well; a membership that is there stays as it is, and none begins in the future.
pub async fn a_membership_that_is_taken_over_began_when_it_did(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["bob"]).await;
    let bob = member(&nodes[0], "bob").await.unwrap();
    let since = Timestamp::from_secs(1_000_000_000);
    change(&nodes[0], add("ann", Role::Member).with_since(since)).await;
    change(&nodes[1], add("bob", Role::Moderator).with_since(since)).await;
    let later = bob.joined_at.after(Duration::from_hours(24));
    change(&nodes[0], add("cy", Role::Member).with_since(later)).await;
    let ann = member(&nodes[1], "ann").await.unwrap();
    assert_eq!((ann.joined_at, ann.left_at), (since, None));
    let listed = nodes[1].rooms.rooms_of(&user("ann"), None, 1).await.unwrap().rooms.remove(0);
    assert_eq!(listed.activity, since);
    assert_eq!(member(&nodes[0], "bob").await.unwrap().joined_at, bob.joined_at);
    assert!(member(&nodes[0], "cy").await.unwrap().joined_at < later);
    change(&nodes[0], remove("ann").with_since(since.after(Duration::from_secs(5)))).await;
    let left = member(&nodes[1], "ann").await.unwrap();
    assert_eq!((left.joined_at, left.left_at), (since, Some(Timestamp::from_secs(1_000_000_005))));
    change(&nodes[1], add("ann", Role::Member).with_since(since)).await;
    assert_eq!(member(&nodes[0], "ann").await.unwrap().joined_at, since);
}

/// The same role again, and a second removal.
pub async fn asking_for_what_is_so_already_changes_nothing(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann"]).await;
    let unchanged = |outcome: MemberOutcome| match outcome {
        MemberOutcome::Unchanged(Some(member)) => (member.role, member.joined_at, member.left_at),
        other => panic!("{other:?}"),
    };
    let before = member(node, "ann").await.unwrap();
    let again = unchanged(change(node, add("ann", Role::Member)).await);
    assert_eq!(again, (Role::Member, before.joined_at, None));
    change(node, remove("ann")).await;
    let gone = member(node, "ann").await.unwrap();
    assert_eq!(unchanged(change(node, remove("ann")).await), (gone.role, gone.joined_at, gone.left_at));
}

/// And leaves no membership behind.
pub async fn removing_somebody_who_never_was_a_member_changes_nothing(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &[]).await;
    assert_eq!(change(node, remove("ann")).await, MemberOutcome::Unchanged(None));
    assert_eq!(member(node, "ann").await, None);
    assert!(matches!(change(node, add("ann", Role::Member)).await, MemberOutcome::Added(_)));
}

/// One caller is told that the user was added; the others that it was so already.
pub async fn additions_at_once_add_once(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &[]).await;
    let calls: Vec<_> = (0..16)
        .zip(nodes.iter().cycle().cloned())
        .map(|(_, node)| tokio::spawn(async move { change(&node, add("ann", Role::Member)).await }))
        .collect();
    let mut added = 0;
    for call in calls {
        match call.await.unwrap() {
            MemberOutcome::Added(_) => added += 1,
            MemberOutcome::Unchanged(Some(member)) => assert!(member.is_current()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(added, 1);
}

/// Neither leaves nor takes another role, until there is another owner or nobody else.
pub async fn the_only_owner_of_others_stays_where_an_owner_is_kept(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["bob"]).await;
    change(&nodes[0], add("ann", Role::Owner)).await;
    let keeping = |change: MemberChange| change.keeping_an_owner();
    for lost in [remove("ann"), add("ann", Role::Moderator), remove("ann").with_version(9)] {
        let refused = nodes[1].rooms.change_member(&room("r"), keeping(lost.clone())).await;
        assert!(matches!(&refused, Err(Error::LastOwner { room: named }) if *named == room("r")), "{lost:?}");
        assert_eq!(facts(member(&nodes[0], "ann").await.as_ref()), Some((Role::Owner, true, 1)));
    }
    // What is outdated is ignored, and what takes no owner away is done.
    change(&nodes[0], keeping(remove("ann").with_version(1))).await;
    change(&nodes[0], keeping(add("ann", Role::Owner))).await;
    change(&nodes[0], keeping(add("bob", Role::Moderator))).await;
    change(&nodes[0], keeping(add("cy", Role::Owner))).await;
    let outcome = change(&nodes[1], keeping(add("ann", Role::Member))).await;
    assert!(matches!(outcome, MemberOutcome::RoleChanged(_)), "{outcome:?}");
    // A former owner is none.
    change(&nodes[1], keeping(add("ann", Role::Owner))).await;
    change(&nodes[1], keeping(remove("ann"))).await;
    let refused = nodes[0].rooms.change_member(&room("r"), keeping(remove("cy"))).await;
    assert!(matches!(refused, Err(Error::LastOwner { .. })), "{refused:?}");
    change(&nodes[0], keeping(remove("bob"))).await;
    let refused = nodes[0].rooms.change_member(&room("r"), keeping(add("cy", Role::Reader))).await;
    assert!(matches!(refused, Err(Error::LastOwner { .. })), "alone, but still there: {refused:?}");
    let outcome = change(&nodes[0], keeping(remove("cy"))).await;
    assert!(matches!(outcome, MemberOutcome::Removed(_)), "{outcome:?}");
}

/// As the service itself does, which manages every room.
pub async fn the_only_owner_goes_where_nobody_asked_to_keep_one(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["bob"]).await;
    change(node, add("ann", Role::Owner)).await;
    let outcome = change(node, add("ann", Role::Member)).await;
    assert!(matches!(outcome, MemberOutcome::RoleChanged(_)), "{outcome:?}");
    change(node, add("ann", Role::Owner)).await;
    assert!(matches!(change(node, remove("ann")).await, MemberOutcome::Removed(_)));
}

/// Each of them sees the others when it asks.
pub async fn owners_who_leave_at_once_leave_one(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["bob"]).await;
    let names: Vec<_> = (0..8).map(|number| format!("owner{number}")).collect();
    for name in &names {
        change(&nodes[0], add(name, Role::Owner)).await;
    }
    let calls: Vec<_> = names
        .iter()
        .zip(nodes.iter().cycle().cloned())
        .map(|(name, node)| {
            let leave = remove(name).keeping_an_owner();
            tokio::spawn(async move { node.rooms.change_member(&room("r"), leave).await })
        })
        .collect();
    let mut refused = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(MemberOutcome::Removed(_)) => {}
            Err(Error::LastOwner { .. }) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refused, 1);
}

/// The log checks the membership where it is stored, not a copy.
pub async fn a_user_no_longer_appends_once_they_were_removed_on_another_node(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    for round in 0..5 {
        store(&nodes[0], draft("r", "ann", &format!("in{round}"), "hello")).await;
        change(&nodes[1], remove("ann")).await;
        let refused = append(&nodes[0], draft("r", "ann", &format!("out{round}"), "hello")).await;
        assert_eq!(refused, AppendOutcome::Refused(Refusal::NotAMember));
        change(&nodes[1], add("ann", Role::Member)).await;
    }
}

/// Also where appends are under way all the time.
pub async fn no_append_is_stored_after_a_removal_that_was_answered(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &["ann"]).await;
    let writer = nodes[0].clone();
    let writing = tokio::spawn(async move {
        // Ends when it is refused; if that never happens, the case's deadline ends it.
        for number in 0u64.. {
            match append(&writer, draft("r", "ann", &format!("c{number}"), "hello")).await {
                AppendOutcome::New(_) => tokio::time::sleep(Duration::from_micros(200)).await,
                AppendOutcome::Refused(Refusal::NotAMember) => break,
                other => panic!("{other:?}"),
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(5)).await;
    change(&nodes[1], remove("ann")).await;
    let head =
        |node: LogNode| async move { node.log.heads(&[room("r")]).await.unwrap().remove(0).unwrap().cursor };
    let at_removal = head(nodes[1].clone()).await;
    writing.await.unwrap();
    assert_eq!(head(nodes[1].clone()).await, at_removal);
}

/// Every member once, whatever the size of a page.
pub async fn members_come_by_user_id_page_by_page(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    // Bytes give the order: capitals before small letters, also where a store's language has it otherwise.
    let names = ["zoe", "ann", "Bob", "a-b", "a_b", "ab", "Ann", "did:jwk:x", "1", "10", "2"];
    create_room(node, "r", &names).await;
    let expected: Vec<UserId> =
        names.iter().map(|name| user(name)).collect::<BTreeSet<_>>().into_iter().collect();
    for limit in [1, 2, 3, 10, 11, 12] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = node.rooms.members(&room("r"), after.as_ref(), limit).await.unwrap();
            assert!(page.members.len() <= limit);
            seen.extend(page.members.into_iter().map(|member| member.user));
            let Some(next) = page.next else { break };
            assert_eq!(seen.last(), Some(&next));
            after = Some(next);
        }
        assert_eq!(seen, expected, "{limit} at a time");
    }
}

/// Also after a place of somebody who is a member no longer.
pub async fn a_page_of_members_holds_current_ones_only(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["a", "b", "c", "d"]).await;
    let page = node.rooms.members(&room("r"), None, 2).await.unwrap();
    assert_eq!(page.next, Some(user("b")));
    change(node, remove("b")).await;
    change(node, remove("c")).await;
    let page = node.rooms.members(&room("r"), page.next.as_ref(), 2).await.unwrap();
    assert_eq!(page.members.iter().map(|member| member.user.as_str()).collect::<Vec<_>>(), ["d"]);
    assert_eq!(page.next, None);
    assert_eq!(node.rooms.members(&room("r"), Some(&user("d")), 2).await.unwrap().members, []);
}

/// Limits beyond the bounds are taken as the bound.
pub async fn a_page_of_members_has_at_least_one_and_at_most_a_thousand(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    let names: Vec<_> = (0..1_001).map(|number| format!("u{number:04}")).collect();
    create_room(node, "r", &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let page = node.rooms.members(&room("r"), None, 0).await.unwrap();
    assert_eq!((page.members.len(), page.next), (1, Some(user("u0000"))));
    let page = node.rooms.members(&room("r"), None, usize::MAX).await.unwrap();
    assert_eq!((page.members.len(), page.next.clone()), (1_000, Some(user("u0999"))));
    assert_eq!(node.rooms.read_markers(&room("r"), None, 0).await.unwrap().len(), 1);
    assert_eq!(node.rooms.read_markers(&room("r"), None, usize::MAX).await.unwrap().len(), 1_000);
}

/// With `None` where there never was one, past ones included, and repeated rooms repeated.
pub async fn memberships_come_in_the_order_that_was_asked_for(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    for name in ["a", "b", "c"] {
        create_room(node, name, &[]).await;
    }
    for (name, role) in [("c", Role::Owner), ("a", Role::Reader)] {
        node.rooms.change_member(&room(name), add("ann", role)).await.unwrap();
    }
    node.rooms.change_member(&room("a"), remove("ann")).await.unwrap();
    let asked = ["b", "c", "missing", "a", "c"].map(room);
    let answers = node.rooms.memberships(&user("ann"), &asked).await.unwrap();
    let found: Vec<_> = answers
        .iter()
        .map(|member| member.as_ref().map(|member| (member.role, member.is_current())))
        .collect();
    let (c, a) = (Some((Role::Owner, true)), Some((Role::Reader, false)));
    assert_eq!(found, [None, c, None, a, c]);
    assert_eq!(node.rooms.memberships(&user("ann"), &[]).await.unwrap(), []);
}

/// Neither do changes of one user touch another.
pub async fn memberships_of_one_room_do_not_touch_another(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &["ann", "bob"]).await;
    create_room(node, "s", &["ann"]).await;
    change(node, remove("ann")).await;
    assert!(member(node, "bob").await.unwrap().is_current());
    let other = node.rooms.member(&room("s"), &user("ann")).await.unwrap().unwrap();
    assert!(other.is_current());
}
