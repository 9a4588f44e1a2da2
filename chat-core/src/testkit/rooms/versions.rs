//! Changes of memberships that come with versions, in any order.

use super::members::{add, change, facts, member, remove};
use crate::{
    Member, MemberChange, MemberOutcome, Role,
    testkit::{LogHarness, fixtures::create_room},
};

/// Additions, removals and roles alike.
pub async fn a_change_with_an_older_version_is_ignored(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &[]).await;
    let added = change(&nodes[0], add("ann", Role::Member).with_version(10)).await;
    assert!(matches!(&added, MemberOutcome::Added(member) if member.version == 10), "{added:?}");
    for older in [remove("ann"), add("ann", Role::Owner)] {
        let outcome = change(&nodes[1], older.with_version(9)).await;
        assert!(matches!(&outcome, MemberOutcome::Unchanged(Some(_))), "{outcome:?}");
        assert_eq!(facts(member(&nodes[0], "ann").await.as_ref()), Some((Role::Member, true, 10)));
    }
    change(&nodes[0], remove("ann").with_version(20)).await;
    change(&nodes[1], add("ann", Role::Member).with_version(19)).await;
    assert_eq!(facts(member(&nodes[0], "ann").await.as_ref()), Some((Role::Member, false, 20)));
}

/// So the same change may be delivered twice.
pub async fn a_change_with_an_equal_version_is_ignored(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &[]).await;
    change(node, add("ann", Role::Member).with_version(3)).await;
    for equal in [remove("ann"), add("ann", Role::Owner), add("ann", Role::Member)] {
        let outcome = change(node, equal.with_version(3)).await;
        assert!(matches!(outcome, MemberOutcome::Unchanged(Some(_))), "{outcome:?}");
    }
    assert_eq!(facts(member(node, "ann").await.as_ref()), Some((Role::Member, true, 3)));
}

/// However great the version before was.
pub async fn a_change_without_a_version_always_applies_and_takes_the_next_one(harness: &dyn LogHarness) {
    let node = &harness.nodes(1).await[0];
    create_room(node, "r", &[]).await;
    change(node, add("ann", Role::Member).with_version(1_000)).await;
    let outcome = change(node, remove("ann")).await;
    assert!(matches!(&outcome, MemberOutcome::Removed(member) if member.version == 1_001), "{outcome:?}");
    // What was numbered before it is outdated by it.
    change(node, add("ann", Role::Owner).with_version(1_001)).await;
    assert_eq!(facts(member(node, "ann").await.as_ref()), Some((Role::Member, false, 1_001)));
    let outcome = change(node, add("ann", Role::Owner).with_version(1_002)).await;
    assert!(matches!(outcome, MemberOutcome::Added(_)), "{outcome:?}");
}

/// The change that version `version` of a story makes.
fn numbered(name: &str, version: u64) -> MemberChange {
    let roles = [None, Some(Role::Reader), Some(Role::Member), Some(Role::Owner)];
    let change = match roles[usize::try_from(version % 4).unwrap()] {
        Some(role) => add(name, role),
        None => remove(name),
    };
    change.with_version(version)
}

fn assert_is_as_version(member: Option<&Member>, version: u64) {
    let expected = numbered("any", version).role;
    let is = member.filter(|member| member.is_current()).map(|member| member.role);
    assert_eq!(is, expected, "{member:?} should be as version {version} said");
}

/// Random orders of the same changes.
pub async fn versions_that_arrive_in_any_order_end_in_the_newest(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &[]).await;
    let mut random = fastrand::Rng::with_seed(11);
    for story in 0..20 {
        let name = format!("u{story}");
        let mut versions: Vec<u64> = (1..=5 + story % 4).collect();
        let newest = versions.len() as u64;
        random.shuffle(&mut versions);
        for (index, version) in versions.iter().enumerate() {
            change(&nodes[index % 2], numbered(&name, *version)).await;
            let newest_so_far = versions[..=index].iter().max().unwrap();
            assert_is_as_version(member(&nodes[0], &name).await.as_ref(), *newest_so_far);
        }
        assert_is_as_version(member(&nodes[1], &name).await.as_ref(), newest);
    }
}

/// Nothing is decided on what was read before.
pub async fn versions_that_arrive_at_once_end_in_the_newest(harness: &dyn LogHarness) {
    let nodes = harness.nodes(2).await;
    create_room(&nodes[0], "r", &[]).await;
    for story in 0..10u64 {
        let name = format!("u{story}");
        let newest = 8 + story % 4;
        let calls: Vec<_> = (1..=newest)
            .zip(nodes.iter().cycle().cloned())
            .map(|(version, node)| {
                let new = numbered(&name, version);
                tokio::spawn(async move { change(&node, new).await })
            })
            .collect();
        for call in calls {
            call.await.unwrap();
        }
        assert_is_as_version(member(&nodes[0], &name).await.as_ref(), newest);
    }
}
