//! What came of a run: as text for people, as JSON for programs.

use std::{fmt, time::Duration};

use serde::Serialize;

use crate::{
    group::Outcome,
    ledger::Faults,
    plan::{Plan, Rate},
    run::Used,
    stats::{Percentiles, Second, Times},
};

/// What came of a run. Rates and latencies are of the time that counts, faults of the whole run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Connections.
    pub connections: usize,
    /// Rooms.
    pub rooms: usize,
    /// Connections that sent.
    pub senders: usize,
    /// Messages a second that were asked for; none where each sender waited for its answers.
    pub rate: Option<f64>,
    /// Bytes of a text.
    pub size: usize,
    /// The time that counts, in seconds.
    pub duration: f64,
    /// How long it took until all had joined, in seconds.
    pub joining: f64,
    /// Messages that were sent, in all.
    pub messages: usize,
    /// Messages a second that were sent, and that were taken.
    pub sent_per_second: f64,
    /// Those that were answered well, by when the answer came.
    pub taken_per_second: f64,
    /// Messages that were refused, in the whole run.
    pub refused: u64,
    /// Messages that were not answered at the end.
    pub unanswered: usize,
    /// Deliveries a second.
    pub delivered_per_second: f64,
    /// From when a message was meant to be sent until its sender had the answer, in ms.
    pub answer: Percentiles,
    /// Until it was with each connection of its room, in ms.
    pub delivery: Percentiles,
    /// How much later than meant messages were sent, in ms: what the load's own process adds.
    pub lateness: Percentiles,
    /// How long the last deliveries could take before they counted as lost, in seconds.
    pub patience: f64,
    /// Losses, repeats, disorder.
    pub faults: Faults,
    /// How often the server fell back on a page in place of single messages.
    pub resyncs: u64,
    /// What the server's processes took, if they are known.
    pub server: Option<Server>,
    /// Why connections ended or messages were refused: the first reasons.
    pub troubles: Vec<String>,
    /// Second by second.
    #[serde(skip)]
    pub seconds: Vec<Second>,
    /// All times of answers.
    #[serde(skip)]
    pub answer_times: Times,
    /// All times of delivery.
    #[serde(skip)]
    pub times: Times,
}

/// What a server's processes took.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Server {
    /// Processor time while it counted, in seconds.
    pub processor: f64,
    /// Deliveries for each second of it.
    pub deliveries_per_processor_second: f64,
    /// Bytes more with all connections than before the first, for each of them.
    pub memory_per_connection: f64,
    /// Bytes with all connections, and nothing sent.
    pub memory_idle: u64,
    /// Bytes at the end of what counts.
    pub memory_loaded: u64,
}

impl Report {
    pub(crate) fn new(
        plan: &Plan,
        joining: Duration,
        all: &Outcome,
        used: Used,
        seconds: Vec<Second>,
    ) -> Self {
        let Outcome { stats, faults, messages, unanswered } = all;
        let duration = plan.duration.as_secs_f64();
        let connections = plan.connections();
        let per_room = |place: &crate::places::Place| place.users.len().min(plan.senders_per_room);
        let processor = used.processor.as_secs_f64();
        let server = Server {
            processor,
            deliveries_per_processor_second: stats.delivered as f64 / processor.max(0.01),
            memory_per_connection: used.idle.memory.saturating_sub(used.before.memory) as f64
                / connections as f64,
            memory_idle: used.idle.memory,
            memory_loaded: used.last.memory,
        };
        Self {
            connections,
            rooms: plan.places.len(),
            senders: plan.places.iter().map(per_room).sum(),
            rate: match plan.rate {
                Rate::PerSecond(rate) => Some(rate),
                Rate::Answered { .. } => None,
            },
            size: plan.size,
            duration,
            joining: joining.as_secs_f64(),
            messages: *messages,
            sent_per_second: stats.sent as f64 / duration,
            taken_per_second: stats.taken as f64 / duration,
            refused: stats.refused,
            unanswered: *unanswered,
            delivered_per_second: stats.delivered as f64 / duration,
            answer: stats.answer_times.summary(),
            delivery: stats.delivery_times.summary(),
            lateness: stats.lateness.summary(),
            patience: plan.patience.as_secs_f64(),
            faults: *faults,
            resyncs: stats.resyncs,
            server: (!plan.pids.is_empty()).then_some(server),
            troubles: stats.troubles.clone(),
            seconds,
            answer_times: stats.answer_times.clone(),
            times: stats.delivery_times.clone(),
        }
    }

    /// There were messages, everything that was taken came to everybody, once and in one order, and nothing was refused or left
    /// unanswered.
    #[must_use]
    pub fn is_flawless(&self) -> bool {
        self.messages > 0 && self.faults == Faults::default() && self.refused == 0 && self.unanswered == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, rooms, senders, size, duration, .. } = self;
        let rate = match self.rate {
            Some(rate) => format!("{rate} messages a second"),
            None => "as fast as answered".to_owned(),
        };
        writeln!(
            f,
            "{connections} connections in {rooms} rooms, {senders} of them send, {rate}, {size} bytes, {duration} s"
        )?;
        writeln!(f, "  joined      all within {:.2} s", self.joining)?;
        writeln!(
            f,
            "  sent        {:.0} /s, taken {:.0} /s, refused {}, unanswered {}",
            self.sent_per_second, self.taken_per_second, self.refused, self.unanswered
        )?;
        writeln!(f, "  delivered   {:.0} /s", self.delivered_per_second)?;
        writeln!(f, "  milliseconds      p50       p90       p99     p99.9       max")?;
        for (name, times) in
            [("answer", self.answer), ("delivery", self.delivery), ("sent late", self.lateness)]
        {
            write!(f, "  {name:<10}")?;
            let Percentiles { p50, p90, p99, p999, max } = times;
            for time in [p50, p90, p99, p999, max] {
                // The shortest that is noted is a microsecond: without any there is nothing to say.
                if max > 0.0 { write!(f, " {time:>9.2}")? } else { write!(f, " {:>9}", "-")? }
            }
            writeln!(f)?;
        }
        let Faults { lost, repeated, disordered } = self.faults;
        let resyncs = self.resyncs;
        writeln!(
            f,
            "  faults      lost {lost}, repeated {repeated}, out of order {disordered}, resyncs {resyncs}"
        )?;
        if lost > 0 {
            writeln!(f, "              lost: not there {} s after the last was sent", self.patience)?;
        }
        if let Some(server) = &self.server {
            writeln!(
                f,
                "  server      {:.2} s of processor time, {:.0} deliveries for each second of it",
                server.processor, server.deliveries_per_processor_second
            )?;
            writeln!(
                f,
                "              {:.1} KiB for each connection, {:.1} MiB with all, {:.1} MiB at the end",
                server.memory_per_connection / 1_024.0,
                server.memory_idle as f64 / 1_048_576.0,
                server.memory_loaded as f64 / 1_048_576.0
            )?;
        }
        self.troubles.iter().try_for_each(|trouble| writeln!(f, "  trouble     {trouble}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{places, process::Usage, protocol::Protocol, stats::Stats};

    fn report(messages: usize, faults: Faults) -> Report {
        let plan = Plan {
            protocol: Protocol::Bare,
            servers: vec!["ws://127.0.0.1:1".to_owned()],
            places: places::numbered(2, 1).unwrap(),
            senders_per_room: 1,
            rate: Rate::PerSecond(1.0),
            size: 10,
            warm_up: Duration::ZERO,
            duration: Duration::from_secs(1),
            settle: Duration::ZERO,
            patience: Duration::ZERO,
            threads: 1,
            pids: Vec::new(),
            progress: false,
        };
        let all = Outcome { stats: Stats::default(), faults, messages, unanswered: 0 };
        let (before, idle, last) = (Usage::default(), Usage::default(), Usage::default());
        let used = Used { before, idle, last, processor: Duration::ZERO };
        Report::new(&plan, Duration::ZERO, &all, used, Vec::new())
    }

    #[test]
    fn a_run_that_sent_nothing_proves_nothing() {
        assert!(report(1, Faults::default()).is_flawless());
        assert!(!report(0, Faults::default()).is_flawless());
        assert!(!report(1, Faults { disordered: 1, ..Faults::default() }).is_flawless());
    }

    #[test]
    fn what_was_not_measured_is_no_time() {
        let words = report(0, Faults { lost: 1, ..Faults::default() }).to_string();
        assert!(words.contains("  delivery           -"), "{words}");
        assert!(words.contains("lost: not there 0 s after"), "{words}");
    }
}
