//! What was done, how long it took until all was well again, and what must not have been.

use std::{collections::BTreeMap, fmt, time::Duration};

use tokio::time::Instant;

use crate::fault::Fault;

/// What kind of thing was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sort {
    /// Acknowledged or stored, and not there or not given to somebody.
    Loss,
    /// Stored or given twice.
    Duplicate,
    /// Given in another order than it is stored.
    Disorder,
    /// Service was not there again in time.
    Recovery,
    /// Anything else that is not as it must be.
    Other,
}

/// Something that must not be.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    pub(crate) sort: Sort,
    /// Which of the design's guarantees; or another word where it is none of them.
    pub(crate) guarantee: &'static str,
    pub(crate) what: String,
    /// When it happened, where that is known.
    pub(crate) at: Option<Instant>,
}

/// A fault and what came of it.
#[derive(Debug)]
pub(crate) struct Record {
    /// One, or two at once.
    pub(crate) faults: Vec<Fault>,
    pub(crate) place: String,
    begun: Instant,
    /// From undoing the fault until what was ended was there again by its own account.
    pub(crate) start: Duration,
    /// From undoing the fault until everybody heard something new.
    pub(crate) recovery: Option<Duration>,
    /// Until everybody counted as online at both gateways, where that can be asked for.
    pub(crate) presence: Option<Duration>,
}

/// What there is to say of a kind of fault.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// How often it was done, alone or with another one.
    pub(crate) count: usize,
    /// Where it was alone.
    pub(crate) starts: Vec<Duration>,
    pub(crate) recoveries: Vec<Duration>,
}

/// The book of a run.
#[derive(Debug)]
pub(crate) struct Chronicle {
    started: Instant,
    pub(crate) seed: u64,
    pub(crate) records: Vec<Record>,
    pub(crate) findings: Vec<Finding>,
}

impl Chronicle {
    pub(crate) fn new(seed: u64) -> Self {
        Self { started: Instant::now(), seed, records: Vec::new(), findings: Vec::new() }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn begin(&mut self, faults: Vec<Fault>, place: String) {
        println!("{} {place}", clock(self.elapsed()));
        self.records.push(Record {
            faults,
            place,
            begun: Instant::now(),
            start: Duration::ZERO,
            recovery: None,
            presence: None,
        });
    }

    pub(crate) fn undone(&mut self, after: Duration) {
        if let Some(record) = self.records.last_mut() {
            record.start = after;
        }
    }

    pub(crate) fn recovered(&mut self, recovery: Option<Duration>, presence: Option<Duration>) {
        if let Some(record) = self.records.last_mut() {
            (record.recovery, record.presence) = (recovery, presence);
            if let Some(recovery) = recovery {
                let (recovery, start) = (recovery.as_secs_f64(), record.start.as_secs_f64());
                println!("      back {recovery:.1} s after it was over, {start:.1} s of them the start");
            }
        }
    }

    /// Notes it, and says it at once.
    pub(crate) fn found(&mut self, finding: Finding) {
        println!("FINDING {}", self.describe(&finding));
        self.findings.push(finding);
    }

    /// With the seed, the time, and the fault before it.
    pub(crate) fn describe(&self, finding: &Finding) -> String {
        let at = finding.at.unwrap_or_else(Instant::now);
        let before = self.records.iter().rev().find(|record| record.begun <= at);
        let fault = before.map_or_else(
            || "no fault before it".to_owned(),
            |record| {
                let ago = (at - record.begun).as_secs_f64();
                format!("{ago:.1} s after the beginning of: {}", record.place)
            },
        );
        let time = clock(at.saturating_duration_since(self.started));
        let Finding { sort, guarantee, what, .. } = finding;
        format!("[{sort}, {guarantee}] seed {}, at {time}, {fault}: {what}", self.seed)
    }

    /// What came of each kind of fault.
    pub(crate) fn by_kind(&self) -> BTreeMap<Fault, Times> {
        let mut kinds: BTreeMap<Fault, Times> = BTreeMap::new();
        for record in &self.records {
            for fault in &record.faults {
                let times = kinds.entry(*fault).or_default();
                times.count += 1;
                if record.faults.len() == 1 {
                    times.starts.push(record.start);
                    times.recoveries.extend(record.recovery);
                }
            }
        }
        kinds
    }

    /// How many were found of a sort.
    pub(crate) fn count(&self, sort: Sort) -> usize {
        self.findings.iter().filter(|finding| finding.sort == sort).count()
    }
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loss => "loss",
            Self::Duplicate => "duplicate",
            Self::Disorder => "disorder",
            Self::Recovery => "recovery",
            Self::Other => "other",
        })
    }
}

/// Minutes and seconds.
pub(crate) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}
