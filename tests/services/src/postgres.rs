//! PostgreSQL.

use std::{fmt, fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::{
    sync::OnceCell,
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};
use url::Url;

use crate::{
    address::address,
    database::Database,
    folder::Folder,
    port,
    process::{Launch, Process},
    source::{self, Kind},
    user,
};

const KIND: Kind = Kind {
    name: "PostgreSQL",
    variable: "CHAT_TEST_POSTGRES_URL",
    example: "postgres://user:password@127.0.0.1:5432/postgres",
    packages: "postgresql",
};

/// May do anything.
const SUPERUSER: &str = "postgres";

/// Owns the databases that tests are given, and has no other rights but to make more of them.
const ROLE: &str = "chat";

/// How long it may take until it answers. After a crash it first repeats what is in its log.
const PATIENCE: Duration = Duration::from_secs(60);

/// A commit is on the disk when it is answered, as where it counts. The rest keeps it small.
const SETTINGS: [&str; 8] = [
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "max_connections=200",
    "shared_buffers=64MB",
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "timezone=UTC",
];

#[cfg(target_os = "macos")]
const LOCALE: &str = "en_US.UTF-8";
/// There wherever glibc or musl is, and knows the letters of all scripts.
#[cfg(not(target_os = "macos"))]
const LOCALE: &str = "C.UTF-8";

/// A PostgreSQL server.
pub struct Postgres {
    admin_url: Url,
    /// The role of the tests' databases with its password; none where the server was given, then it is the given one.
    role: Option<Role>,
    /// None where the server was given: that is not ours to end.
    process: Option<Process>,
}

#[derive(Clone)]
struct Role {
    name: &'static str,
    password: String,
}

impl Postgres {
    /// The one server of this test binary; it is there until the binary ends. Takes the server at `CHAT_TEST_POSTGRES_URL` if
    /// that is set.
    ///
    /// # Errors
    /// None can be had, and how to get one.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Postgres> = OnceCell::const_new();
        SHARED
            .get_or_try_init(|| async {
                match KIND.given() {
                    Some(url) => Self::given(&url).await,
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
        port::start_on_a_free_one(Self::start_process).await
    }

    async fn given(url: &str) -> Result<Self> {
        let admin_url = Url::parse(url).with_context(|| KIND.variable.to_owned())?;
        let server = Self { admin_url, role: None, process: None };
        server.answers().await.with_context(|| format!("the server at {}", KIND.variable))?;
        Ok(server)
    }

    async fn start_process(port: u16) -> Result<Self> {
        let role = Role { name: ROLE, password: password() };
        let superuser = password();
        let admin_url = Url::parse(&format!("postgres://{SUPERUSER}:{superuser}@127.0.0.1:{port}/postgres"))?;
        let process = spawn_blocking(move || launch(port, &superuser)).await??;
        let server = Self { admin_url, role: Some(role.clone()), process: Some(process) };
        server.answers().await.context("PostgreSQL does not come up")?;
        let Role { name, password } = role;
        server.execute(format!("CREATE ROLE {name} LOGIN CREATEDB PASSWORD '{password}'")).await?;
        Ok(server)
    }

    /// A fresh, empty database, owned by a role without superuser rights.
    ///
    /// # Errors
    /// The server does not answer, or the given role may not create databases.
    pub async fn database(&self) -> Result<Database> {
        let name = format!("chat_test_{:016x}", fastrand::u64(..));
        let mut url = self.admin_url.clone();
        url.set_path(&name);
        let Some(role) = &self.role else {
            self.execute(format!("CREATE DATABASE {name}")).await?;
            return Ok(Database::new(url, Some(self.admin_url.clone())));
        };
        self.execute(format!("CREATE DATABASE {name} OWNER {}", role.name)).await?;
        if url.set_username(role.name).and(url.set_password(Some(&role.password))).is_err() {
            bail!("an address without a host");
        }
        Ok(Database::new(url, None))
    }

    /// The address of a role that may do everything, as far as the server is ours. Contains a password.
    #[must_use]
    pub fn admin_url(&self) -> &str {
        self.admin_url.as_str()
    }

    /// Host and port, for a [`Proxy`](crate::Proxy).
    ///
    /// # Errors
    /// The given address has no host.
    pub fn address(&self) -> Result<String> {
        address(&self.admin_url, 5432)
    }

    /// Ends it in good order: its clients are cut off, what they did is written.
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
        self.answers().await.context("PostgreSQL does not come up again")
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

    fn process(&self) -> Result<&Process> {
        self.process.as_ref().with_context(|| format!("the server at {} is not ours to break", KIND.variable))
    }

    async fn answers(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let error = match timeout(Duration::from_secs(5), self.execute("SELECT 1".to_owned())).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(elapsed) => elapsed.into(),
            };
            if let Some(process) = &self.process {
                process.check()?;
            }
            // One that was given is there or not.
            if self.process.is_none() || Instant::now() > deadline {
                return Err(error.context(self.log_tail()));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn execute(&self, statement: String) -> Result<()> {
        execute(self.admin_url.as_str(), statement).await
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Postgres").field("process", &self.process).finish_non_exhaustive()
    }
}

/// Executes one statement on a connection of its own.
pub(crate) async fn execute(url: &str, statement: String) -> Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    Ok(connection.close().await?)
}

/// Letters and digits: fits into an address and into a statement as it is.
fn password() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(24).collect()
}

fn launch(port: u16, password: &str) -> Result<Process> {
    let mut folders = source::path();
    folders.extend(source::versions(Path::new("/usr/lib/postgresql"), "bin"));
    folders.extend(source::versions(Path::new("/opt/homebrew/opt"), "bin"));
    let programs = source::folder_with(&["initdb", "postgres"], &folders)
        .map_err(|error| KIND.missing(&error.to_string()))?;
    let user = user::instead_of_root()?;
    let folder = Folder::create("postgres", "QUIT", user.as_ref())?;
    let data = folder.path().join("data");

    let password_file = folder.path().join("password");
    fs::write(&password_file, password)?;
    let mut initdb = Command::new(programs.join("initdb"));
    initdb.arg("--pgdata").arg(&data).arg("--pwfile").arg(&password_file).current_dir(folder.path());
    // Passwords in plain: they do not leave this machine, and hashing one for every connection takes long in a debug build.
    initdb.args(["--username", SUPERUSER, "--auth=password", "--encoding=UTF8", "--locale", LOCALE]);
    initdb.args(["--lc-messages=C", "--no-sync", "--no-instructions"]);
    let mut launch = Launch {
        program: programs.join("postgres"),
        arguments: vec!["-D".into(), data.into(), "-p".into(), port.to_string().into()],
        environment: Vec::new(),
        user,
        stop: Signal::INT,
    };
    launch.arguments.extend(SETTINGS.iter().flat_map(|setting| ["-c".into(), setting.into()]));
    if let Some(user) = &launch.user {
        use std::os::unix::process::CommandExt as _;
        initdb.uid(user.id).gid(user.group);
    }
    let output = initdb.output().context("initdb")?;
    if !output.status.success() {
        bail!("initdb: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    fs::remove_file(password_file)?;
    Process::start(launch, folder)
}
