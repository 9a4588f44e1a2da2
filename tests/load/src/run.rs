//! A run of load: all join, then they send, then what came is added up.

use std::{collections::BTreeMap, sync::Arc, thread, time::Duration};

use anyhow::{Result, anyhow, bail, ensure};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, sleep_until},
};

use crate::{
    group::{Group, News, Outcome},
    ledger::Faults,
    places::Tokens,
    plan::Plan,
    process::{self, Usage},
    report::Report,
    stats::{Clock, Second, Stats, Window},
};

/// Between the word to begin and the first message, so that every thread has heard it.
const NOTICE: Duration = Duration::from_millis(200);

/// Runs the plan to its end.
///
/// # Errors
/// A connection could not be opened or did not join, or a process of the server is not there.
pub async fn run(plan: Plan, tokens: Tokens) -> Result<Report> {
    ensure!(!plan.places.is_empty() && !plan.servers.is_empty(), "there must be a room and a server");
    let before = process::usage(&plan.pids)?;
    let clock = Clock::start();
    let (say, mut news) = mpsc::channel(1_024);
    let (go, begin) = watch::channel(None);
    let threads = start(&plan, tokens, clock, &say, &begin);
    drop(say);
    let everyone = plan.connections();
    let mut joined = 0;
    while joined < everyone {
        match news.recv().await {
            Some(News::Joined(more)) => {
                joined += more;
                if plan.progress && joined % 1_000 == 0 {
                    eprintln!("{joined} of {everyone} connections have joined");
                }
            }
            Some(News::Second(..)) => {}
            Some(News::Failed(error)) => return Err(error),
            None => bail!("connections ended before all had joined"),
        }
    }
    let joining = clock.now();
    sleep(plan.settle).await;
    let idle = process::usage(&plan.pids)?;
    let from = clock.now() + NOTICE + plan.warm_up;
    let window = Window { from, until: from + plan.duration };
    go.send_replace(Some(window));

    let pids = plan.pids.clone();
    let measured = tokio::spawn(async move {
        sleep_until(clock.at(window.from)).await;
        let first = process::usage(&pids)?;
        sleep_until(clock.at(window.until)).await;
        anyhow::Ok((first, process::usage(&pids)?))
    });
    let seconds = follow(news, threads.len(), plan.progress).await?;
    let (first, last) = measured.await??;

    let mut all = Outcome { stats: Stats::default(), faults: Faults::default(), messages: 0, unanswered: 0 };
    for thread in threads {
        let part = join(thread)?;
        all.stats.add(&part.stats);
        all.faults += part.faults;
        all.messages += part.messages;
        all.unanswered += part.unanswered;
    }
    let processor = last.processor.saturating_sub(first.processor);
    let used = Used { before, idle, last, processor };
    Ok(Report::new(&plan, joining, &all, used, seconds))
}

/// What the server's processes took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    /// Before the first connection.
    pub(crate) before: Usage,
    /// With all of them, and nothing sent.
    pub(crate) idle: Usage,
    /// At the end of what counts.
    pub(crate) last: Usage,
    /// While it counted.
    pub(crate) processor: Duration,
}

type Thread = thread::JoinHandle<Option<Outcome>>;

fn join(thread: Thread) -> Result<Outcome> {
    thread.join().ok().flatten().ok_or_else(|| anyhow!("a thread of the load ended before its time"))
}

fn start(
    plan: &Plan,
    tokens: Tokens,
    clock: Clock,
    news: &mpsc::Sender<News>,
    go: &watch::Receiver<Option<Window>>,
) -> Vec<Thread> {
    let tokens = Arc::new(tokens);
    let run = format!("{:08x}", fastrand::u32(..));
    let threads = plan.threads.clamp(1, plan.places.len());
    let numbered = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    (0..threads)
        .map(|thread| {
            let places = plan.places.iter().enumerate().skip(thread).step_by(threads);
            let rooms: Vec<_> = places.map(|(room, place)| (numbered(room), place.clone())).collect();
            let share = rooms.len() as f64 / plan.places.len() as f64;
            let (plan, tokens, run) = (plan.clone(), tokens.clone(), run.clone());
            let group = Group { plan, rooms, tokens, clock, run, share, news: news.clone(), go: go.clone() };
            thread::spawn(move || group.run())
        })
        .collect()
}

/// Adds up what threads tell of each second, and says it once all have.
async fn follow(mut news: mpsc::Receiver<News>, threads: usize, progress: bool) -> Result<Vec<Second>> {
    let mut seconds: BTreeMap<usize, (usize, Second)> = BTreeMap::new();
    while let Some(said) = news.recv().await {
        let (number, part) = match said {
            News::Second(number, part) => (number, part),
            News::Failed(error) => return Err(error),
            News::Joined(_) => continue,
        };
        let (told, second) = seconds.entry(number).or_default();
        *told += 1;
        second.sent += part.sent;
        second.delivered += part.delivered;
        second.times.add(&part.times);
        if progress && *told == threads {
            let Second { sent, delivered, times } = second;
            let time =
                |share| if times.is_empty() { "-".to_owned() } else { format!("{:.2}", times.at(share)) };
            let (p50, p99) = (time(0.5), time(0.99));
            eprintln!(
                "{:>4} s  sent {sent:>7}  delivered {delivered:>9}  p50 {p50:>8} ms  p99 {p99:>8} ms",
                number + 1
            );
        }
    }
    Ok(seconds.into_values().map(|(_, second)| second).collect())
}
