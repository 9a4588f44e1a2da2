//! What is written down about a run.

use std::{fmt::Write as _, time::Duration};

use clap::ValueEnum as _;

use crate::{
    check::Stored,
    chronicle::{Chronicle, Finding, Sort, Times, clock},
    notes::Notes,
    pipeline::Kind,
    run::RECOVERY,
};

/// Nothing had to start.
const NO_START: Duration = Duration::from_millis(50);

/// One pipeline in numbers.
#[derive(Debug)]
pub(crate) struct Figures {
    kind: Kind,
    written: usize,
    acknowledged: usize,
    stored: usize,
    delivered: usize,
    clients: usize,
    connections: usize,
    repeated: usize,
    gave_up: usize,
    skips: usize,
    losses: usize,
    duplicates: usize,
    disorder: usize,
}

impl Figures {
    pub(crate) fn of(kind: Kind, stored: &Stored, notes: &[Notes], found: &[Finding]) -> Self {
        let sum = |of: fn(&Notes) -> usize| notes.iter().map(of).sum();
        let count = |sort: Sort| found.iter().filter(|finding| finding.sort == sort).count();
        Self {
            kind,
            written: sum(|notes| notes.outbox.said()),
            acknowledged: sum(|notes| notes.acks.len()),
            stored: stored.values().flatten().filter(|entry| entry.is_countable()).count(),
            delivered: sum(|notes| notes.seen.len()),
            clients: notes.len(),
            connections: sum(|notes| notes.connections),
            repeated: sum(|notes| notes.repeated),
            gave_up: sum(|notes| notes.gave_up),
            skips: sum(|notes| notes.skips.len()),
            losses: count(Sort::Loss),
            duplicates: count(Sort::Duplicate),
            disorder: count(Sort::Disorder),
        }
    }
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) chronicle: Chronicle,
    pub(crate) figures: Vec<Figures>,
    pub(crate) versions: Vec<String>,
    /// For how long there were faults.
    pub(crate) elapsed: Duration,
    /// Only kinds of faults with these in their names; all where there are none.
    pub(crate) only: Vec<String>,
    /// As long as was asked for; less where somebody ended it.
    pub(crate) minutes: u64,
}

/// All of it in Markdown.
pub(crate) fn text(outcome: &Outcome) -> String {
    let mut out = String::new();
    // A string takes everything.
    let _ = write(&mut out, outcome);
    out
}

fn write(out: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let Outcome { chronicle, figures, versions, elapsed, only, minutes } = outcome;
    let names: Vec<&str> = figures.iter().map(|figures| figures.kind.name()).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    writeln!(out, "# Reliability\n")?;
    writeln!(
        out,
        "A whole cluster on one machine under random faults, while its clients write, read, lose their connections and come back. What \
         every client was told is then compared with what is stored. This page is written by the run itself:\n"
    )?;
    let mut some = String::new();
    if figures.len() < Kind::value_variants().len() {
        write!(some, " --pipelines {}", names.join(","))?;
    }
    if !only.is_empty() {
        write!(some, " --faults '{}'", only.join(","))?;
    }
    writeln!(
        out,
        "```sh\ncargo xtask chaos --minutes {minutes} --seed {}{some} --write\n```\n",
        chronicle.seed
    )?;
    writeln!(
        out,
        "The seed chooses the faults, their order, places and lengths; what else happens in the same millisecond is the machine's. \
         This time there were faults for {} (minutes and seconds), with seed {}, on {cores} cores, debug builds, {}.\n",
        clock(*elapsed),
        chronicle.seed,
        versions.join(", ")
    )?;
    verdict(out, chronicle)?;
    pipelines(out, figures)?;
    faults(out, chronicle)?;
    writeln!(out, "\n{}", include_str!("report/meaning.md").trim_end())
}

fn verdict(out: &mut String, chronicle: &Chronicle) -> std::fmt::Result {
    let count = |sort: Sort| chronicle.count(sort);
    writeln!(out, "| losses | duplicates | disorder | not back in {} s | other |", RECOVERY.as_secs())?;
    writeln!(out, "|---|---|---|---|---|")?;
    writeln!(
        out,
        "| {} | {} | {} | {} | {} |\n",
        count(Sort::Loss),
        count(Sort::Duplicate),
        count(Sort::Disorder),
        count(Sort::Recovery),
        count(Sort::Other)
    )?;
    if chronicle.findings.is_empty() {
        return writeln!(out, "Nothing was found that must not be.\n");
    }
    writeln!(out, "Found:\n")?;
    for finding in &chronicle.findings {
        writeln!(out, "- {}", chronicle.describe(finding))?;
    }
    writeln!(out)
}

fn pipelines(out: &mut String, figures: &[Figures]) -> std::fmt::Result {
    writeln!(out, "## Messages\n")?;
    writeln!(
        out,
        "| pipeline | clients | written | acknowledged | stored | delivered | losses | duplicates | disorder | connections | sent again | given up | pages in place of entries |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|---|---|---|---|")?;
    for one in figures {
        let Figures { written, acknowledged, stored, delivered, clients, connections, repeated, .. } = one;
        let Figures { losses, duplicates, disorder, gave_up, skips, .. } = one;
        writeln!(
            out,
            "| {} | {clients} | {written} | {acknowledged} | {stored} | {delivered} | {losses} | {duplicates} | {disorder} | {connections} \
             | {repeated} | {gave_up} | {skips} |",
            one.kind.name()
        )?;
    }
    writeln!(out)?;
    for one in figures {
        writeln!(out, "- **{}**: {}", one.kind.name(), one.kind.what())?;
    }
    Ok(())
}

fn faults(out: &mut String, chronicle: &Chronicle) -> std::fmt::Result {
    let two = chronicle.records.iter().filter(|record| record.faults.len() > 1);
    let (pairs, mut times): (Vec<_>, Vec<Duration>) =
        (two.clone().collect(), two.filter_map(|record| record.recovery).collect());
    writeln!(
        out,
        "\n## Faults\n\n| fault | times | start, median | recovery, median | longest |\n|---|---|---|---|---|"
    )?;
    for (fault, Times { count, mut starts, mut recoveries }) in chronicle.by_kind() {
        starts.sort_unstable();
        let start = starts.get(starts.len() / 2).filter(|start| **start > NO_START);
        let start = start.map_or_else(|| "-".to_owned(), seconds);
        writeln!(out, "| {fault} | {count} | {start} | {} |", spread(&mut recoveries))?;
    }
    writeln!(out, "| any two of them at once | {} | - | {} |", pairs.len(), spread(&mut times))?;
    let mut all: Vec<Duration> = chronicle.records.iter().filter_map(|record| record.recovery).collect();
    writeln!(out, "| **all** | {} | - | {} |", chronicle.records.len(), spread(&mut all))?;
    let mut online: Vec<Duration> = chronicle.records.iter().filter_map(|record| record.presence).collect();
    writeln!(out, "| **presence right again** | {} | - | {} |", online.len(), spread(&mut online))
}

fn seconds(time: &Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Median and longest, for a table.
fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    match (times.get(times.len() / 2), times.last()) {
        (Some(median), Some(longest)) => format!("{} | {}", seconds(median), seconds(longest)),
        _ => "- | -".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_longest_are_said() {
        let mut times = [5, 1, 3].map(Duration::from_secs);
        assert_eq!(spread(&mut times), "3.0 s | 5.0 s");
        assert_eq!(spread(&mut []), "- | -");
    }

    #[test]
    fn a_fault_after_which_nobody_was_asked_who_is_there_has_no_time_for_it() {
        let mut chronicle = Chronicle::new(1);
        for presence in [None, Some(Duration::from_secs(4)), None] {
            chronicle.begin(Vec::new(), "somewhere".to_owned());
            chronicle.recovered(Some(Duration::from_secs(2)), presence);
        }
        let mut out = String::new();
        faults(&mut out, &chronicle).unwrap();
        assert!(out.contains("| **all** | 3 | - | 2.0 s | 2.0 s |"), "{out}");
        assert!(out.contains("| **presence right again** | 1 | - | 4.0 s | 4.0 s |"), "{out}");
    }
}
