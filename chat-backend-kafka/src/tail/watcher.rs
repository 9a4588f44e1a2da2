//! The thread that asks the cluster whether all is as it should be.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, mpsc::SyncSender},
    time::{Duration, Instant},
};

use rdkafka::{ClientConfig, consumer::Consumer as _};

use super::{
    Shared, State,
    bell::Alarm,
    context::Context,
    leaders::{Led, Questions},
    places::{Behind, Held, Place},
    reader::{Order, TailConsumer},
};
use crate::{
    KafkaError,
    forsaken::{close_aside, hear},
};

/// After a question that had no answer.
const PAUSE: Duration = Duration::from_millis(200);

/// How long an answer may take at least: a broker that waits for records answers nothing else on that connection, by default
/// for half a second.
const LEAST_PATIENCE: Duration = Duration::from_secs(2);

const MISSED: &str = "chat_kafka_tail_missed_total";
const LAG: &str = "chat_kafka_tail_lag_records";

pub(super) struct Watcher {
    shared: Arc<Shared>,
    config: ClientConfig,
    consumer: TailConsumer,
    /// The reader has this consumer, and nobody else reads with it.
    is_read: bool,
    orders: SyncSender<Order>,
    /// The partitions that are read.
    known: BTreeSet<Place>,
    /// Those that are not, as nobody said what they hold when reading began or began anew, and how each is to be gone on with.
    absent: BTreeMap<Place, Absent>,
    /// How often it was asked what partitions hold.
    turn: usize,
    behind: Behind,
    /// What is to be told as soon as the cluster answers again.
    disturbed: bool,
    lost: bool,
    /// Not everything was answered the last time: what of it was late is not known before it is.
    partial: bool,
}

/// Where a partition is gone on with that is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absent {
    /// Where it was.
    Position,
    /// At its end, whenever that is known: nothing of it was read yet.
    End,
}

impl Watcher {
    /// # Errors
    /// A setting that librdkafka does not take.
    pub(super) fn new(
        shared: Arc<Shared>,
        config: ClientConfig,
        orders: SyncSender<Order>,
    ) -> Result<Self, KafkaError> {
        let consumer = open(&shared, &config)?;
        Ok(Self {
            shared,
            config,
            consumer,
            is_read: false,
            orders,
            known: BTreeSet::new(),
            absent: BTreeMap::new(),
            turn: 0,
            behind: Behind::default(),
            disturbed: false,
            lost: false,
            partial: false,
        })
    }

    pub(super) fn run(mut self) {
        let hurry = Instant::now() + self.patience();
        while let Err(error) = self.begin(hurry) {
            hear(&self.consumer);
            let error = self.consumer.context().denial.behind(error);
            self.shared.is_in(State::Starting(Some(error)));
            self.shared.bell.pause(PAUSE);
            if self.shared.bell.is_closed() {
                return;
            }
        }
        if !self.partial {
            self.live();
        }
        while let Some(alarm) = self.next_alarm() {
            self.disturbed |= alarm.disturbed;
            self.lost |= alarm.lost;
            let trouble = match self.look() {
                Ok(trouble) => trouble,
                Err(error) => {
                    (self.disturbed, self.partial) = (true, true);
                    Some(error)
                }
            };
            let Some(error) = trouble else {
                self.live();
                continue;
            };
            let error = self.consumer.context().denial.behind(error);
            tracing::debug!(%error, "not all of the topics can be looked at");
            self.shared.is_in(State::Troubled(error));
        }
    }

    /// Waits for the next look; none once it is closed.
    fn next_alarm(&self) -> Option<Alarm> {
        if self.partial {
            self.shared.bell.pause(PAUSE);
            return self.shared.bell.wait(Duration::ZERO);
        }
        self.shared.bell.wait(self.shared.settings.refresh)
    }

    fn live(&self) {
        self.consumer.context().denial.is_over();
        self.shared.is_in(State::Live);
    }

    /// Has everything read from where it ends now. From this time on that is what has a leader: the rest is added when it has one, and
    /// is then told as missed.
    fn begin(&mut self, hurry: Instant) -> Result<(), KafkaError> {
        self.renew_if_forsaken()?;
        let questions = self.questions();
        let led = questions.partitions()?;
        let ends = questions.ends(&led).or_nothing()?;
        if let Some(trouble) = ends.trouble {
            if Instant::now() < hurry {
                return Err(trouble);
            }
            tracing::warn!(error = %trouble, "not all partitions have a leader; they are read when they have one");
            self.shared.is_in(State::Troubled(trouble));
        }
        self.known = ends.of.keys().copied().collect();
        let absent = led.into_keys().filter(|place| !self.known.contains(place));
        self.absent = absent.map(|place| (place, Absent::End)).collect();
        self.order(Order::Begin(Arc::clone(&self.consumer), ends.of));
        (self.is_read, self.lost, self.partial) = (true, false, !self.absent.is_empty());
        Ok(())
    }

    /// A consumer that knows no broker any more is of no use to anybody.
    fn renew_if_forsaken(&mut self) -> Result<(), KafkaError> {
        if !self.is_read {
            hear(&self.consumer);
        }
        if self.consumer.context().forsaken.is() {
            tracing::info!("a consumer that knows no broker any more is made anew");
            self.renew()?;
            self.lost = true;
        }
        Ok(())
    }

    fn renew(&mut self) -> Result<(), KafkaError> {
        let old = std::mem::replace(&mut self.consumer, open(&self.shared, &self.config)?);
        if !std::mem::take(&mut self.is_read) {
            close_aside(old);
        }
        Ok(())
    }

    /// Looks whether all is as it should be, and answers why not all of it could be looked at.
    ///
    /// # Errors
    /// Nothing could be.
    fn look(&mut self) -> Result<Option<KafkaError>, KafkaError> {
        self.renew_if_forsaken()?;
        let led = self.questions().partitions()?;
        // One that has just been made may have no leader yet.
        let is_new = |place: &&Place| !self.known.contains(place) && !self.absent.contains_key(place);
        let new: BTreeMap<_, _> =
            led.keys().filter(is_new).map(|place| (*place, Held::new_partition())).collect();
        let settled = among(&led, |place| self.known.contains(place));
        if !new.is_empty() {
            tracing::info!(partitions = new.len(), "new partitions are read from their beginning");
            self.known.extend(new.keys());
            self.order(Order::Add(new));
        }
        // A topic never gets fewer: it was made anew.
        self.lost |= self.known.len() + self.absent.len() > led.len();
        let positions = self.shared.positions().clone();
        let mut ends = self.questions().ends(&settled);
        if self.absent.is_empty() {
            ends = ends.or_nothing()?;
        }
        self.lost |= ends.of.iter().any(|(place, end)| positions.get(place).is_some_and(|next| next > end));
        let mut trouble = ends.trouble;
        if self.lost {
            trouble = self.restart(&led)?;
        } else {
            trouble = self.add_absent(&led).or(trouble);
            let late = self.behind.note(&positions, &ends.of, self.shared.settings.stall, Instant::now());
            if late {
                tracing::warn!("records wait for longer than they should");
            }
            if late || self.disturbed || (self.partial && trouble.is_none()) {
                metrics::counter!(MISSED).increment(1);
                self.order(Order::Missed);
            }
        }
        (self.lost, self.disturbed, self.partial) = (false, false, trouble.is_some());
        self.tell_lag(&ends.of);
        Ok(trouble)
    }

    /// Goes on with those of the absent that have a leader again, and answers why not with all of them.
    fn add_absent(&mut self, led: &Led) -> Option<KafkaError> {
        if self.absent.is_empty() {
            return None;
        }
        let absent = among(led, |place| self.absent.contains_key(place));
        let (held, trouble) = self.held(&absent);
        if !held.is_empty() {
            tracing::info!(partitions = held.len(), "partitions have a leader again, and are read again");
            self.absent.retain(|place, _| !held.contains_key(place));
            self.known.extend(held.keys());
            self.order(Order::Add(held));
            self.disturbed = true;
        }
        trouble
    }

    /// What these hold, and why that is not known of all.
    fn held(&mut self, led: &Led) -> (BTreeMap<Place, Held>, Option<KafkaError>) {
        let positions = self.shared.positions().clone();
        self.turn += 1;
        let said = self.questions().bounds(led, self.turn);
        let held = said.of.into_iter().map(|(place, bounds)| match self.absent.get(&place) {
            Some(Absent::End) => (place, Held::end(bounds)),
            _ => (place, Held::new(bounds, positions.get(&place).copied().unwrap_or(0))),
        });
        (held.collect(), said.trouble)
    }

    /// Answers why not all could be gone on with.
    fn restart(&mut self, led: &Led) -> Result<Option<KafkaError>, KafkaError> {
        if self.is_read {
            self.renew()?;
        }
        let (held, trouble) = self.held(led);
        if let (true, Some(trouble)) = (held.is_empty(), &trouble) {
            return Err(trouble.clone());
        }
        tracing::warn!("reading begins anew where it was, or behind records that are gone");
        metrics::counter!(MISSED).increment(1);
        let absent = led.keys().filter(|place| !held.contains_key(place));
        let how = |place: &Place| self.absent.get(place).copied().unwrap_or(Absent::Position);
        self.absent = absent.map(|place| (*place, how(place))).collect();
        self.known = held.keys().copied().collect();
        self.behind = Behind::default();
        let held = led.keys().map(|place| (*place, held.get(place).copied())).collect();
        self.order(Order::Restart(Arc::clone(&self.consumer), held));
        self.is_read = true;
        Ok(trouble)
    }

    fn questions(&self) -> Questions<'_> {
        Questions { consumer: &self.consumer, topics: &self.shared.topics, patience: self.patience() }
    }

    fn patience(&self) -> Duration {
        self.shared.settings.refresh.max(LEAST_PATIENCE)
    }

    /// Without a reader nobody needs it.
    fn order(&self, order: Order) {
        drop(self.orders.send(order));
    }

    fn tell_lag(&self, ends: &BTreeMap<Place, i64>) {
        let positions = self.shared.positions().clone();
        for (topic, name) in self.shared.topics.iter().enumerate() {
            let ends = ends.iter().filter(|(place, _)| place.topic == topic);
            let lag: i64 = ends.map(|(place, end)| (end - positions.get(place).unwrap_or(end)).max(0)).sum();
            #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
            metrics::gauge!(LAG, "topic" => name.clone()).set(lag as f64);
        }
    }
}

fn among(led: &Led, is_among: impl Fn(&Place) -> bool) -> Led {
    led.iter().filter(|(place, _)| is_among(place)).map(|(place, leader)| (*place, *leader)).collect()
}

fn open(shared: &Shared, config: &ClientConfig) -> Result<TailConsumer, KafkaError> {
    Ok(Arc::new(config.create_with_context(Context::new(Arc::clone(&shared.bell)))?))
}
