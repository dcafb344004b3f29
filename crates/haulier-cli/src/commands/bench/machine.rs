//! The machine that was measured on: without it a figure means nothing.

use std::path::Path;

use haulier_core::Clock;
use serde::{Deserialize, Serialize};

use crate::disk::{self, SyncTimes};
use crate::exit::{Failed, Result};

/// Syncs that are measured beside the run.
const SYNC_ROUNDS: usize = 200;

/// What a figure depends on besides the program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Processors that this process may use.
    pub cores: usize,
    /// The processor's name.
    pub processor: String,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// The kernel's version.
    pub kernel: String,
    /// The file system under the store's directory.
    pub filesystem: String,
    /// A small append and its `fdatasync`, alone, before anything else ran.
    pub sync_alone: SyncTimes,
}

impl Machine {
    /// Looks at this machine; syncs are measured in `dir`.
    pub fn look(dir: &Path, clock: &dyn Clock) -> Result<Self> {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let sync_alone = disk::sync_times(dir, SYNC_ROUNDS, clock)
            .map_err(|error| Failed::io(dir.display(), &error))?;
        Ok(Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: value_of(&read("/proc/cpuinfo"), "model name"),
            memory_bytes: kibibytes(&value_of(&read("/proc/meminfo"), "MemTotal")),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            filesystem: filesystem(&read("/proc/mounts"), dir),
            sync_alone,
        })
    }

    /// What differs from another machine in a way that moves figures.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let cores = |machine: &Self| machine.cores.to_string();
        let mut differences = Vec::new();
        for (what, old, new) in [
            ("cores", cores(other), cores(self)),
            ("processor", other.processor.clone(), self.processor.clone()),
            ("kernel", other.kernel.clone(), self.kernel.clone()),
            ("file system", other.filesystem.clone(), self.filesystem.clone()),
        ] {
            if old != new {
                differences.push(format!("another machine: {what} {old:?}, now {new:?}"));
            }
        }
        differences
    }
}

/// The value of `name : value`; `unknown` if there is none.
fn value_of(text: &str, name: &str) -> String {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    let found = pairs.find(|(key, _)| key.trim() == name);
    found.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
}

fn kibibytes(text: &str) -> u64 {
    text.trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0).saturating_mul(1_024)
}

/// The type of the mount with the longest path above `dir`.
fn filesystem(mounts: &str, dir: &Path) -> String {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        Some((Path::new(words.next()?), words.next()?))
    });
    let above = mounts.filter(|(at, _)| dir.starts_with(at));
    // Of two at the same place the later one is seen.
    let longest = above.max_by_key(|(at, _)| at.components().count());
    longest.map_or("unknown", |(_, kind)| kind).to_owned()
}

#[cfg(test)]
mod tests {
    use haulier_core::SystemClock;

    use super::*;

    #[test]
    fn the_file_system_is_the_one_that_is_seen() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmp/x xfs rw 0 0\n";
        for (dir, kind) in [("/", "ext4"), ("/tmp/none", "tmpfs"), ("/tmp/x/none", "xfs")] {
            assert_eq!(filesystem(mounts, Path::new(dir)), kind, "{dir}");
        }
        assert_eq!(filesystem("", Path::new("/")), "unknown");
    }

    #[test]
    fn a_machine_is_described_and_does_not_differ_from_itself() {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::look(dir.path(), &SystemClock::new()).unwrap();
        assert!(machine.cores > 0 && machine.memory_bytes > 0 && !machine.kernel.is_empty());
        assert_eq!(machine.differences(&machine), Vec::<String>::new());
        let other = Machine { cores: machine.cores + 1, ..machine.clone() };
        assert_eq!(machine.differences(&other).len(), 1);
    }
}
