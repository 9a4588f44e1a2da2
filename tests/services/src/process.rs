//! A server as a process of ours, with everything that process started.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::{family, folder::Folder, user::User};

/// How long a server may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often we look.
const INTERVAL: Duration = Duration::from_millis(10);

/// How much of the log an error shows.
const TAIL_BYTES: u64 = 8192;

/// Notes its own number before it becomes the server: the folder's guardian then knows it, whenever we go.
const NOTE_AND_START: &str = r#"echo $$ >"$1/processes" && shift && exec "$@""#;

/// How a server is started and ended.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(String, OsString)>,
    pub(crate) user: Option<User>,
    /// Ends it in good order.
    pub(crate) stop: Signal,
}

/// A server process; it and its folder go with this value.
#[derive(Debug)]
pub struct Process {
    launch: Launch,
    folder: Folder,
    /// None while it is down.
    child: Mutex<Option<Child>>,
}

impl Process {
    /// Starts it. That it is there does not mean that it answers.
    pub(crate) fn start(launch: Launch, folder: Folder) -> Result<Self> {
        let process = Self { launch, folder, child: Mutex::new(None) };
        process.start_again()?;
        Ok(process)
    }

    /// Starts it anew after it was stopped or killed, or ended by itself.
    pub(crate) fn start_again(&self) -> Result<()> {
        let mut child = self.child();
        if let Some(child) = &mut *child
            && child.try_wait()?.is_none()
        {
            bail!("it runs already");
        }
        let launch = &self.launch;
        let path = self.log_path();
        let log = OpenOptions::new().create(true).append(true).open(&path).context("its log")?;
        let mut command = Command::new("sh");
        command.args(["-c", NOTE_AND_START, "sh"]).arg(self.folder.path());
        command.arg(&launch.program).args(&launch.arguments);
        command.envs(launch.environment.iter().map(|(name, value)| (name, value)));
        // A group of its own: Ctrl-C is for the tests, and the guardian ends the server in its time.
        command.current_dir(self.folder.path()).process_group(0);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        if let Some(user) = &launch.user {
            command.uid(user.id).gid(user.group);
        }
        *child = Some(command.spawn().with_context(|| launch.program.display().to_string())?);
        Ok(())
    }

    /// Ends it in good order and waits for that.
    pub(crate) async fn stop(&self) -> Result<()> {
        family::signal(self.id()?, self.launch.stop)?;
        self.ended().await
    }

    /// Ends it and all it started with SIGKILL: no chance to write or to say anything.
    pub(crate) async fn kill(&self) -> Result<()> {
        let process = self.id()?;
        let all = family::stop_all(process)?;
        family::signal_all(&all, Signal::KILL)?;
        self.ended().await?;
        // The children are not ours to wait for, and may hold the port and the memory until they are gone.
        let deadline = Instant::now() + PATIENCE;
        while all.iter().any(|process| family::is_running(*process)) {
            if Instant::now() > deadline {
                bail!("its children are still there {PATIENCE:?} after SIGKILL");
            }
            sleep(INTERVAL).await;
        }
        Ok(())
    }

    /// Halts it and all it started. Its connections stay, and nothing answers on them.
    pub(crate) fn pause(&self) -> Result<()> {
        let all = family::stop_all(self.id()?)?;
        Ok(self.folder.note_processes(&all)?)
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) -> Result<()> {
        let process = self.id()?;
        let mut all = family::with_descendants(process)?;
        all.reverse();
        family::signal_all(&all, Signal::CONT)?;
        Ok(self.folder.note_processes(&[process])?)
    }

    /// Says why it is not there any more, if it is not.
    pub(crate) fn check(&self) -> Result<()> {
        match self.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("it ended: {status}\n{}", self.log_tail()),
        }
    }

    /// The end of what it wrote.
    pub(crate) fn log_tail(&self) -> String {
        let path = self.log_path();
        let read = || {
            let mut log = File::open(&path)?;
            let length = log.metadata()?.len();
            log.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
            let mut tail = Vec::new();
            log.read_to_end(&mut tail)?;
            std::io::Result::Ok(String::from_utf8_lossy(&tail).into_owned())
        };
        match read() {
            Ok(tail) => format!("the end of its log:\n{tail}"),
            Err(error) => format!("and there is no log: {error}"),
        }
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn id(&self) -> Result<u32> {
        Ok(self.child().as_ref().context("it is not running")?.id())
    }

    fn try_wait(&self) -> Result<Option<ExitStatus>> {
        self.child().as_mut().context("it is not running")?.try_wait().context("waiting for it")
    }

    async fn ended(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("it is still there after {PATIENCE:?}\n{}", self.log_tail());
            }
            sleep(INTERVAL).await;
        }
        self.folder.forget_processes()?;
        *self.child() = None;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The guardian ends it, in the same way as when there is no drop; we only wait, so that it goes altogether.
        self.folder.release();
        if let Some(mut child) = self.child().take() {
            let _ = child.wait();
        }
    }
}
