//! PostgreSQL.

use std::{fmt, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::{sync::OnceCell, task::spawn_blocking};
use url::Url;

#[cfg(feature = "docker")]
use crate::{
    container::Recipe,
    images::{self, Image},
};
use crate::{
    database::Database,
    disk::Disk,
    folder::Folder,
    port,
    process::{Launch, Process},
    server::{Launched, Server, Service},
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

/// A commit is on the disk when it is answered, as where it counts. The rest keeps it small.
const SETTINGS: [&str; 6] = [
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "max_connections=200",
    "shared_buffers=64MB",
    "timezone=UTC",
];

const WITHOUT_FSYNC: [&str; 3] = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"];

/// In a container it listens as its image says.
const LISTENS: [&str; 2] = ["listen_addresses=127.0.0.1", "unix_socket_directories="];

#[cfg(target_os = "macos")]
const LOCALE: &str = "en_US.UTF-8";
/// There wherever glibc or musl is, and knows the letters of all scripts.
#[cfg(not(target_os = "macos"))]
const LOCALE: &str = "C.UTF-8";

/// A PostgreSQL server.
pub type Postgres = Server<PostgresService>;

/// What is particular to PostgreSQL.
pub struct PostgresService {
    /// The role of the tests' databases with its password; none where the server was given, then it is the given one.
    role: Option<Role>,
    /// Where the server was given a small one.
    disk: Option<Disk>,
}

#[derive(Clone)]
struct Role {
    name: &'static str,
    password: String,
}

impl fmt::Debug for PostgresService {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PostgresService").finish_non_exhaustive()
    }
}

impl Service for PostgresService {
    const KIND: Kind = KIND;
    #[cfg(feature = "docker")]
    const IMAGE: Image = images::POSTGRES;

    fn given() -> Self {
        Self { role: None, disk: None }
    }

    fn shared() -> &'static OnceCell<Postgres> {
        static SHARED: OnceCell<Postgres> = OnceCell::const_new();
        &SHARED
    }

    fn launch(port: u16, settings: &[String]) -> Result<Launched<Self>> {
        launch(port, settings, None)
    }

    #[cfg(feature = "docker")]
    fn container(port: u16, settings: &[String]) -> Result<Launched<Self, Recipe>> {
        let superuser = source::password();
        let settings = SETTINGS.into_iter().chain(settings.iter().map(String::as_str));
        let arguments = settings.flat_map(|setting| ["-c".to_owned(), setting.to_owned()]);
        let environment = [
            ("POSTGRES_PASSWORD", superuser.as_str()),
            ("POSTGRES_HOST_AUTH_METHOD", "password"),
            ("POSTGRES_INITDB_ARGS", "--encoding=UTF8 --locale=C.UTF-8 --auth=password"),
        ];
        let recipe = Recipe {
            image: Self::IMAGE,
            environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            command: std::iter::once("postgres".to_owned()).chain(arguments).collect(),
            ports: vec![(port, 5432)],
        };
        Ok(Self::ours(port, &superuser, None, recipe))
    }

    async fn ask(url: &str) -> Result<()> {
        execute(url, "SELECT 1".to_owned()).await
    }

    async fn prepare(&self, url: &str) -> Result<()> {
        let Some(Role { name, password }) = &self.role else { return Ok(()) };
        execute(url, format!("CREATE ROLE {name} LOGIN CREATEDB PASSWORD '{password}'")).await
    }

    fn address(url: &str) -> Result<String> {
        source::address(url, 5432)
    }
}

impl PostgresService {
    fn ours<P>(port: u16, superuser: &str, disk: Option<Disk>, process: P) -> Launched<Self, P> {
        let role = Role { name: ROLE, password: source::password() };
        let url = format!("postgres://{SUPERUSER}:{superuser}@127.0.0.1:{port}/postgres");
        Launched { url, service: Self { role: Some(role), disk }, process }
    }
}

impl Postgres {
    /// The one server of this test binary that does not wait for the disk: for tests of what a store answers, and not of
    /// what it keeps when something breaks. Takes the server that `CHAT_TEST_POSTGRES_URL` names, if that is set.
    ///
    /// # Errors
    /// None can be had, and how to get one.
    pub async fn shared_without_fsync() -> Result<&'static Self> {
        static SHARED: OnceCell<Postgres> = OnceCell::const_new();
        if KIND.given().is_some() {
            return Self::shared().await;
        }
        SHARED.get_or_try_init(|| Self::private_with(&WITHOUT_FSYNC)).await
    }

    /// A server for one test, with settings as for [`private_with`](Self::private_with), whose data and whose log lie on a disk
    /// of their own that is so small. A new server needs some 60 MiB of it.
    ///
    /// # Errors
    /// As [`private_with`](Self::private_with), and where we may not mount a disk.
    pub async fn private_on_disk(mebibytes: u32, settings: &[&str]) -> Result<Self> {
        let settings: Vec<String> = settings.iter().map(|&line| line.to_owned()).collect();
        port::start_on_a_free_one(|port| {
            let settings = settings.clone();
            async move {
                let launched = spawn_blocking(move || launch(port, &settings, Some(mebibytes))).await??;
                Self::from_launched(launched).await
            }
        })
        .await
    }

    /// Fills the server's disk to the last byte.
    ///
    /// # Errors
    /// The server has no [disk of its own](Self::private_on_disk).
    pub fn fill_disk(&self) -> Result<()> {
        self.disk()?.fill()
    }

    /// Gives back what [`fill_disk`](Self::fill_disk) took.
    ///
    /// # Errors
    /// The disk was not filled.
    pub fn free_disk(&self) -> Result<()> {
        self.disk()?.free()
    }

    fn disk(&self) -> Result<&Disk> {
        self.service().disk.as_ref().context("the server has no disk of its own")
    }

    /// A fresh, empty database, owned by a role without superuser rights.
    ///
    /// # Errors
    /// The server does not answer, or the given role may not create databases.
    pub async fn database(&self) -> Result<Database> {
        let name = format!("chat_test_{:016x}", fastrand::u64(..));
        let admin_url = Url::parse(self.url()).with_context(|| KIND.variable.to_owned())?;
        let mut url = admin_url.clone();
        url.set_path(&name);
        let Some(role) = &self.service().role else {
            execute(self.url(), format!("CREATE DATABASE {name}")).await?;
            return Ok(Database::new(url, Some(admin_url)));
        };
        execute(self.url(), format!("CREATE DATABASE {name} OWNER {}", role.name)).await?;
        if url.set_username(role.name).and(url.set_password(Some(&role.password))).is_err() {
            bail!("an address without a host");
        }
        Ok(Database::new(url, None))
    }

    /// Name and password of the role of the tests' databases, where the server is ours.
    pub(crate) fn credentials(&self) -> Option<(&str, &str)> {
        self.service().role.as_ref().map(|role| (role.name, role.password.as_str()))
    }
}

/// Executes one statement on a connection of its own.
pub(crate) async fn execute(url: &str, statement: String) -> Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    Ok(connection.close().await?)
}

fn launch(port: u16, settings: &[String], mebibytes: Option<u32>) -> Result<Launched<PostgresService>> {
    let password = source::password();
    let mut folders = source::path();
    folders.extend(source::versions(Path::new("/usr/lib/postgresql"), "bin"));
    folders.extend(source::versions(Path::new("/opt/homebrew/opt"), "bin"));
    let programs = source::folder_with(&["initdb", "postgres"], &folders)
        .map_err(|error| KIND.missing(&error.to_string()))?;
    let user = user::instead_of_root()?;
    let folder = Folder::create("postgres", "QUIT", user.as_ref())?;
    let data = folder.path().join("data");
    let disk = match mebibytes {
        Some(mebibytes) => {
            folder.note_disk()?;
            Some(Disk::mount(&data, mebibytes, user.as_ref())?)
        }
        None => None,
    };

    let password_file = folder.path().join("password");
    fs::write(&password_file, &password)?;
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
    let settings = SETTINGS.into_iter().chain(LISTENS).chain(settings.iter().map(String::as_str));
    launch.arguments.extend(settings.flat_map(|setting| ["-c".into(), setting.into()]));
    if let Some(user) = &launch.user {
        use std::os::unix::process::CommandExt as _;
        initdb.uid(user.id).gid(user.group);
    }
    let output = initdb.output().context("initdb")?;
    if !output.status.success() {
        bail!("initdb: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    fs::remove_file(password_file)?;
    Ok(PostgresService::ours(port, &password, disk, Process::start(launch, folder)?))
}
