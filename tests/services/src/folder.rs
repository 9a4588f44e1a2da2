//! The temporary folder of a server, and who clears it up when nobody else can.

use std::{
    fs, io,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result};

use crate::user::User;

/// Waits until its standard input ends, which happens however the process that holds the other end goes, `kill -9`
/// included. Then it ends the server (the first number in `processes`) and removes the folder.
///
/// The server gets a second chance to end by itself: PostgreSQL then gives its System V shared memory back, which outlives it
/// otherwise.
const GUARDIAN: &str = r#"
trap '' HUP INT QUIT TERM
folder=$1 signal=$2
while read -r _; do :; done
processes=$(cat "$folder/processes" 2>/dev/null)
set -- $processes
if [ $# -gt 0 ]; then
    kill -s "$signal" "$1"
    for process in "$@"; do kill -s CONT "$process"; done
    waited=0
    while kill -s 0 "$1" && [ $waited -lt 50 ]; do sleep 0.1; waited=$((waited + 1)); done
    for process in "$@"; do kill -s KILL "$process"; done
fi 2>/dev/null
if [ -e "$folder/disk" ]; then umount -l "$folder/data" || sudo -n umount -l "$folder/data"; fi 2>/dev/null
for attempt in 1 2 3 4 5; do rm -rf "$folder" && break; sleep 1; done 2>/dev/null
"#;

/// A folder that is there as long as this value, or this process.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    guardian: Child,
}

impl Folder {
    /// Makes a folder that `user` may write into. `signal` is what ends the server in it at once, such as `QUIT`.
    pub(crate) fn create(server: &str, signal: &str, user: Option<&User>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix(&format!("chat-test-{server}-")).tempdir()?;
        if let Some(user) = user {
            chown(folder.path(), Some(user.id), Some(user.group))?;
        }
        // A group of its own: a Ctrl-C for the tests must not end it before it has done its work. And none of our
        // output: whoever reads that to its end would wait for the guardian too.
        let guardian = Command::new("sh")
            .args(["-c", GUARDIAN, "sh"])
            .arg(folder.path())
            .arg(signal)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("sh, which has to clear up after a server")?;
        Ok(Self { path: folder.keep(), guardian })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Which processes are to be ended if we go. The server itself comes first.
    pub(crate) fn note_processes(&self, processes: &[u32]) -> io::Result<()> {
        let lines: Vec<String> = processes.iter().map(u32::to_string).collect();
        fs::write(self.path.join("processes"), lines.join("\n") + "\n")
    }

    /// At `data` a disk is about to be mounted, that goes before the folder does.
    pub(crate) fn note_disk(&self) -> io::Result<()> {
        fs::write(self.path.join("disk"), "")
    }

    /// Nothing runs any more. Its number may soon be somebody else's.
    pub(crate) fn forget_processes(&self) -> io::Result<()> {
        match fs::remove_file(self.path.join("processes")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Lets the guardian begin.
    pub(crate) fn release(&mut self) {
        drop(self.guardian.stdin.take());
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.release();
        let _ = self.guardian.wait();
    }
}
