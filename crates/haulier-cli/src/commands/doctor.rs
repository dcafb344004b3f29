//! `haulier doctor`: looks at what usually goes wrong around a task queue, and says what to do
//! about it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use haulier_core::{Clock, Durability, Timestamp};
use rustix::process::{Resource, getrlimit};
use serde::Serialize;

use crate::disk::{self, SyncTimes};
use crate::exit::{Exit, Failed, Result};
use crate::output::{self, Format, Output};
use crate::{connect, text};

/// Syncs that are measured.
const SYNC_ROUNDS: usize = 100;
/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// 2026-01-01: no machine that runs this program has an earlier date.
const EARLIEST: Timestamp = Timestamp(1_767_225_600_000);
const GIB: u64 = 1 << 30;

/// Checks this machine and the server.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  haulier doctor
  haulier doctor --data . -o json

Exit code 0 if nothing fails, 1 otherwise. Warnings do not fail.")]
pub struct Args {
    /// The data directory, or where it is going to be
    #[arg(long, value_name = "DIR", default_value = "haulier-data")]
    data: PathBuf,
    #[command(flatten)]
    server: connect::Server,
    #[command(flatten)]
    output: Output,
}

/// How something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'static str>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, found: found.into(), next: None }
    }

    fn warn(name: &'static str, found: impl Into<String>, next: &'static str) -> Self {
        Self { name, verdict: Verdict::Warn, found: found.into(), next: Some(next) }
    }

    fn fail(name: &'static str, found: impl Into<String>, next: &'static str) -> Self {
        Self { name, verdict: Verdict::Fail, found: found.into(), next: Some(next) }
    }
}

impl Args {
    /// Runs the command.
    pub async fn run(self, clock: Arc<dyn Clock>) -> Result<Exit> {
        let dir = existing(&self.data);
        let mut checks = vec![
            match disk::free_bytes(dir) {
                Ok((free, total)) => space(free, total),
                Err(error) => unusable("space", dir, &error),
            },
            match disk::sync_times(dir, SYNC_ROUNDS, &*clock) {
                Ok(times) => sync(times),
                Err(error) => unusable("sync", dir, &error),
            },
            wall(clock.wall()),
            files(getrlimit(Resource::Nofile).current),
        ];
        checks.extend(self.ask_server(clock).await);
        let failed = checks.iter().any(|check| check.verdict == Verdict::Fail);
        match self.output.format {
            Format::Json => output::json(&checks)?,
            Format::Ndjson => checks.iter().try_for_each(output::json_line)?,
            Format::Name | Format::Table | Format::Wide => checks.iter().try_for_each(print)?,
        }
        if failed {
            return Err(Failed::new(Exit::No, "something has to be done: see above"));
        }
        Ok(Exit::Done)
    }

    async fn ask_server(&self, clock: Arc<dyn Clock>) -> Vec<Check> {
        const NEXT: &str = "start one with `haulier dev` or `haulier serve`, or name it by --url";
        let (url, began) = (self.server.url(), clock.monotonic());
        let client = tokio::select! {
            client = self.server.client() => client.map_err(|failed| failed.to_string()),
            () = clock.sleep(PATIENCE) => Err(format!("{url} does not answer in time")),
        };
        match client {
            Err(why) => vec![Check::fail("server", why, NEXT)],
            Ok(client) => {
                let took = clock.monotonic().saturating_sub(began).as_millis();
                let capabilities = client.queue().capabilities();
                let store = capabilities.store;
                let found = format!("{url} answers in {took} ms, store {store}");
                vec![Check::ok("server", found), class(capabilities.durability)]
            }
        }
    }
}

/// The directory itself, or the nearest one above it that is there.
fn existing(dir: &Path) -> &Path {
    let above = dir.ancestors().find(|dir| dir.is_dir());
    above.filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn unusable(name: &'static str, dir: &Path, error: &std::io::Error) -> Check {
    let found = format!("{}: {error}", dir.display());
    Check::fail(name, found, "choose a directory that you may write to: --data DIR")
}

fn space(free: u64, total: u64) -> Check {
    let found = format!("{} of {} free", text::bytes(free), text::bytes(total));
    match free {
        0..1_073_741_824 => {
            Check::fail("space", found, "make room: without it no task can be accepted")
        }
        free if free < (10 * GIB).min(total / 10) => {
            Check::warn("space", found, "make room before the log needs it")
        }
        _ => Check::ok("space", found),
    }
}

fn sync(times: SyncTimes) -> Check {
    let found = format!(
        "fdatasync of a small append: p50 {:.2} ms, p99 {:.2} ms",
        times.p50_ms, times.p99_ms
    );
    match times.p50_ms {
        slow if slow > 10.0 => Check::warn(
            "sync",
            found,
            "every acknowledgement waits for this: use a faster disk, or enqueue in batches",
        ),
        fast if fast < 0.02 => Check::warn(
            "sync",
            found,
            "this is no disk, or one that does not sync: a power cut may lose tasks",
        ),
        _ => Check::ok("sync", found),
    }
}

fn wall(now: Timestamp) -> Check {
    let found = haulier_server::api::Instant(now).to_string();
    if now < EARLIEST {
        return Check::fail("clock", found, "set the machine's clock, best by NTP");
    }
    Check::ok("clock", found)
}

fn files(limit: Option<u64>) -> Check {
    let found = limit.map_or_else(|| "no limit".to_owned(), text::number);
    let found = format!("{found} open files allowed");
    let next = "raise it: `ulimit -n 65536`, or LimitNOFILE= in a systemd unit";
    match limit {
        Some(limit) if limit < 256 => Check::fail("limits", found, next),
        Some(limit) if limit < 4_096 => Check::warn("limits", found, next),
        _ => Check::ok("limits", found),
    }
}

fn class(class: Durability) -> Check {
    let found = format!("{class}: {}", class.explain());
    if class < Durability::D2 {
        return Check::warn("durability", found, "keep tasks on disk: haulier serve --data DIR");
    }
    Check::ok("durability", found)
}

fn print(check: &Check) -> Result<()> {
    let (colour, word) = match check.verdict {
        Verdict::Ok => (output::GOOD, "ok"),
        Verdict::Warn => (output::CAUTION, "warn"),
        Verdict::Fail => (output::BAD, "fail"),
    };
    let found = text::line(&check.found);
    output::line(format_args!("{colour}{word:<5}{}{:<11} {found}", output::PLAIN, check.name))?;
    match check.next {
        Some(next) => output::line(format_args!("{:<17}next: {next}", "")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Fail, Ok, Warn};
    use super::*;

    #[test]
    fn what_is_bad_fails_and_what_is_doubtful_warns() {
        let times = |p50_ms| SyncTimes { p50_ms, p99_ms: 50.0, rounds: 1 };
        let verdicts = [
            space(GIB - 1, 100 * GIB),
            space(5 * GIB, 100 * GIB),
            space(20 * GIB, 100 * GIB),
            sync(times(20.0)),
            sync(times(0.001)),
            sync(times(0.2)),
            wall(Timestamp(0)),
            files(Some(64)),
            files(Some(1_024)),
            files(None),
            class(Durability::D0),
            class(Durability::D2),
        ]
        .map(|check| check.verdict);
        assert_eq!(verdicts, [Fail, Warn, Ok, Warn, Warn, Ok, Fail, Fail, Warn, Ok, Warn, Ok]);
    }

    #[test]
    fn a_directory_that_is_not_there_yet_is_judged_by_the_one_above() {
        assert_eq!(existing(Path::new("no-such-dir")), Path::new("."));
        assert_eq!(existing(Path::new("/no/such/dir")), Path::new("/"));
    }
}
