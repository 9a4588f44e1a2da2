//! What the server's processes take, as the kernel counts it.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};
use rustix::param::{clock_ticks_per_second, page_size};

/// What some processes took together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of all their threads, in the kernel and outside.
    pub processor: Duration,
    /// Memory that is theirs and present, in bytes.
    pub memory: u64,
}

/// What these processes take now.
///
/// # Errors
/// One of them is not there.
pub fn usage(pids: &[u32]) -> Result<Usage> {
    let mut sum = Usage::default();
    for pid in pids {
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            fs::read_to_string(&path).with_context(|| path)
        };
        let stat = read("stat")?;
        let ticks = ticks(&stat).with_context(|| format!("the times of process {pid}"))?;
        sum.processor += Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64);
        let statm = read("statm")?;
        let pages: Option<u64> = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
        sum.memory += pages.with_context(|| format!("the memory of process {pid}"))? * page_size() as u64;
    }
    Ok(sum)
}

/// User and system time: the 14th and 15th field. The second one is the program's name in brackets, which may have anything in it.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_times() {
        let stat = "17 (a) b (c) S 1 17 17 0 -1 4194560 100 0 0 0 31 11 0 0 20 0 1 0 100 1000 50 …";
        assert_eq!(ticks(stat), Some(42));
    }

    #[test]
    fn this_process_takes_something() {
        let one = usage(&[std::process::id()]).unwrap();
        assert!(one.memory > 100_000, "{one:?}");
        assert!(usage(&[u32::MAX]).is_err());
    }
}
