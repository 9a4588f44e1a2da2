use std::sync::Mutex;

use async_trait::async_trait;
use chat_core::{
    BoxError, Error, Member, MemberChange, MemberOutcome, NewRoom, Result, Role, RoomKey, Timestamp,
};
use rdkafka::message::OwnedHeaders;
use tokio::time::{Instant as Later, sleep};

use super::*;
use crate::{
    KafkaConfig,
    membership::{
        MembershipConfig,
        event::{MembershipRecord, Memberships},
    },
    producer::{Producer, ProducerSettings},
};

/// What was tried, as text, each with the seconds since the beginning.
type Tried = Arc<Mutex<Vec<(u64, String)>>>;

/// Users whose name begins with `bad` fail for so many times.
#[derive(Debug)]
struct Store {
    begun: Later,
    tried: Tried,
    failures: Mutex<HashMap<UserId, usize>>,
    takes: Duration,
}

#[async_trait]
impl Memberships for Store {
    async fn apply(&self, event: MembershipEvent) -> Result<MemberOutcome> {
        let MemberChange { user, version, .. } = event.change;
        let text = format!("{user} {}", version.unwrap());
        self.tried.lock().unwrap().push((self.begun.elapsed().as_secs(), text));
        sleep(self.takes).await;
        if let Some(left) = self.failures.lock().unwrap().get_mut(&user).filter(|left| **left > 0) {
            *left -= 1;
            return Err(Error::Busy { retry_after: Duration::ZERO });
        }
        let now = Timestamp::from_millis(0);
        Ok(MemberOutcome::Added(Member::from_parts(user, Role::Member, now, None, 1)))
    }
}

/// `<user> <version>`, or nothing of interest.
fn decode(record: &MembershipRecord<'_>) -> Result<Option<MembershipEvent>, BoxError> {
    let text = std::str::from_utf8(record.value.unwrap_or_default())?;
    let Some((user, version)) = text.split_once(' ') else { return Ok(None) };
    let change = MemberChange::add(UserId::new(user)?, Role::Member).with_version(version.parse()?);
    Ok(Some(MembershipEvent::new(NewRoom::for_key(RoomKey::new("study")?), change)))
}

struct Bench {
    work: Arc<Work>,
    partition: Partition,
    tried: Tried,
}

impl Bench {
    fn new(failures: &[(&str, usize)], takes: Duration, config: &MembershipConfig) -> Self {
        let tried = Tried::default();
        let failures = failures.iter().map(|(user, times)| (UserId::new(user).unwrap(), *times)).collect();
        let store =
            Store { begun: Later::now(), tried: Arc::clone(&tried), failures: Mutex::new(failures), takes };
        // Nothing here becomes a dead letter.
        let producer =
            Producer::start(&KafkaConfig::new("127.0.0.1:1"), ProducerSettings::default()).unwrap();
        let work = Arc::new(Work::new(config, Arc::new(store), Box::new(decode), producer));
        let partition = Partition::start(&Handle::current(), Arc::clone(&work), config.max_waiting);
        Self { work, partition, tried }
    }

    fn give(&mut self, offset: i64, value: &str) -> Given {
        let (value, headers) = (Some(value.as_bytes().to_vec()), Some(OwnedHeaders::new()));
        let none = rdkafka::Timestamp::NotAvailable;
        self.partition.give(OwnedMessage::new(value, None, "t".to_owned(), none, 0, offset, headers))
    }

    fn tried(&self) -> Vec<(u64, String)> {
        self.tried.lock().unwrap().clone()
    }
}

fn expected<const N: usize>(tried: [(u64, &str); N]) -> Vec<(u64, String)> {
    tried.map(|(at, text)| (at, text.to_owned())).to_vec()
}

#[tokio::test(start_paused = true)]
async fn one_membership_waits_for_its_attempts_and_holds_up_no_other() {
    let mut bench = Bench::new(&[("bad", 3)], Duration::ZERO, &MembershipConfig::new());
    for (offset, value) in ["bad 1", "ann 1", "bad 2", "nothing", "ann 2"].iter().enumerate() {
        assert_eq!(bench.give(i64::try_from(offset).unwrap(), value), Given::Taken);
    }
    sleep(Duration::from_millis(10)).await;
    assert_eq!(bench.tried(), expected([(0, "bad 1"), (0, "ann 1"), (0, "ann 2")]));
    assert_eq!(bench.partition.uncommitted(), Some(0), "what follows is done, and it is not");
    sleep(Duration::from_secs(10)).await;
    let rest = expected([(1, "bad 1"), (3, "bad 1"), (7, "bad 1"), (7, "bad 2")]);
    assert_eq!(bench.tried()[3..], rest);
    assert_eq!(bench.partition.uncommitted(), Some(5));
    bench.partition.committed(5);
    assert_eq!((bench.partition.uncommitted(), bench.partition.committable()), (None, Some(5)));
}

#[tokio::test(start_paused = true)]
async fn a_partition_takes_no_more_than_may_wait() {
    let config = MembershipConfig::new().with_max_waiting(4);
    let mut bench = Bench::new(&[("bad", 1)], Duration::ZERO, &config);
    let mut taken = 0;
    while bench.give(taken, &format!("bad {taken}")) == Given::Taken {
        taken += 1;
        tokio::task::yield_now().await;
    }
    let most = i64::try_from(INBOX).unwrap() + 4;
    assert!(taken <= most, "{taken}");
    // librdkafka may have had one more in hand.
    assert_eq!(bench.give(taken + 1, &format!("bad {}", taken + 1)), Given::Full);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.partition.give_held(), Some(Given::Taken));
    assert_eq!(bench.partition.give_held(), None);
    sleep(Duration::from_secs(2)).await;
    let tried: Vec<_> = bench.tried().into_iter().skip(1).map(|(_, text)| text).collect();
    assert_eq!(tried, (0..=taken + 1).map(|number| format!("bad {number}")).collect::<Vec<_>>());
    assert_eq!(bench.partition.committable(), Some(taken + 2));
}

#[tokio::test(start_paused = true)]
async fn who_is_told_to_stop_ends_the_attempt_and_begins_no_other() {
    let mut bench = Bench::new(&[("bad", 9)], Duration::from_secs(1), &MembershipConfig::new());
    for (offset, value) in ["ann 1", "bad 1", "ann 2", "bob 1"].iter().enumerate() {
        bench.give(i64::try_from(offset).unwrap(), value);
    }
    sleep(Duration::from_millis(500)).await;
    bench.partition.stop();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(bench.tried(), expected([(0, "ann 1"), (0, "bad 1"), (0, "bob 1")]));
    assert_eq!(bench.partition.committable(), Some(1), "bad 1 is left to whoever comes next");
    assert!(bench.partition.task.is_finished());
    assert_eq!(bench.give(9, "late 1"), Given::Ended);
}

/// A store that never answers, or a bug in it, is a failed attempt like any other.
#[tokio::test(start_paused = true)]
async fn an_attempt_without_an_outcome_is_over_in_time() {
    let config = MembershipConfig::new().with_attempt_timeout(Duration::from_secs(2)).with_max_at_once(1);
    let mut bench = Bench::new(&[], Duration::from_secs(3_600), &config);
    bench.give(0, "ann 1");
    bench.give(1, "bob 1");
    sleep(Duration::from_secs(5)).await;
    // One at a time, and nobody keeps his turn while waiting.
    assert_eq!(bench.tried()[..3], expected([(0, "ann 1"), (2, "bob 1"), (4, "ann 1")]));
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_gets_no_answers_holds_up_no_other() {
    let config = MembershipConfig::new().with_max_at_once(1);
    let mut bench = Bench::new(&[], Duration::from_secs(3_600), &config);
    let other = Partition::start(&Handle::current(), Arc::clone(&bench.work), config.max_waiting);
    bench.give(0, "ann 1");
    bench.give(1, "bob 1");
    sleep(Duration::from_millis(10)).await;
    let _hangs = std::mem::replace(&mut bench.partition, other);
    bench.give(0, "eve 1");
    sleep(Duration::from_millis(10)).await;
    assert_eq!(bench.tried(), expected([(0, "ann 1"), (0, "eve 1")]));
}

#[tokio::test]
async fn what_nobody_confirms_is_committed_again() {
    let mut bench = Bench::new(&[], Duration::ZERO, &MembershipConfig::new());
    assert_eq!(bench.give(0, "ann 1"), Given::Taken);
    while bench.partition.uncommitted().is_none() {
        sleep(Duration::from_millis(5)).await;
    }
    bench.partition.committed(1);
    assert_eq!(bench.partition.uncommitted(), None);
    bench.partition.committed_at = Instant::now().checked_sub(UNCONFIRMED).unwrap();
    assert_eq!(bench.partition.uncommitted(), Some(1));
    bench.partition.confirmed(1);
    assert_eq!(bench.partition.uncommitted(), None);
}
