//! A run from its start to its end: faults one after the other, sometimes two at once, and after each the time until all is well.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, sleep},
};

use crate::{
    Options,
    chronicle::{Chronicle, Finding, Sort, clock},
    cluster::{Cluster, Service},
    fault::{Deck, Fault, Target},
    inject::Injected,
    node::Role,
    pipeline::Pipeline,
    recovery::look_after,
    report::Outcome,
};

/// After a fault everybody hears something new within this.
pub(crate) const RECOVERY: Duration = Duration::from_secs(60);
/// Between two faults; milliseconds.
const PAUSE: std::ops::Range<u64> = 1_000..5_000;
/// How often of a hundred two faults are done at once.
const TWO_AT_ONCE: u8 = 20;
/// How often processes and clients are looked after.
pub(crate) const LOOK: Duration = Duration::from_millis(250);

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) cluster: Cluster,
    pub(crate) pipelines: Vec<Pipeline>,
    pub(crate) chronicle: Chronicle,
    dice: fastrand::Rng,
    deck: Deck,
    pub(crate) told: Instant,
    interrupt: Signal,
    /// Somebody wants it to end.
    interrupted: bool,
    pub(crate) probes: usize,
}

impl Run {
    /// Starts everything.
    pub(crate) async fn open(options: &Options, seed: u64, logs: PathBuf) -> Result<Self> {
        let kinds = options.kinds();
        let interrupt = signal(SignalKind::interrupt())?;
        let mut dice = fastrand::Rng::with_seed(seed);
        println!("starting servers");
        let mut cluster = Cluster::start(&kinds, &options.programs()?, logs).await?;
        let mut pipelines = Vec::new();
        for kind in kinds {
            println!("starting {}: {}", kind.name(), kind.what());
            pipelines.push(Pipeline::open(kind, &mut cluster, &mut dice).await?);
        }
        let servers: Vec<Service> = [Service::Postgres, Service::Redis, Service::HotRedis, Service::Kafka]
            .into_iter()
            .filter(|service| cluster.has(*service))
            .collect();
        let workers = cluster.nodes.iter().any(|node| node.spec.role == Role::Worker);
        let mut faults = Fault::all(&servers, workers, cluster.small_disk);
        if !options.faults.is_empty() {
            let wanted = |fault: &Fault| options.faults.iter().any(|name| fault.to_string().contains(name));
            faults.retain(wanted);
            if faults.is_empty() {
                bail!("no kind of fault has a name with {:?} in it", options.faults);
            }
        }
        let (chronicle, told) = (Chronicle::new(seed), Instant::now());
        let deck = Deck::new(faults);
        Ok(Self { cluster, pipelines, chronicle, dice, deck, told, interrupt, interrupted: false, probes: 0 })
    }

    /// Does faults until the time is up, lets everything settle, and judges.
    pub(crate) async fn go(mut self, options: &Options) -> Result<Outcome> {
        let end = Instant::now() + Duration::from_secs(options.minutes * 60);
        let mut quiet = 0;
        while Instant::now() < end && !self.interrupted {
            let pause = Duration::from_millis(self.dice.u64(PAUSE));
            self.wait(pause).await;
            self.one_round().await?;
            // What cannot come back is not worth more faults.
            quiet = if self.chronicle.records.last().is_some_and(|last| last.recovery.is_none()) {
                quiet + 1
            } else {
                0
            };
            if quiet == 3 {
                println!("service did not come back three times in a row: ending");
                break;
            }
        }
        let elapsed = self.chronicle.elapsed();
        println!("{} the last fault is over: settling", clock(elapsed));
        let mut outcome = self.settle(elapsed, options.sabotage).await?;
        outcome.only.clone_from(&options.faults);
        outcome.minutes = options.minutes;
        Ok(outcome)
    }

    /// One fault, or two, undone after a while, and the time until everybody hears something new.
    async fn one_round(&mut self) -> Result<()> {
        let first = self.deck.draw(&mut self.dice).context("no faults")?;
        let mut faults = vec![first];
        if self.dice.u8(..100) < TWO_AT_ONCE {
            faults.extend(self.deck.draw_if(&mut self.dice, |second| second.goes_with(first)));
        }
        let mut injected: Vec<Injected> = faults
            .iter()
            .filter_map(|fault| Injected::choose(*fault, &self.cluster, &mut self.dice))
            .collect();
        if injected.is_empty() {
            return Ok(());
        }
        // What a process needs is there again before the process is.
        injected.sort_by_key(|one| matches!(one.fault.target, Target::Gateway | Target::Worker));
        let lasts = injected.iter().map(|one| one.fault.lasts(&mut self.dice)).max().unwrap_or_default();
        let places: Vec<&str> = injected.iter().map(|one| one.place.as_str()).collect();
        let faults = injected.iter().map(|one| one.fault).collect();
        self.chronicle.begin(faults, places.join(" + "));
        for one in &injected {
            if let Err(error) = one.begin(&mut self.cluster).await {
                self.found("service", format!("{}: {error:#}", one.place));
            }
        }
        self.wait(lasts).await;
        let undone = Instant::now();
        for one in &injected {
            if let Err(error) = one.end(&mut self.cluster).await {
                self.found("service", format!("undoing {}: {error:#}", one.place));
            }
        }
        self.chronicle.undone(undone.elapsed());
        self.recover(undone, &injected).await;
        Ok(())
    }

    /// Lets time pass.
    async fn wait(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end && !self.interrupted {
            self.look();
            let left = end.saturating_duration_since(Instant::now()).min(LOOK);
            tokio::select! {
                biased;
                _ = self.interrupt.recv() => self.interrupted = true,
                () = sleep(left) => {}
            }
        }
    }

    pub(crate) fn look(&mut self) {
        look_after(&mut self.cluster, &self.pipelines, &mut self.chronicle, &mut self.told);
    }

    pub(crate) fn found(&mut self, guarantee: &'static str, what: String) {
        let finding = Finding { sort: Sort::Other, guarantee, what, at: Some(Instant::now()) };
        self.chronicle.found(finding);
    }
}
