//! A small disk of a server's own, that a test can fill.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, Result, bail};

use crate::user::User;

/// What takes up the room. PostgreSQL leaves a file alone that it does not know.
const BALLAST: &str = "ballast";

/// A file system in memory, as small as it was asked for. Who made it sees to its end: see the folder's guardian.
#[derive(Debug)]
pub(crate) struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Mounts one at `path`, for `user` or for us.
    pub(crate) fn mount(path: &Path, mebibytes: u32, user: Option<&User>) -> Result<Self> {
        fs::create_dir(path)?;
        let (id, group) = match user {
            Some(user) => (user.id, user.group),
            None => (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw()),
        };
        let options = format!("size={mebibytes}m,mode=700,uid={id},gid={group}");
        let root = rustix::process::geteuid().is_root();
        let mut mount = if root { Command::new("mount") } else { Command::new("sudo") };
        if !root {
            mount.args(["-n", "mount"]);
        }
        mount.args(["-t", "tmpfs", "-o", &options, "chat-test-disk"]).arg(path);
        let failed = match mount.output() {
            Ok(Output { status, .. }) if status.success() => return Ok(Self { path: path.to_owned() }),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        bail!(
            "no small disk for the tests: {failed}. Mounting one takes root, or `sudo` without a password; in a container also \
             the capability SYS_ADMIN (docker run --cap-add SYS_ADMIN)"
        )
    }

    /// Leaves no byte of room.
    pub(crate) fn fill(&self) -> Result<()> {
        let mut ballast = File::create(self.path.join(BALLAST))?;
        // Down to single bytes.
        for block in [vec![0; 65_536], vec![0; 512], vec![0; 1]] {
            loop {
                match ballast.write_all(&block) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                    Err(error) => return Err(error).context("filling the disk"),
                }
            }
        }
        Ok(())
    }

    /// Gives the room back.
    pub(crate) fn free(&self) -> Result<()> {
        fs::remove_file(self.path.join(BALLAST)).context("the disk was not filled")
    }
}
