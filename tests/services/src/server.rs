//! What all servers have in common: where they come from, and what can be done to them.

use std::{fmt, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    sync::OnceCell,
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};

use crate::{port, process::Process, source::Kind};

/// How long it may take until it answers. After a crash it may first have to read its log.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long one attempt to have it answer may take.
const ATTEMPT: Duration = Duration::from_secs(5);

/// A server for tests, such as [`Postgres`](crate::Postgres). It and its data go with this value, and with the process that holds
/// it, however that ends.
pub struct Server<S> {
    url: String,
    service: S,
    /// None where the server was given: that is not ours to end.
    process: Option<Process>,
}

/// A process that was started, and what is known about it.
#[derive(Debug)]
pub struct Launched<S> {
    pub(crate) url: String,
    pub(crate) service: S,
    pub(crate) process: Process,
}

/// What differs between servers. Not for use outside.
pub trait Service: Sized + Send + Sync + 'static {
    /// Names, for people and for the environment.
    #[doc(hidden)]
    const KIND: Kind;

    /// What is known about a server that was given.
    #[doc(hidden)]
    fn given() -> Self;

    /// The one server of this process.
    #[doc(hidden)]
    fn shared() -> &'static OnceCell<Server<Self>>;

    /// Starts a process that will listen on this port. Takes its time. These settings come after ours.
    #[doc(hidden)]
    fn launch(port: u16, settings: &[String]) -> Result<Launched<Self>>;

    /// Asks the server for something.
    #[doc(hidden)]
    fn ask(url: &str) -> impl Future<Output = Result<()>> + Send;

    /// Makes a server of ours ready, once.
    #[doc(hidden)]
    fn prepare(&self, _url: &str) -> impl Future<Output = Result<()>> + Send {
        std::future::ready(Ok(()))
    }

    /// Host and port.
    #[doc(hidden)]
    fn address(url: &str) -> Result<String>;
}

impl<S: Service> Server<S> {
    /// The one server of this test binary; it is there until the binary ends. Takes the server that `CHAT_TEST_…_URL` names, if
    /// that is set.
    ///
    /// # Errors
    /// None can be had, and how to get one.
    pub async fn shared() -> Result<&'static Self> {
        S::shared()
            .get_or_try_init(|| async {
                match S::KIND.given() {
                    Some(url) => Self::given(url).await,
                    None => Self::private().await,
                }
            })
            .await
    }

    /// A server for one test, which may break it. It goes with this value.
    ///
    /// # Errors
    /// None can be had, and how to get one.
    pub async fn private() -> Result<Self> {
        Self::private_with(&[]).await
    }

    /// As [`private`](Self::private), with settings of its own: lines as in the server's configuration file, such as
    /// `max_connections=10` for PostgreSQL, `appendonly yes` for Redis or `num.partitions=1` for Kafka.
    ///
    /// # Errors
    /// As [`private`](Self::private), and if the server does not take a setting.
    pub async fn private_with(settings: &[&str]) -> Result<Self> {
        let settings: Vec<String> = settings.iter().map(|&line| line.to_owned()).collect();
        port::start_on_a_free_one(|port| Self::start_process(port, settings.clone())).await
    }

    async fn given(url: String) -> Result<Self> {
        let server = Self { url, service: S::given(), process: None };
        server.answers().await.with_context(|| format!("the server at {}", S::KIND.variable))?;
        Ok(server)
    }

    async fn start_process(port: u16, settings: Vec<String>) -> Result<Self> {
        Self::from_launched(spawn_blocking(move || S::launch(port, &settings)).await??).await
    }

    /// Waits until a process answers, and makes it ready.
    pub(crate) async fn from_launched(launched: Launched<S>) -> Result<Self> {
        let Launched { url, service, process } = launched;
        let server = Self { url, service, process: Some(process) };
        server.answers().await.with_context(|| format!("{} does not come up", S::KIND.name))?;
        server.service.prepare(&server.url).await?;
        Ok(server)
    }

    /// Its address, with all rights there are as far as the server is ours. May contain a password.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Host and port, for a [`Proxy`](crate::Proxy).
    ///
    /// # Errors
    /// The given address has no host.
    pub fn address(&self) -> Result<String> {
        S::address(&self.url)
    }

    /// Ends it in good order.
    ///
    /// # Errors
    /// It is not running, or not ours.
    pub async fn stop(&self) -> Result<()> {
        self.process()?.stop().await
    }

    /// Ends it and every process of it with `kill -9`.
    ///
    /// # Errors
    /// It is not running, or not ours.
    pub async fn kill(&self) -> Result<()> {
        self.process()?.kill().await
    }

    /// Starts it again, with the same data and at the same address, and waits until it answers.
    ///
    /// # Errors
    /// It is running, not ours, or does not come up.
    pub async fn start(&self) -> Result<()> {
        self.process()?.start_again()?;
        self.answers().await.with_context(|| format!("{} does not come up again", S::KIND.name))
    }

    /// Halts it: connections stay, new ones are taken by the system, and nothing answers.
    ///
    /// # Errors
    /// It is not running, or not ours.
    pub fn pause(&self) -> Result<()> {
        self.process()?.pause()
    }

    /// Lets it go on after [`pause`](Self::pause).
    ///
    /// # Errors
    /// It is not running, or not ours.
    pub fn resume(&self) -> Result<()> {
        self.process()?.resume()
    }

    /// The end of the server's log; nothing where it is not ours.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.process.as_ref().map(Process::log_tail).unwrap_or_default()
    }

    pub(crate) fn service(&self) -> &S {
        &self.service
    }

    fn process(&self) -> Result<&Process> {
        self.process
            .as_ref()
            .with_context(|| format!("the server at {} is not ours to break", S::KIND.variable))
    }

    /// Waits until it answers.
    async fn answers(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let error = match timeout(ATTEMPT, S::ask(&self.url)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(elapsed) => elapsed.into(),
            };
            // One that was given is there or not.
            let Some(process) = &self.process else { return Err(error) };
            process.check()?;
            if Instant::now() > deadline {
                return Err(error.context(process.log_tail()));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl<S: Service> fmt::Debug for Server<S> {
    /// Without the address: that has a password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct(S::KIND.name).field("process", &self.process).finish_non_exhaustive()
    }
}
