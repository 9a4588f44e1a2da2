use std::{
    fmt, io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use chat_core::{Epoch, Error, Result, Retry};

use crate::{journal::Journal, record::Record, state::State};

/// Rooms, members and messages in one file of JSON lines, for one process at a time. Cloning gives another handle on the same.
///
/// It is [`MessageLog`](chat_core::MessageLog) and [`Rooms`](chat_core::Rooms). Everything is in memory, too, and every change waits for the
/// disk: a toy, to be read.
#[derive(Clone)]
pub struct FileStore {
    open: Arc<Mutex<Open>>,
}

pub(crate) struct Open {
    journal: Journal,
    pub(crate) state: State,
}

pub(crate) const NAME: &str = "file";

/// A failure of the file. It may pass, or be over when the file is opened again; what was to be stored is sent again under its name.
pub(crate) fn failed(operation: &'static str, error: io::Error) -> Error {
    Error::backend(NAME, operation, Retry::Later, error)
}

impl FileStore {
    /// Opens the file, which is made if it is not there. It blocks while it reads.
    ///
    /// # Errors
    /// What opening, locking or reading it says: [`io::ErrorKind::WouldBlock`] where another process has it,
    /// [`io::ErrorKind::InvalidData`] where a line is not of this store's.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::load(path.as_ref(), false)
    }

    /// Opens an older copy that was put in the place of the file. What was stored since is lost, and positions will be given out again:
    /// cursors from before have to be told from those, so it begins a new epoch.
    ///
    /// # Errors
    /// As [`FileStore::open`].
    pub fn open_restored(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::load(path.as_ref(), true)
    }

    fn load(path: &Path, restored: bool) -> io::Result<Self> {
        let (mut journal, records) = Journal::open(path)?;
        let begins = records.is_empty() || restored;
        let mut state = State::new(Epoch::generate());
        for record in records {
            state.apply(record);
        }
        if begins {
            let epoch = Record::Epoch(Epoch::generate());
            journal.append(std::slice::from_ref(&epoch))?;
            state.apply(epoch);
        }
        Ok(Self { open: Arc::new(Mutex::new(Open { journal, state })) })
    }

    /// Does something with the file, on a thread that may wait for the disk. One at a time, so that each is one atomic step; it goes on to
    /// its end where nobody waits for it any more.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut Open) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let open = self.open.clone();
        let work = move || work(&mut open.lock().unwrap_or_else(PoisonError::into_inner));
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|error| Err(failed(operation, error.into())))
    }
}

impl Open {
    /// Writes what is to happen, and lets it happen once it is on the disk.
    pub(crate) fn commit(&mut self, operation: &'static str, records: Vec<Record>) -> Result<()> {
        if !records.is_empty() {
            self.journal.append(&records).map_err(|error| failed(operation, error))?;
        }
        for record in records {
            self.state.apply(record);
        }
        Ok(())
    }

    pub(crate) fn check(&self, operation: &'static str) -> Result<()> {
        self.journal.check().map_err(|error| failed(operation, error))
    }
}

/// Without what was said.
impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").finish_non_exhaustive()
    }
}
