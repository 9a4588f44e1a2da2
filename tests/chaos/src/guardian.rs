//! Ends our processes when nobody else can.

use std::{
    io::{self, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result};

/// Reads numbers of processes, `+` where one began and `-` where it is gone, until its input ends, as it does however we go; and kills
/// those that are left.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
running=' '
while read -r sign process; do
    case $sign in
        +) running="$running$process " ;;
        -) running="${running%% $process *} ${running#* $process }" ;;
    esac
done
for process in $running; do kill -s KILL "$process"; done 2>/dev/null
"#;

/// Sees to it that no process of ours is left when this one is killed.
#[derive(Debug)]
pub(crate) struct Guardian {
    sh: Child,
    words: Mutex<Option<ChildStdin>>,
}

impl Guardian {
    pub(crate) fn start() -> Result<Self> {
        let mut sh = Command::new("sh");
        sh.args(["-c", SCRIPT]).current_dir("/").process_group(0);
        sh.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut sh = sh.spawn().context("sh, which has to end our processes")?;
        let words = Mutex::new(sh.stdin.take());
        Ok(Self { sh, words })
    }

    pub(crate) fn began(&self, process: u32) -> io::Result<()> {
        self.tell('+', process)
    }

    /// Its number may soon be somebody else's.
    pub(crate) fn ended(&self, process: u32) -> io::Result<()> {
        self.tell('-', process)
    }

    fn tell(&self, sign: char, process: u32) -> io::Result<()> {
        match &mut *self.words.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(words) => writeln!(words, "{sign} {process}"),
            None => Ok(()),
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.words.lock().unwrap_or_else(PoisonError::into_inner).take());
        let _ = self.sh.wait();
    }
}
