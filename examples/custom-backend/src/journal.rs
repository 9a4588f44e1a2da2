//! The file: lines that are only ever added, and are on the disk when adding them has answered.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use crate::record::Record;

#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    /// Bytes of whole lines.
    length: u64,
    /// Something could not be written: nobody knows what of it is there until it is read again.
    broken: bool,
}

impl Journal {
    /// Opens the file, which is made if it is not there, and reads it. Nobody else can until it is closed.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Vec<Record>)> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.try_lock()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        // A line without an end was being written when the process or the machine stopped: nobody was told that it is there.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines = bytes[..whole].split_inclusive(|byte| *byte == b'\n');
        let records = lines.enumerate().map(|(line, bytes)| {
            serde_json::from_slice(bytes).map_err(|error| {
                io::Error::new(io::ErrorKind::InvalidData, format!("line {}: {error}", line + 1))
            })
        });
        let records = records.collect::<io::Result<_>>()?;
        let length = whole as u64;
        if bytes.len() > whole {
            file.set_len(length)?;
        }
        file.sync_all()?;
        // The name of a new file has to outlive a power failure, too.
        if let Some(folder) = path.parent() {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            File::open(folder)?.sync_all()?;
        }
        Ok((Self { file, length, broken: false }, records))
    }

    /// Adds lines. When this answers, they are on the disk.
    pub(crate) fn append(&mut self, records: &[Record]) -> io::Result<()> {
        self.check()?;
        let mut lines = Vec::new();
        for record in records {
            serde_json::to_writer(&mut lines, record)?;
            lines.push(b'\n');
        }
        // Also after a panic: it is whole again only once all of it is done.
        self.broken = true;
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(&lines)?;
        self.file.sync_data()?;
        self.length += lines.len() as u64;
        self.broken = false;
        Ok(())
    }

    /// Whether it can be written to.
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("the file could not be written; open it again"));
        }
        Ok(())
    }
}
