//! SQLite under virtual time. It does its work in real threads and by the real clock, on a runtime of its own; the
//! simulation waits for it in a blocking task, and while there is one, virtual time stands still
//! ([`tokio::time::pause`]). So no timeout of the engine runs out because of a slow disk.

use std::{
    path::PathBuf,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use chat_backend_sqlite::{SqliteBackend, SqliteConfig, Synchronous};
use chat_core::{AppendOutcome, Clock, Draft, Result, Seq, Storage as _, Timestamp};
use tempfile::TempDir;
use tokio::{
    runtime::Runtime,
    sync::{OwnedRwLockWriteGuard, RwLock, watch},
};

use crate::history::History;

/// Where SQLite lives, for all runs of the process.
static REAL_TIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
});

/// Runs it by the real clock, while the virtual one stands still. It comes to its end even if nobody waits for it.
async fn in_real_time<T, F>(work: F) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    tokio::task::spawn_blocking(move || REAL_TIME.handle().block_on(work)).await.unwrap()
}

/// The simulation's clock as it stood at the latest call: SQLite's own threads know nothing of virtual time.
#[derive(Debug)]
struct StandingClock(AtomicU64);

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// Calls that overlap. Which of them SQLite served first cannot be told from the order of its answers, so they are
/// answered together, after everything they stored was noted in the order of its positions.
#[derive(Debug, Default)]
struct Group {
    under_way: usize,
    stored: Vec<(Draft, AppendOutcome)>,
}

/// One SQLite file in a temporary folder.
#[derive(Debug)]
pub(crate) struct SqliteStore {
    folder: TempDir,
    backend: Mutex<SqliteBackend>,
    history: History,
    clock: Arc<dyn Clock>,
    standing: Arc<StandingClock>,
    /// Calls share it; trims, backups and restores have it alone, since the history must know what was before them.
    turns: Arc<RwLock<()>>,
    group: Mutex<Group>,
    answered: watch::Sender<u64>,
    backups: AtomicUsize,
}

impl SqliteStore {
    pub(crate) async fn open(clock: Arc<dyn Clock>, history: History) -> Arc<Self> {
        let folder = tempfile::tempdir().unwrap();
        let standing = Arc::new(StandingClock(AtomicU64::new(clock.now().as_millis())));
        let config = config(folder.path().join("chat.db"), &standing);
        let backend = in_real_time(SqliteBackend::open(config)).await.unwrap();
        Arc::new(Self {
            folder,
            backend: Mutex::new(backend),
            history,
            clock,
            standing,
            turns: Arc::default(),
            group: Mutex::default(),
            answered: watch::Sender::new(0),
            backups: AtomicUsize::new(0),
        })
    }

    /// The file as it is open now; another one after a restore.
    fn backend(&self) -> SqliteBackend {
        self.backend.lock().unwrap().clone()
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("chat.db")
    }

    /// Waits until nobody else calls, and keeps everybody off until it is dropped.
    pub(crate) async fn turn(&self) -> OwnedRwLockWriteGuard<()> {
        self.turns.clone().write_owned().await
    }

    /// Calls the backend. What was begun is brought to its end, also when the caller no longer waits.
    pub(crate) async fn ask<T, W, F>(self: &Arc<Self>, work: W) -> T
    where
        T: Send + 'static,
        W: FnOnce(SqliteBackend) -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.ask_and_note(work, |_| Vec::new()).await
    }

    /// Appends, and has the history know it before anybody is answered who could have seen it.
    pub(crate) async fn append(self: &Arc<Self>, drafts: Vec<Draft>) -> Result<Vec<AppendOutcome>> {
        let noted = drafts.clone();
        self.ask_and_note(
            move |backend| async move { backend.message_log().append(&drafts).await },
            move |answer| match answer {
                Ok(outcomes) => noted.into_iter().zip(outcomes.iter().cloned()).collect(),
                Err(_) => Vec::new(),
            },
        )
        .await
    }

    async fn ask_and_note<T, W, F, N>(self: &Arc<Self>, work: W, note: N) -> T
    where
        T: Send + 'static,
        W: FnOnce(SqliteBackend) -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static,
        N: FnOnce(&T) -> Vec<(Draft, AppendOutcome)> + Send + 'static,
    {
        let store = self.clone();
        let call = async move {
            let turn = store.turns.clone().read_owned().await;
            store.group.lock().unwrap().under_way += 1;
            let answer = store.ask_in_turn(work).await;
            let answered = store.leave(note(&answer));
            if let Some(mut answered) = answered {
                answered.changed().await.unwrap();
            }
            drop(turn);
            answer
        };
        tokio::spawn(call).await.unwrap()
    }

    /// Calls the backend for somebody who has a turn.
    pub(crate) async fn ask_in_turn<T, W, F>(&self, work: W) -> T
    where
        T: Send + 'static,
        W: FnOnce(SqliteBackend) -> F + Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.standing.0.store(self.clock.now().as_millis(), Ordering::Relaxed);
        let backend = self.backend();
        in_real_time(async move { work(backend).await }).await
    }

    /// The last of a group notes what all of it stored; the others are to wait for that.
    fn leave(&self, stored: Vec<(Draft, AppendOutcome)>) -> Option<watch::Receiver<u64>> {
        let mut group = self.group.lock().unwrap();
        group.stored.extend(stored);
        group.under_way -= 1;
        if group.under_way > 0 {
            return Some(self.answered.subscribe());
        }
        let mut stored = std::mem::take(&mut group.stored);
        stored.sort_by_key(|(draft, outcome)| (draft.room.clone(), place(outcome)));
        let (drafts, outcomes): (Vec<_>, Vec<_>) = stored.into_iter().unzip();
        self.history.stored(&drafts, &outcomes);
        self.answered.send_modify(|groups| *groups += 1);
        None
    }

    /// A copy of the file, for somebody who has the turn alone.
    pub(crate) async fn back_up(&self) -> PathBuf {
        let number = self.backups.fetch_add(1, Ordering::Relaxed);
        let copy = self.folder.path().join(format!("backup-{number}.db"));
        let target = copy.clone();
        self.ask_in_turn(move |backend| async move { backend.backup(target).await }).await.unwrap();
        copy
    }

    /// Closes the file, puts the copy in its place and opens that, for somebody who has the turn alone.
    pub(crate) async fn restore(&self, copy: PathBuf) {
        let (file, config) = (self.file(), config(self.file(), &self.standing));
        let reopen = |backend: SqliteBackend| async move {
            backend.close().await.unwrap();
            SqliteBackend::restore(copy, file).unwrap();
            SqliteBackend::open(config).await.unwrap()
        };
        let backend = self.ask_in_turn(reopen).await;
        *self.backend.lock().unwrap() = backend;
    }

    /// Closes the file for good.
    pub(crate) async fn close(&self) {
        let _turn = self.turn().await;
        self.ask_in_turn(|backend| async move { backend.close().await }).await.unwrap();
    }
}

/// Nobody cuts the power in a simulation, so nothing waits for the disk.
fn config(file: PathBuf, clock: &Arc<StandingClock>) -> SqliteConfig {
    SqliteConfig::new(file).with_synchronous(Synchronous::Off).with_clock(clock.clone())
}

fn place(outcome: &AppendOutcome) -> Option<Seq> {
    match outcome {
        AppendOutcome::New(position) => Some(position.cursor.seq),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::dice::JumpingClock;

    #[tokio::test(start_paused = true)]
    async fn virtual_time_stands_still_while_sqlite_works() {
        let store = SqliteStore::open(JumpingClock::new(), History::new(false)).await;
        let start = Instant::now();
        let slow = store.ask(|_| tokio::time::sleep(Duration::from_millis(200)));
        let answer = timeout(Duration::from_millis(10), slow).await;
        assert!(answer.is_ok(), "a timeout ran out because of a slow disk");
        assert_eq!(start.elapsed(), Duration::ZERO);
        store.close().await;
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_overlap_are_answered_together() {
        let store = SqliteStore::open(JumpingClock::new(), History::new(false)).await;
        let ask = |millis| store.ask(move |_| tokio::time::sleep(Duration::from_millis(millis)));
        let begun = std::time::Instant::now();
        let quick = async {
            ask(1).await;
            begun.elapsed()
        };
        let (quick, ()) = tokio::join!(quick, ask(200));
        assert!(quick >= Duration::from_millis(200), "answered after {quick:?}");
        store.close().await;
    }
}
