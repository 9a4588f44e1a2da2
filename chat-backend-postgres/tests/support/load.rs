//! Writers who go on whatever happens, and what they were promised.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chat_backend_postgres::{PostgresBackend, PostgresErrorKind};
use chat_core::{AppendOutcome, MessageId, MessageLog};
use tokio::time::{Instant, sleep, timeout};

use super::{draft, kind, read, room, sqlstate};

pub(crate) const ROOMS: usize = 4;
const WRITERS: usize = 6;

/// What was acknowledged: (room, client id) and the message id.
type Acknowledged = Arc<Mutex<BTreeMap<(usize, String), MessageId>>>;

/// How often the writers met which failure, and its SQLSTATE if it had one.
pub(crate) type Refused = Arc<Mutex<BTreeMap<String, usize>>>;

/// Writers that send one message after the other, each again and again until it is acknowledged.
pub(crate) struct Load {
    acknowledged: Acknowledged,
    refused: Refused,
    stop: Arc<AtomicBool>,
    writers: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(backend: &PostgresBackend) -> Self {
        let (acknowledged, refused) = (Acknowledged::default(), Refused::default());
        let stop = Arc::new(AtomicBool::new(false));
        let writers = (0..WRITERS)
            .map(|writer| {
                let (log, stop) = (backend.message_log(), stop.clone());
                let (acknowledged, refused) = (acknowledged.clone(), refused.clone());
                tokio::spawn(async move { write(writer, &*log, &acknowledged, &refused, &stop).await })
            })
            .collect();
        Self { acknowledged, refused, stop, writers }
    }

    pub(crate) fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// How often the writers met this failure.
    pub(crate) fn refused(&self, kind: PostgresErrorKind, sqlstate: Option<&str>) -> usize {
        self.refused.lock().unwrap().get(&failure(Some(kind), sqlstate)).copied().unwrap_or(0)
    }

    /// All failures that the writers met.
    pub(crate) fn all_refused(&self) -> String {
        format!("{:?}", self.refused.lock().unwrap())
    }

    /// Waits until so many more were acknowledged, and answers how long that took.
    pub(crate) async fn more(&self, more: usize, within: Duration) -> Duration {
        let (start, wanted) = (Instant::now(), self.count() + more);
        timeout(within, async {
            while self.count() < wanted {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .expect("messages are acknowledged again");
        start.elapsed()
    }

    /// Ends the load.
    pub(crate) async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for writer in self.writers {
            timeout(Duration::from_secs(30), writer).await.unwrap().unwrap();
        }
    }

    /// Ends the load and compares what was acknowledged with what is stored.
    pub(crate) async fn check(self, backend: &PostgresBackend) {
        self.stop.store(true, Ordering::Relaxed);
        for writer in self.writers {
            timeout(Duration::from_secs(30), writer).await.unwrap().unwrap();
        }
        let acknowledged = self.acknowledged.lock().unwrap().clone();
        assert!(acknowledged.len() > 50, "{} acknowledged", acknowledged.len());
        let mut stored = BTreeMap::new();
        for n in 0..ROOMS {
            for entry in read(&*backend.message_log(), &room(n)).await {
                let before = stored.insert((n, entry.client_id.as_str().to_owned()), entry.position.id);
                assert_eq!(before, None, "{entry:?} twice");
            }
        }
        for (message, id) in &acknowledged {
            assert_eq!(stored.get(message), Some(id), "{message:?} was acknowledged");
        }
    }
}

fn failure(kind: Option<PostgresErrorKind>, sqlstate: Option<&str>) -> String {
    format!("{kind:?} {}", sqlstate.unwrap_or("without a code"))
}

async fn write(
    writer: usize,
    log: &dyn MessageLog,
    acknowledged: &Acknowledged,
    refused: &Refused,
    stop: &AtomicBool,
) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let (n, id) = (number % ROOMS, format!("{writer}-{number}"));
        let message = draft(room(n), "ann", &id);
        loop {
            match log.append(std::slice::from_ref(&message)).await {
                Ok(outcomes) => match &outcomes[0] {
                    AppendOutcome::New(position) | AppendOutcome::Duplicate(position) => {
                        acknowledged.lock().unwrap().insert((n, id), position.id);
                        break;
                    }
                    other => panic!("{other:?}"),
                },
                Err(error) => {
                    assert!(error.is_retryable(), "{error:?}");
                    *refused
                        .lock()
                        .unwrap()
                        .entry(failure(kind(&error), sqlstate(&error).as_deref()))
                        .or_default() += 1;
                    sleep(Duration::from_millis(20)).await;
                }
            }
        }
        number += 1;
    }
}
