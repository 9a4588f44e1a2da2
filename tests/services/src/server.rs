//! What all servers have in common: where they come from, and what can be done to them.

use std::{fmt, time::Duration};

#[cfg(feature = "docker")]
use anyhow::anyhow;
use anyhow::{Context as _, Result};
use tokio::{
    sync::OnceCell,
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};

#[cfg(feature = "docker")]
use crate::{
    container::{self, Container, Recipe},
    images::Image,
};
use crate::{engine::Engine, port, process::Process, source::Kind};

/// How long it may take until it answers. After a crash it may first have to read its log.
const PATIENCE: Duration = Duration::from_secs(180);

/// How long one attempt to have it answer may take.
const ATTEMPT: Duration = Duration::from_secs(5);

/// A server for tests, such as [`Postgres`](crate::Postgres). It and its data go with this value, and with the process that holds
/// it, however that ends.
pub struct Server<S> {
    url: String,
    service: S,
    /// None where the server was given: that is not ours to end.
    engine: Option<Engine>,
}

/// A server that was started, or can be, and what is known about it.
pub struct Launched<S, P = Process> {
    pub(crate) url: String,
    pub(crate) service: S,
    pub(crate) process: P,
}

impl<S, P> fmt::Debug for Launched<S, P> {
    /// Without the address: that may have a password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Launched").finish_non_exhaustive()
    }
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

    /// The image of its containers.
    #[cfg(feature = "docker")]
    #[doc(hidden)]
    const IMAGE: Image;

    /// Says how a container is started that will listen on this port.
    #[cfg(feature = "docker")]
    #[doc(hidden)]
    fn container(port: u16, settings: &[String]) -> Result<Launched<Self, Recipe>>;

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
        #[cfg(feature = "docker")]
        let obstacle = match container::obstacle(S::IMAGE).await {
            None => {
                return port::start_on_a_free_one(|port| Self::start_container(port, settings.clone())).await;
            }
            Some(obstacle) => obstacle,
        };
        let server = port::start_on_a_free_one(|port| Self::start_process(port, settings.clone())).await;
        #[cfg(feature = "docker")]
        let server = server.map_err(|error| anyhow!("{error:#}\nA container is not to be had: {obstacle}"));
        server
    }

    async fn given(url: String) -> Result<Self> {
        let server = Self { url, service: S::given(), engine: None };
        server.answers().await.with_context(|| format!("the server at {}", S::KIND.variable))?;
        Ok(server)
    }

    async fn start_process(port: u16, settings: Vec<String>) -> Result<Self> {
        Self::from_launched(spawn_blocking(move || S::launch(port, &settings)).await??).await
    }

    /// Waits until a process answers, and makes it ready.
    pub(crate) async fn from_launched(launched: Launched<S>) -> Result<Self> {
        let Launched { url, service, process } = launched;
        Self { url, service, engine: Some(Engine::Process(process)) }.prepared().await
    }

    #[cfg(feature = "docker")]
    async fn start_container(port: u16, settings: Vec<String>) -> Result<Self> {
        let Launched { url, service, process: recipe } = S::container(port, &settings)?;
        let container = Container::start(recipe).await?;
        Self { url, service, engine: Some(Engine::Container(Box::new(container))) }.prepared().await
    }

    async fn prepared(self) -> Result<Self> {
        self.answers().await.with_context(|| format!("{} does not come up", S::KIND.name))?;
        self.service.prepare(&self.url).await?;
        Ok(self)
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
        self.engine()?.stop().await
    }

    /// Ends it and every process of it with `kill -9`.
    ///
    /// # Errors
    /// It is not running, or not ours.
    pub async fn kill(&self) -> Result<()> {
        self.engine()?.kill().await
    }

    /// Starts it again, with the same data and at the same address, and waits until it answers.
    ///
    /// # Errors
    /// It is running, not ours, or does not come up.
    pub async fn start(&self) -> Result<()> {
        self.engine()?.start_again().await?;
        self.answers().await.with_context(|| format!("{} does not come up again", S::KIND.name))
    }

    /// Halts it: connections stay, new ones are taken by the system, and nothing answers.
    ///
    /// # Errors
    /// It is not running, or not ours.
    pub async fn pause(&self) -> Result<()> {
        self.engine()?.pause().await
    }

    /// Lets it go on after [`pause`](Self::pause).
    ///
    /// # Errors
    /// It is not running, or not ours.
    pub async fn resume(&self) -> Result<()> {
        self.engine()?.resume().await
    }

    /// The end of the server's log; nothing where it is not ours.
    #[must_use]
    pub fn log_tail(&self) -> String {
        self.engine.as_ref().map(Engine::log_tail).unwrap_or_default()
    }

    /// The name of its container, if it is in one.
    #[must_use]
    pub fn container(&self) -> Option<&str> {
        self.engine.as_ref().and_then(Engine::container)
    }

    pub(crate) fn service(&self) -> &S {
        &self.service
    }

    fn engine(&self) -> Result<&Engine> {
        self.engine
            .as_ref()
            .with_context(|| format!("the server at {} is not ours to break", S::KIND.variable))
    }

    /// Waits until it answers.
    async fn answers(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_millis(10);
        loop {
            let error = match timeout(ATTEMPT, S::ask(&self.url)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(elapsed) => elapsed.into(),
            };
            // One that was given is there or not.
            let Some(engine) = &self.engine else { return Err(error) };
            engine.check().await?;
            if Instant::now() > deadline {
                return Err(error.context(engine.log_tail()));
            }
            // Seldom after a while: it needs the processor to start.
            pause = (pause * 5 / 4).min(Duration::from_millis(500));
            sleep(pause).await;
        }
    }
}

impl<S: Service> fmt::Debug for Server<S> {
    /// Without the address: that has a password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct(S::KIND.name).field("engine", &self.engine).finish_non_exhaustive()
    }
}
