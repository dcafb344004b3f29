//! What this machine's disk does: free space, names that last, and how long it takes to make a
//! small write durable. No server that keeps its word can acknowledge faster than that.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use haulier_core::Clock;
use serde::{Deserialize, Serialize};

/// How large the writes are: about one task.
const WRITE_BYTES: usize = 256;

/// Times of `fdatasync` after a small append.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SyncTimes {
    /// Half of the syncs took no longer, in milliseconds.
    pub p50_ms: f64,
    /// All but one in a hundred took no longer, in milliseconds.
    pub p99_ms: f64,
    /// How many were measured.
    pub rounds: usize,
}

/// Measures appends and syncs in a new file of `dir`, which is removed again.
pub fn sync_times(dir: &Path, rounds: usize, clock: &dyn Clock) -> std::io::Result<SyncTimes> {
    let mut file: File = tempfile::tempfile_in(dir)?;
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let before = clock.monotonic();
        file.write_all(&[0x5a; WRITE_BYTES])?;
        file.sync_data()?;
        times.push(clock.monotonic().saturating_sub(before));
    }
    times.sort_unstable();
    let at = |permille| percentile(&times, permille).as_secs_f64() * 1_000.0;
    Ok(SyncTimes { p50_ms: at(500), p99_ms: at(990), rounds })
}

/// The smallest time that this many thousandths of the sorted times do not exceed.
pub fn percentile(sorted: &[Duration], permille: usize) -> Duration {
    let rank = (sorted.len() * permille).div_ceil(1_000).max(1);
    sorted.get(rank - 1).or(sorted.last()).copied().unwrap_or_default()
}

/// Bytes that we could still write to the file system of `dir`, and how many it has.
pub fn free_bytes(dir: &Path) -> std::io::Result<(u64, u64)> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok((stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize)))
}

/// Makes durable that a file has its name.
pub fn sync_directory(of: &Path) -> std::io::Result<()> {
    let above = of.parent().filter(|above| !above.as_os_str().is_empty());
    File::open(above.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 500), Duration::from_millis(50));
        assert_eq!(percentile(&times, 990), Duration::from_millis(99));
        assert_eq!(percentile(&times, 1_000), Duration::from_millis(100));
        assert_eq!(percentile(&times[..1], 1), Duration::from_millis(1));
        assert_eq!(percentile(&[], 500), Duration::ZERO);
    }
}
