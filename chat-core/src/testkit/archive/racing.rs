//! Several archivers and several hot logs at once.
#![allow(clippy::missing_panics_doc, reason = "a case fails by panicking")]
#![allow(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::sync::Arc;

use tokio::{sync::Barrier, task::JoinSet};

use super::world::{life, of_life, texts, worlds};
use crate::{
    testkit::{
        ArchiveHarness, ArchiveNode,
        fixtures::{create_room, room, seq},
        message_log::reading::{assert_gapless, log},
    },
    tiered::{Import, ImportOutcome, Life, LifeOutcome},
};

/// So many rooms are raced in.
const ROUNDS: usize = 25;

/// Starts calls at one instant, and answers in their order.
async fn at_once<T: Send + 'static, F>(calls: Vec<F>) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(Barrier::new(calls.len()));
    let mut tasks = JoinSet::new();
    for (index, call) in calls.into_iter().enumerate() {
        let start = start.clone();
        tasks.spawn(async move {
            start.wait().await;
            (index, call.await)
        });
    }
    let mut done = tasks.join_all().await;
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

async fn import(node: ArchiveNode, imports: Vec<Import>) -> Vec<ImportOutcome> {
    node.archive.import(&imports).await.unwrap()
}

/// Two archivers with the same entries, one of them with more: all are stored once.
pub async fn the_same_entries_on_two_nodes_are_stored_once(harness: &dyn ArchiveHarness) {
    let worlds = worlds(harness, 2).await;
    for round in 0..ROUNDS {
        let name = format!("r{round}");
        create_room(&worlds[0], &name, &["ann", "bob"]).await;
        worlds[0].begin(&name, "a", 0).await;
        let calls = (0..6)
            .map(|task| {
                let last = 5 + (task as u64 % 3);
                import(worlds[task % 2].node.clone(), vec![of_life(&name, "a", texts(&name, 1, last))])
            })
            .collect();
        for (task, outcome) in (0..).zip(at_once(calls).await) {
            let ImportOutcome::Stored(head) = outcome[0] else { panic!("{outcome:?}") };
            assert!(head >= seq(5 + (task % 3)) && head <= seq(7), "{head:?}");
        }
        let entries = log(&worlds[1], &name).await;
        assert_gapless(&entries);
        assert_eq!(entries.len(), 7);
        let unread = worlds[0].rooms.unread(&crate::testkit::fixtures::user("bob"), &[room(&name)]).await;
        assert_eq!(unread.unwrap(), [7]);
    }
}

/// Either the import is first, and whoever begins a life must look again; or the life is, and the import is outdated.
pub async fn a_life_and_an_import_wait_for_each_other(harness: &dyn ArchiveHarness) {
    enum Done {
        Import(ImportOutcome),
        Life(LifeOutcome),
    }
    let worlds = worlds(harness, 2).await;
    for round in 0..ROUNDS {
        let name = format!("r{round}");
        create_room(&worlds[0], &name, &["ann"]).await;
        worlds[0].begin(&name, "a", 0).await;
        assert_eq!(worlds[0].import(&name, "a", texts(&name, 1, 2)).await, ImportOutcome::Stored(seq(2)));
        let seen = worlds[0].archived(&name).await;
        let (importer, beginner) = (worlds[round % 2].node.clone(), worlds[(round + 1) % 2].node.clone());
        let imports = vec![of_life(&name, "a", texts(&name, 1, 4))];
        let import = async move { Done::Import(importer.archive.import(&imports).await.unwrap().remove(0)) };
        let (of_room, begun) = (room(&name), Life { epoch: life("b"), base: seq(2) });
        let begin =
            async move { Done::Life(beginner.archive.begin_life(&of_room, &seen, &begun).await.unwrap()) };
        let both: Vec<futures::future::BoxFuture<'static, Done>> = vec![Box::pin(import), Box::pin(begin)];
        let mut outcomes = at_once(both).await;
        let (Some(Done::Life(life)), Some(Done::Import(import))) = (outcomes.pop(), outcomes.pop()) else {
            panic!("an answer of the other call");
        };
        let (head, lives) = match (import, life) {
            (ImportOutcome::Stored(head), LifeOutcome::Changed) if head == seq(4) => (4, 1),
            (ImportOutcome::Superseded, LifeOutcome::Begun) => (2, 2),
            both => panic!("{both:?}"),
        };
        let known = worlds[0].archived(&name).await;
        assert_eq!((known.head.cursor.seq, known.lives.len()), (seq(head), lives));
        assert_gapless(&log(&worlds[1], &name).await);
    }
}

/// Of several that begin a life at once, one does.
pub async fn one_life_begins_of_several_at_once(harness: &dyn ArchiveHarness) {
    let worlds = worlds(harness, 2).await;
    for round in 0..ROUNDS {
        let name = format!("r{round}");
        create_room(&worlds[0], &name, &["ann"]).await;
        let seen = worlds[0].archived(&name).await;
        let calls = (0..4)
            .map(|task| {
                let (node, room, seen) = (worlds[task % 2].node.clone(), room(&name), seen.clone());
                let begun = Life { epoch: life(&format!("life-{task}")), base: seq(0) };
                async move { node.archive.begin_life(&room, &seen, &begun).await.unwrap() }
            })
            .collect();
        let outcomes = at_once(calls).await;
        let begun: Vec<_> = (0..4).filter(|task| outcomes[*task] == LifeOutcome::Begun).collect();
        assert_eq!(begun.len(), 1, "{outcomes:?}");
        let lives = worlds[0].archived(&name).await.lives;
        assert_eq!(lives, [Life { epoch: life(&format!("life-{}", begun[0])), base: seq(0) }]);
    }
}

/// Archivers whose rooms overlap in any order are all answered.
pub async fn imports_in_opposite_orders_do_not_lock_each_other(harness: &dyn ArchiveHarness) {
    let worlds = worlds(harness, 2).await;
    let names = ["x", "y", "z"];
    for name in names {
        create_room(&worlds[0], name, &["ann"]).await;
        worlds[0].begin(name, "a", 0).await;
    }
    for round in 0..ROUNDS as u64 {
        let calls = (0..4)
            .map(|task| {
                let mut imports: Vec<_> =
                    names.iter().map(|name| of_life(name, "a", texts(name, 1, round + 1))).collect();
                if task % 2 == 1 {
                    imports.reverse();
                }
                import(worlds[task % 2].node.clone(), imports)
            })
            .collect();
        for outcomes in at_once(calls).await {
            assert_eq!(outcomes, [ImportOutcome::Stored(seq(round + 1)); 3]);
        }
    }
    for name in names {
        assert_gapless(&log(&worlds[1], name).await);
    }
}

/// A direct append and an import at the same position: one of them has it, and nothing is lost or stored twice.
pub async fn an_append_and_an_import_wait_for_each_other(harness: &dyn ArchiveHarness) {
    let worlds = worlds(harness, 2).await;
    for round in 0..ROUNDS {
        let name = format!("r{round}");
        create_room(&worlds[0], &name, &["ann"]).await;
        worlds[0].begin(&name, "a", 0).await;
        let (importer, appender) = (worlds[round % 2].node.clone(), worlds[(round + 1) % 2].node.clone());
        let imports = vec![of_life(&name, "a", texts(&name, 1, 2))];
        let sent = crate::testkit::fixtures::draft(&name, "ann", "x", "appended");
        let import = async move {
            importer.archive.import(&imports).await.unwrap().remove(0) == ImportOutcome::Stored(seq(2))
        };
        let append = async move {
            let outcomes = appender.log.append(&[sent]).await.unwrap();
            outcomes[0].stored().unwrap().cursor.seq == seq(1)
        };
        let both: Vec<futures::future::BoxFuture<'static, bool>> = vec![Box::pin(import), Box::pin(append)];
        let outcomes = at_once(both).await;
        assert_ne!(outcomes[0], outcomes[1], "both or neither were first");
        let entries = log(&worlds[1], &name).await;
        assert_gapless(&entries);
        assert_eq!(entries.len(), if outcomes[0] { 3 } else { 1 });
    }
}
