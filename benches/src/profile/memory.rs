//! How often a server asks for memory, counted by the library of `heaptrack` that stands in front of the allocator.

use std::{
    ffi::OsStr,
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use super::load::{Extent, Load, Size};
use crate::program::Programs;

/// Where distributions have it.
const LIBRARIES: [&str; 3] = [
    "/usr/lib/heaptrack/libheaptrack_preload.so",
    "/usr/lib64/heaptrack/libheaptrack_preload.so",
    "/usr/local/lib/heaptrack/libheaptrack_preload.so",
];

/// Calls for each unit of this load: the difference between a short and a long run, so that what begins and ends each does not count,
/// and, where more is done than units, less the same difference of a smaller load.
pub(super) async fn asked(programs: &Programs, load: &Load, folder: &Path) -> Result<f64> {
    let library = LIBRARIES.iter().map(Path::new).find(|file| file.is_file());
    let library = library.context("heaptrack's library is not there: install it (Debian: heaptrack)")?;
    let mut more = difference(programs, load, library, folder, Size::Whole).await?;
    if load.has_more_than_units() {
        let of_few = difference(programs, load, library, folder, Size::Tenth).await?;
        more = (more.0 - of_few.0, more.1 - of_few.1);
    }
    let (units, calls) = more;
    ensure!(units > 0.0 && calls > 0.0, "the longer run did not do more");
    Ok(calls / units)
}

/// What a long run has more than a short one: units and calls.
async fn difference(
    programs: &Programs,
    load: &Load,
    library: &Path,
    folder: &Path,
    size: Size,
) -> Result<(f64, f64)> {
    let short = count(programs, load, library, folder, Extent::Counted(1, size)).await?;
    let long = count(programs, load, library, folder, Extent::Counted(4, size)).await?;
    Ok((long.0 - short.0, long.1 - short.1))
}

/// Units and calls of a run.
async fn count(
    programs: &Programs,
    load: &Load,
    library: &Path,
    folder: &Path,
    extent: Extent,
) -> Result<(f64, f64)> {
    let file: PathBuf = folder.join(format!("{}.heap", load.name));
    let with: [(&str, &OsStr); 2] =
        [("LD_PRELOAD", library.as_os_str()), ("DUMP_HEAPTRACK_OUTPUT", file.as_os_str())];
    let running = load.start(programs, &with).await?;
    let units = load.run(&running.server, extent).await?;
    drop(running);
    let calls = calls(BufReader::new(File::open(&file).context("heaptrack wrote nothing")?))?;
    std::fs::remove_file(&file)?;
    ensure!(calls > 0, "heaptrack counted nothing");
    Ok((units, calls as f64))
}

/// Its file has a line for each call, which begins with a plus.
fn calls(mut file: impl std::io::BufRead) -> Result<u64> {
    let (mut calls, mut line) = (0, Vec::new());
    while file.read_until(b'\n', &mut line)? > 0 {
        calls += u64::from(line.starts_with(b"+ "));
        line.clear();
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_calls_are_counted() {
        let file = "v 10500 3\nt 1 0\n+ 40 1 7f\n- 7f\n+ 10 1 8f\n";
        assert_eq!(calls(file.as_bytes()).unwrap(), 2);
    }
}
