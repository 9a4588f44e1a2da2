//! The file beside the database: who owns it, and a witness of what the database must still hold.
//!
//! Positions are trusted as long as the file goes on where it stopped. A backup that was put back, a file that was
//! exchanged or copied, or commits that a power cut took: each shows as a difference between the database and this
//! witness, which is written after every commit and before the answer. Then the epoch is renewed.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::{OpenError, Synchronous};

const FIRST_LINE: &str = "chat-sqlite-owner 1";
/// No database holds this.
const NO_TOKEN: &str = "-";
/// More than was ever written is not read.
const MAX_BYTES: u64 = 1_024;

/// What the last owner wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Witness {
    /// Changes with each opening; the database holds the same.
    pub(crate) token: String,
    /// The token that an opening was about to put into the database: it holds the one or the other.
    pub(crate) next: String,
    /// The last entry that was committed.
    pub(crate) last_entry: i64,
    /// The owner closed the file.
    pub(crate) clean: bool,
    /// Its commits waited for the disk.
    pub(crate) durable: bool,
    /// The run of the operating system it was in, if that has a name.
    pub(crate) boot: String,
    /// The database's file, as the file system names it.
    pub(crate) file: String,
    pub(crate) process: u32,
}

impl Witness {
    /// Whether a database with this token and last entry, in this file and run of the operating system, is what this
    /// witness saw, with nothing lost.
    pub(crate) fn vouches_for(&self, token: &str, last_entry: i64, boot: &str, file: &str) -> bool {
        let may_have_lost = !self.clean && !self.durable && (boot.is_empty() || self.boot != boot);
        let known = self.token == token || self.next == token;
        known && self.file == file && last_entry >= self.last_entry && !may_have_lost
    }

    /// Every line has the same length each time, so writing it anew replaces it whole.
    fn to_text(&self) -> String {
        format!(
            "{FIRST_LINE}\ntoken {:<26}\nnext {:<26}\nlast {:020}\nclean {}\ndurable {}\nboot {:<36}\nfile {:<41}\nprocess {:010}\n",
            self.token,
            self.next,
            self.last_entry,
            u8::from(self.clean),
            u8::from(self.durable),
            self.boot,
            self.file,
            self.process
        )
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let mut field = |name: &str| Some(lines.next()?.strip_prefix(name)?.trim().to_owned());
        let witness = Self {
            token: field("token ")?,
            next: field("next ")?,
            last_entry: field("last ")?.parse().ok()?,
            clean: field("clean ")? == "1",
            durable: field("durable ")? == "1",
            boot: field("boot ")?,
            file: field("file ")?,
            process: field("process ")?.parse().ok()?,
        };
        Some(witness)
    }
}

/// The lock on a database, for as long as this lives, and the witness.
#[derive(Debug)]
pub(crate) struct Owner {
    file: File,
    witness: Witness,
}

impl Owner {
    /// Takes the lock. The second answer is what the last owner left, if it can be read.
    pub(crate) fn lock(
        database: &Path,
        synchronous: Synchronous,
    ) -> Result<(Self, Option<Witness>), OpenError> {
        let failed = |source| OpenError::File { path: database.to_owned(), source };
        let mut file = private(OpenOptions::new().read(true).write(true).create(true).truncate(false))
            .open(path_beside(&real_path(database).map_err(failed)?))
            .map_err(failed)?;
        let locked = file.try_lock();
        let last = read(&mut file).ok().as_deref().and_then(Witness::parse);
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let owner = last.map(|witness| witness.process);
                return Err(OpenError::InUse { path: database.to_owned(), owner });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let witness = Witness {
            token: String::from(NO_TOKEN),
            next: String::from(NO_TOKEN),
            last_entry: 0,
            clean: false,
            durable: synchronous == Synchronous::Full,
            boot: boot(),
            file: String::new(),
            process: std::process::id(),
        };
        Ok((Self { file, witness }, last))
    }

    /// Notes that the database, as it is, is about to get the token `next`; `trusted` is the one it has, if it goes on
    /// where it stopped. A process that is killed between this and [`begin`](Self::begin) costs nobody a cursor.
    pub(crate) fn prepare(
        &mut self,
        file: &str,
        trusted: Option<&str>,
        next: &str,
        last_entry: i64,
    ) -> io::Result<()> {
        self.witness.token = trusted.unwrap_or(NO_TOKEN).to_owned();
        self.witness.next = next.to_owned();
        self.witness.last_entry = last_entry;
        self.witness.file = file.to_owned();
        self.write()?;
        self.file.sync_all()
    }

    /// Notes that the database has the new token: an older copy of it, with the old one, is known no longer.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        self.witness.token = std::mem::replace(&mut self.witness.next, String::from(NO_TOKEN));
        self.write()?;
        self.file.sync_all()
    }

    /// Notes a commit, before anybody is told of it.
    pub(crate) fn committed(&mut self, last_entry: i64) -> io::Result<()> {
        if last_entry == self.witness.last_entry {
            return Ok(());
        }
        self.witness.last_entry = last_entry;
        self.write()
    }

    /// Notes that everything is on the disk.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        self.witness.clean = true;
        self.write()?;
        self.file.sync_all()
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(self.witness.to_text().as_bytes())
    }
}

fn read(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// The file itself, by whichever link it was named: it has one owner, not one for each of its names.
fn real_path(database: &Path) -> io::Result<PathBuf> {
    match database.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // An empty file is a new database.
            private(OpenOptions::new().append(true).create(true)).open(database)?;
            database.canonicalize()
        }
        path => path,
    }
}

/// A file that is made is for this user alone: others have no business with what people write. SQLite makes its own
/// files beside a database with the database's rights.
#[cfg(unix)]
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

/// Elsewhere the folder's rights hold.
#[cfg(not(unix))]
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// The owner's file of a database.
pub(crate) fn path_beside(database: &Path) -> PathBuf {
    path_with(database, "-owner")
}

/// A file beside another, with this at the end of its name.
pub(crate) fn path_with(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Names this run of the operating system; empty where it has no name.
pub(crate) fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().chars().take(36).collect()
}

/// Names the file itself rather than its path: a copy has another one.
#[cfg(unix)]
pub(crate) fn identity(database: &Path) -> io::Result<String> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(database)?;
    Ok(format!("{}:{}", metadata.dev(), metadata.ino()))
}

/// Elsewhere the token has to do.
#[cfg(not(unix))]
pub(crate) fn identity(_: &Path) -> io::Result<String> {
    Ok(String::from("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn witness() -> Witness {
        Witness {
            token: String::from("01K0000000000000000000000A"),
            next: String::from(NO_TOKEN),
            last_entry: 10,
            clean: false,
            durable: true,
            boot: String::from("boot-1"),
            file: String::from("1:2"),
            process: 77,
        }
    }

    #[test]
    fn what_was_written_reads_back_and_has_one_length() {
        let first = witness();
        assert_eq!(Witness::parse(&first.to_text()), Some(first.clone()));
        let long =
            Witness { last_entry: i64::MAX, clean: true, process: u32::MAX, boot: boot(), ..first.clone() };
        assert_eq!(long.to_text().len(), first.to_text().len());
        assert_eq!(Witness::parse(""), None);
        assert_eq!(Witness::parse(&first.to_text()[..60]), None);
    }

    #[test]
    fn it_vouches_only_for_the_file_that_goes_on_where_it_stopped() {
        let token = witness().token;
        let vouches = |witness: &Witness, last| witness.vouches_for(&token, last, "boot-1", "1:2");
        assert!(vouches(&witness(), 10));
        assert!(vouches(&witness(), 11), "a commit that was not noted yet");
        assert!(!vouches(&witness(), 9), "entries were lost");
        assert!(!witness().vouches_for("other", 10, "boot-1", "1:2"), "an older copy");
        assert!(!witness().vouches_for("", 10, "boot-1", "1:2"), "a backup has no token");
        let opening = Witness { next: String::from("other"), ..witness() };
        assert!(opening.vouches_for("other", 10, "boot-1", "1:2"), "it was killed while it opened");
        assert!(opening.vouches_for(&token, 10, "boot-1", "1:2"), "or a moment before");
        assert!(!witness().vouches_for(&token, 10, "boot-1", "1:3"), "a copy of both files");
        assert!(witness().vouches_for(&token, 10, "boot-2", "1:2"), "a power cut loses nothing");
    }

    #[test]
    fn without_waiting_for_the_disk_only_a_clean_end_or_the_same_boot_is_trusted() {
        let token = witness().token;
        let crashed = Witness { durable: false, ..witness() };
        assert!(crashed.vouches_for(&token, 10, "boot-1", "1:2"), "the process was killed");
        assert!(!crashed.vouches_for(&token, 10, "boot-2", "1:2"), "the machine went down");
        assert!(!Witness { boot: String::new(), ..crashed.clone() }.vouches_for(&token, 10, "", "1:2"));
        assert!(Witness { clean: true, ..crashed }.vouches_for(&token, 10, "boot-2", "1:2"));
    }

    #[test]
    fn a_second_owner_is_refused_and_told_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("chat.db");
        File::create(&database).unwrap();
        let (mut first, last) = Owner::lock(&database, Synchronous::Full).unwrap();
        assert_eq!(last, None);
        first.prepare("1:2", None, &witness().token, 3).unwrap();
        first.begin().unwrap();
        let refused = Owner::lock(&database, Synchronous::Full).unwrap_err();
        assert!(matches!(refused, OpenError::InUse { owner: Some(pid), .. } if pid == std::process::id()));
        assert!(refused.to_string().contains("in use by another process"));
        first.committed(5).unwrap();
        first.end().unwrap();
        drop(first);
        let (_, last) = Owner::lock(&database, Synchronous::Full).unwrap();
        let last = last.unwrap();
        assert_eq!((last.token, last.last_entry, last.clean), (witness().token, 5, true));
    }
}
