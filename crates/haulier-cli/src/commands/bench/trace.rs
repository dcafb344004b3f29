//! Counting from outside what a server does to its disk: it runs under `strace`, which writes down
//! every sync and every write at an offset, as the log makes them; the sockets' writes are others.
//! Nothing that the server says of itself goes in. Tracing takes time, so that what is counted is
//! not timed.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The calls that are traced.
const CALLS: &str = "trace=fdatasync,fsync,pwrite64,pwritev,pwritev2";

/// What a server did to its disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Syncs that succeeded.
    pub syncs: u64,
    /// Bytes written at an offset.
    pub bytes: u64,
}

impl Counts {
    /// What was done since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            syncs: self.syncs.saturating_sub(earlier.syncs),
            bytes: self.bytes.saturating_sub(earlier.bytes),
        }
    }
}

/// A file that `strace` writes.
#[derive(Debug)]
pub struct Trace {
    path: PathBuf,
    read: u64,
    counts: Counts,
}

impl Trace {
    /// A trace that goes to `path`.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), read: 0, counts: Counts::default() }
    }

    /// Whether programs can be traced here, or why not.
    pub fn check(&self) -> Result<(), String> {
        let mut words = self.prefix().into_iter();
        let mut command = Command::new(words.next().unwrap_or_default());
        let ran = command.args(words).arg("true").stdin(Stdio::null()).output();
        match ran {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                Err(format!("strace may not trace: {}", said.lines().next().unwrap_or_default()))
            }
            Err(error) => Err(format!("strace cannot be started: {error}")),
        }
    }

    /// What stands before a program's name so that it is traced: by a process that is no parent of
    /// it, which stops it for these calls alone.
    pub fn prefix(&self) -> Vec<OsString> {
        let words = ["strace", "-D", "-f", "-q", "--seccomp-bpf", "-s", "0", "-e", CALLS, "-o"];
        let words = words.into_iter().map(OsString::from);
        words.chain([self.path.clone().into_os_string(), "--".into()]).collect()
    }

    /// What was counted so far.
    pub fn counts(&mut self) -> std::io::Result<Counts> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.read))?;
        let (mut lines, mut line) = (BufReader::new(file), String::new());
        // A line without an end is still being written.
        while lines.read_line(&mut line)? > 0 && line.ends_with('\n') {
            self.read += line.len() as u64;
            take(&mut self.counts, line.trim_end());
            line.clear();
        }
        Ok(self.counts)
    }
}

/// Counts a line: `31 fdatasync(9) = 0`, or the end of one that another thread's interrupted:
/// `31 <... pwrite64 resumed>) = 4096`.
fn take(counts: &mut Counts, line: &str) {
    let Some((call, result)) = line.rsplit_once(" = ") else { return };
    let Ok(result) = result.trim().parse::<u64>() else { return };
    if call.contains("fdatasync") || call.contains("fsync") {
        counts.syncs += 1;
    } else if call.contains("pwrite") {
        counts.bytes += result;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn syncs_and_bytes_are_read_as_they_are_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace");
        let mut file = File::create(&path).unwrap();
        let mut trace = Trace::new(&path);
        file.write_all(
            b"31 fdatasync(9)                         = 0\n\
              31 pwrite64(9, \"\"..., 4096, 0)          = 4096\n\
              32 fdatasync(9 <unfinished ...>\n\
              31 fsync(8)                             = -1 EIO (Input/output error)\n\
              32 <... fdatasync resumed>)             = 0\n\
              31 pwrite64(9, \"\"",
        )
        .unwrap();
        assert_eq!(trace.counts().unwrap(), Counts { syncs: 2, bytes: 4_096 });
        file.write_all(b"..., 100, 4096) = 100\n31 +++ exited with 0 +++\n").unwrap();
        let now = trace.counts().unwrap();
        assert_eq!(now, Counts { syncs: 2, bytes: 4_196 });
        assert_eq!(now.since(Counts { syncs: 2, bytes: 4_096 }), Counts { syncs: 0, bytes: 100 });
    }
}
