//! A server in a container, where a Docker engine answers.

use std::{
    collections::BTreeMap,
    env, fmt, fs,
    mem::ManuallyDrop,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use testcontainers_modules::testcontainers::{
    ContainerAsync, GenericImage, ImageExt as _,
    bollard::query_parameters::KillContainerOptionsBuilder,
    core::{IntoContainerPort as _, client::docker_client_instance},
    runners::AsyncRunner as _,
};
use tokio::{
    sync::OnceCell,
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};
use url::{Host, Url};

use crate::images::Image;

/// How long an engine may take to say that it is there.
const ANSWER: Duration = Duration::from_secs(5);

/// How long fetching an image may take.
const FETCH: Duration = Duration::from_secs(600);

/// How long a server may take to end by itself, in seconds.
const STOP_SECONDS: i32 = 30;

/// How long halting a busy container may take.
const PAUSE: Duration = Duration::from_secs(30);

/// The engine's own 64 MB are too few for queries that PostgreSQL shares out among processes.
const SHARED_MEMORY: i64 = 256 << 20;

/// Waits until its standard input ends, as the guardian of a folder does, and removes the container: the engine would keep it
/// when the tests are killed, and a server that all tests share is never dropped.
const GUARDIAN: &str = r#"
trap '' HUP INT QUIT TERM
while read -r _; do :; done
docker rm --force --volumes "$1"
"#;

/// Why servers of this image cannot run in containers here; nothing if they can.
///
/// Found out once per process: an engine that hangs or a registry out of reach costs seconds, which not every server is to lose.
pub(crate) async fn obstacle(image: Image) -> Option<String> {
    static FOUND: Mutex<BTreeMap<&str, Arc<OnceCell<Option<String>>>>> = Mutex::new(BTreeMap::new());
    let found =
        Arc::clone(FOUND.lock().unwrap_or_else(PoisonError::into_inner).entry(image.name).or_default());
    found.get_or_init(|| async { look(image).await.err().map(|error| format!("{error:#}")) }).await.clone()
}

async fn look(image: Image) -> Result<()> {
    let docker = docker_client_instance().await?;
    timeout(ANSWER, docker.ping()).await.context("the Docker engine does not answer")??;
    let engine = timeout(ANSWER, docker.info()).await.context("the Docker engine does not answer")??;
    is_of_this_machine(engine.name.as_deref().unwrap_or_default())?;
    // The guardian is a script, so it needs the program, which can be set up to speak to another engine.
    let ask = || docker_program(&["info", "--format", "{{.ID}}"]);
    let Output { stdout, .. } =
        spawn_blocking(ask).await?.context("the program docker, which has to clear up")?;
    let asked = String::from_utf8_lossy(&stdout);
    if engine.id.as_deref() != Some(asked.trim()) {
        bail!("the program docker, which has to clear up, speaks to another engine: {}", asked.trim());
    }
    if docker.inspect_image(&image.to_string()).await.is_err() {
        let fetch = GenericImage::new(image.name, image.tag).pull_image();
        let _ =
            timeout(FETCH, fetch).await.with_context(|| format!("{image} takes longer than {FETCH:?}"))??;
    }
    Ok(())
}

/// A server's address is one of 127.0.0.1, so that nobody else can reach it.
fn is_of_this_machine(engine: &str) -> Result<()> {
    // In a container that is given the engine's socket, 127.0.0.1 is another one. Such a container has a name of its own; where
    // the engine runs beside the tests, it has the same.
    let in_container = Path::new("/.dockerenv").exists();
    if in_container && fs::read_to_string("/proc/sys/kernel/hostname")?.trim() != engine {
        bail!("the tests are in a container themselves, and cannot reach the ports of others");
    }
    let Some(host) = env::var("DOCKER_HOST").ok().and_then(|host| Url::parse(&host).ok()) else {
        return Ok(());
    };
    let is_here = match host.host() {
        None => true,
        Some(Host::Domain(name)) => name.is_empty() || name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
    };
    if is_here { Ok(()) } else { bail!("the Docker engine of DOCKER_HOST is on another machine") }
}

fn docker_program(arguments: &[&str]) -> Result<Output> {
    let output = Command::new("docker").args(arguments).stdin(Stdio::null()).output()?;
    if !output.status.success() {
        bail!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(output)
}

/// What to run. Its environment may contain a password.
pub struct Recipe {
    pub(crate) image: Image,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) command: Vec<String>,
    /// Ports of this machine, and which ones of the container they are.
    pub(crate) ports: Vec<(u16, u16)>,
}

/// A container; it goes with this value.
pub(crate) struct Container {
    name: String,
    /// Not dropped: it would remove the container through the runtime it is dropped in, if there is one. The guardian does it, in
    /// the same way as when there is no drop.
    container: ManuallyDrop<ContainerAsync<GenericImage>>,
    _guardian: Guardian,
}

#[derive(Debug)]
struct Guardian(Child);

impl Guardian {
    fn start(container: &str) -> Result<Self> {
        let mut sh = Command::new("sh");
        sh.args(["-c", GUARDIAN, "sh", container]).current_dir("/").process_group(0);
        sh.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(sh.spawn().context("sh, which has to clear up after a container")?))
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

impl Container {
    /// Starts it. That it is there does not mean that the server answers.
    pub(crate) async fn start(recipe: Recipe) -> Result<Self> {
        let Recipe { image, environment, command, ports } = recipe;
        let name = format!("chat-test-{:016x}", fastrand::u64(..));
        let guardian = Guardian::start(&name)?;
        let request = GenericImage::new(image.name, image.tag).with_container_name(&name);
        let request =
            environment.into_iter().fold(request, |request, (name, value)| request.with_env_var(name, value));
        // The ports are chosen by us: those that Docker chooses are others after a restart.
        let request =
            ports.into_iter().fold(request, |request, (ours, its)| request.with_mapped_port(ours, its.tcp()));
        let request = request.with_host_config_modifier(|host| {
            host.shm_size = Some(SHARED_MEMORY);
            let ports = host.port_bindings.iter_mut().flat_map(|bindings| bindings.values_mut());
            for port in ports.flatten().flatten() {
                port.host_ip = Some("127.0.0.1".to_owned());
            }
        });
        let container = request.with_cmd(command).start().await?;
        Ok(Self { name, container: ManuallyDrop::new(container), _guardian: guardian })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) async fn start_again(&self) -> Result<()> {
        if self.container.is_running().await? {
            bail!("it runs already");
        }
        Ok(self.container.start().await?)
    }

    pub(crate) async fn stop(&self) -> Result<()> {
        self.running().await?;
        Ok(self.container.stop_with_timeout(Some(STOP_SECONDS)).await?)
    }

    /// SIGKILL to the server; the system then ends whatever else is in the container. Docker waits for that.
    pub(crate) async fn kill(&self) -> Result<()> {
        self.running().await?;
        let options = KillContainerOptionsBuilder::new().signal("SIGKILL").build();
        Ok(docker_client_instance().await?.kill_container(&self.name, Some(options)).await?)
    }

    /// Where the kernel has cgroups of version 1, Docker now and then gives up on a busy container: it is asked again.
    pub(crate) async fn pause(&self) -> Result<()> {
        let deadline = Instant::now() + PAUSE;
        loop {
            self.running().await?;
            match self.container.pause().await {
                Err(error) if error.to_string().contains("unable to freeze") && Instant::now() < deadline => {
                    sleep(Duration::from_millis(100)).await;
                }
                done => return Ok(done?),
            }
        }
    }

    pub(crate) async fn resume(&self) -> Result<()> {
        Ok(self.container.unpause().await?)
    }

    /// Says why it is not there any more, if it is not.
    pub(crate) async fn check(&self) -> Result<()> {
        if self.container.is_running().await? {
            return Ok(());
        }
        bail!("its container ended\n{}", self.log_tail());
    }

    /// The end of what it wrote.
    pub(crate) fn log_tail(&self) -> String {
        match docker_program(&["logs", "--tail", "100", &self.name]) {
            Ok(Output { stdout, stderr, .. }) => {
                format!("the end of its log:\n{}", String::from_utf8_lossy(&[stdout, stderr].concat()))
            }
            Err(error) => format!("and there is no log: {error:#}"),
        }
    }

    async fn running(&self) -> Result<()> {
        if self.container.is_running().await? { Ok(()) } else { bail!("it is not running") }
    }
}

impl fmt::Debug for Container {
    /// Without the rest: that has the server's password in it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Container").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Recipe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Recipe").field("image", &self.image).finish_non_exhaustive()
    }
}
