//! After a fault: until when everybody is served again, and what there is to notice meanwhile.

use std::time::Duration;

use anyhow::Result;
use futures::future::join_all;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{
    chronicle::{Chronicle, Finding, Sort, clock},
    cluster::Cluster,
    inject::Injected,
    pipeline::{Kind, Pipeline},
    presence,
    run::{LOOK, RECOVERY, Run},
};

/// How often a line says how far it is.
const PROGRESS: Duration = Duration::from_secs(10);

/// What came of one pipeline.
struct Probed {
    kind: Kind,
    /// Everybody has heard something new, after this.
    heard: Result<Duration>,
    /// Everybody counts as online, after this, where that can be asked for.
    online: Result<Option<Duration>>,
}

/// How one pipeline answered to whether all is well again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// After so long.
    Well(Duration),
    /// It is none that can be asked, or none that was hit.
    Unasked,
    NotInTime,
}

/// How long it took until all that were asked were well; `None` where nobody was asked, or somebody was not well in time.
fn longest(answers: &[Answer]) -> Option<Duration> {
    if answers.contains(&Answer::NotInTime) {
        return None;
    }
    let times = answers.iter().filter_map(|answer| match answer {
        Answer::Well(after) => Some(*after),
        _ => None,
    });
    times.max()
}

impl Run {
    /// Waits until everybody has heard something that was said now, and is known to be there.
    pub(crate) async fn recover(&mut self, since: Instant, injected: &[Injected]) {
        self.probes += 1;
        let number = self.probes;
        let Self { cluster, pipelines, chronicle, told, .. } = self;
        let probes = join_all(pipelines.iter().map(|pipeline| probe(pipeline, number, since)));
        tokio::pin!(probes);
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let probed = loop {
            tokio::select! {
                biased;
                probed = &mut probes => break probed,
                _ = look.tick() => look_after(cluster, pipelines, chronicle, told),
            }
        };
        let (mut heard_all, mut online_all) = (Vec::new(), Vec::new());
        for Probed { kind, heard, online } in probed {
            let is_hit = injected.iter().any(|one| one.hits.contains(&kind));
            for (answers, after, what) in [
                (&mut heard_all, heard.map(Some), "was not back"),
                (&mut online_all, online, "does not know who is there"),
            ] {
                answers.push(match after {
                    Ok(Some(after)) if is_hit => Answer::Well(after),
                    Ok(_) => Answer::Unasked,
                    Err(error) => {
                        let what = format!(
                            "{} {what} {RECOVERY:?} after the fault was over: {error:#}",
                            kind.name()
                        );
                        let at = Some(Instant::now());
                        let guarantee = "recovery";
                        chronicle.found(Finding { sort: Sort::Recovery, guarantee, what, at });
                        Answer::NotInTime
                    }
                });
            }
        }
        chronicle.recovered(longest(&heard_all), longest(&online_all));
    }
}

async fn probe(pipeline: &Pipeline, number: usize, since: Instant) -> Probed {
    let left = || RECOVERY.saturating_sub(since.elapsed());
    let heard = pipeline.probe(number, left()).await.map(|()| since.elapsed());
    let online = presence::is_right(pipeline, left()).await;
    let online = online.map(|asked| asked.then(|| since.elapsed()));
    Probed { kind: pipeline.kind, heard, online }
}

/// Notices processes that ended and what clients complain of, and says now and then how far it is.
pub(crate) fn look_after(
    cluster: &mut Cluster,
    pipelines: &[Pipeline],
    chronicle: &mut Chronicle,
    told: &mut Instant,
) {
    for node in &mut cluster.nodes {
        if let Some(status) = node.ended_by_itself() {
            // One that cannot start yet is started again without more words.
            if node.was_there() {
                let what = format!("{} ended by itself: {status}", node.spec.name);
                let at = Some(Instant::now());
                chronicle.found(Finding { sort: Sort::Other, guarantee: "service", what, at });
            }
            // As whoever looks after processes does. Where it cannot start, nobody is served and that shows.
            if let Err(error) = node.start_again() {
                eprintln!("{}: {error:#}", node.spec.name);
            }
        }
    }
    for client in pipelines.iter().flat_map(|pipeline| &pipeline.clients) {
        let problems = std::mem::take(&mut client.notes().problems);
        for problem in problems {
            chronicle.found(Finding {
                sort: if problem.guarantee.starts_with('G') { Sort::Disorder } else { Sort::Other },
                guarantee: problem.guarantee,
                what: format!("{}: {}", client.role.name, problem.what),
                at: Some(problem.at),
            });
        }
    }
    if told.elapsed() >= PROGRESS {
        *told = Instant::now();
        let (mut written, mut answered, mut given) = (0, 0, 0);
        for client in pipelines.iter().flat_map(|pipeline| &pipeline.clients) {
            let notes = client.notes();
            written += notes.outbox.said();
            answered += notes.acks.len();
            given += notes.seen.len();
        }
        println!(
            "{} {} faults; {written} messages written, {answered} acknowledged, {given} deliveries; {} findings",
            clock(chronicle.elapsed()),
            chronicle.records.len(),
            chronicle.findings.len()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_that_were_hit_and_can_be_asked_have_a_time() {
        let well = |seconds| Answer::Well(Duration::from_secs(seconds));
        let longest = |answers: &[Answer]| super::longest(answers).map(|time| time.as_secs());
        assert_eq!(longest(&[well(3), Answer::Unasked, well(5), Answer::Unasked]), Some(5));
        assert_eq!(longest(&[well(0)]), Some(0));
        // Such as a fault of pipelines that cannot be asked who is there: no time, and not none at all.
        assert_eq!(longest(&[Answer::Unasked, Answer::Unasked]), None);
        assert_eq!(longest(&[]), None);
        assert_eq!(longest(&[well(3), Answer::NotInTime]), None);
    }
}
