//! What a process takes of the machine, as Linux tells in `/proc`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::exit::{Exit, Failed, Result};

/// A process to look at.
#[derive(Debug, Clone)]
pub struct Usage(PathBuf);

impl Usage {
    /// The process with that id.
    pub fn of(id: u32) -> Self {
        Self(Path::new("/proc").join(id.to_string()))
    }

    /// Processor time so far, in user code and in the kernel.
    pub fn processor(&self) -> Result<Duration> {
        let stat = self.read("stat")?;
        let ticks = ticks(&stat).ok_or_else(|| self.strange("stat"))?;
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_secs(ticks) / u32::try_from(per_second).unwrap_or(100))
    }

    /// Memory that it has in use, in bytes.
    pub fn memory(&self) -> Result<u64> {
        let status = self.read("status")?;
        resident(&status).ok_or_else(|| self.strange("status"))
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = self.0.join(file);
        std::fs::read_to_string(&path).map_err(|error| Failed::io(path.display(), &error))
    }

    fn strange(&self, file: &str) -> Failed {
        let path = self.0.join(file);
        Failed::new(Exit::Io, format!("{} has another shape than expected", path.display()))
    }
}

/// User and kernel time of `/proc/PID/stat`. The name in parentheses may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, after) = stat.rsplit_once(')')?;
    let mut times = after.split_whitespace().skip(11).map(str::parse::<u64>);
    Some(times.next()?.ok()? + times.next()?.ok()?)
}

/// `VmRSS` of `/proc/PID/status`.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read() {
        let stat = "7 (a )b) S 1 7 7 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 9 0 100 1 1";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(resident("Name:\tx\nVmRSS:\t   2048 kB\nThreads:\t3\n"), Some(2 << 20));
        assert_eq!(resident("Name:\tx\n"), None);
    }

    #[test]
    fn our_own_process_uses_memory() {
        let own = Usage::of(std::process::id());
        assert!(own.memory().unwrap() > 0);
        own.processor().unwrap();
    }
}
