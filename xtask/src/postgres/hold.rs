//! Whether the rate stays: over a million finished tasks, and while another transaction is open
//! that has read and written, so that nothing that is dead can be cleaned up. The rate is what the
//! database itself counts, every half minute of one long run.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::migrate;
use super::server::Server;
use crate::bench::pause;

/// A transaction as bad as one can be: it has a snapshot and a number of its own.
pub const OPEN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ; \
                        SELECT pg_current_xact_id(), count(*) FROM pg_class;";
/// How often the rate is read.
const SLICE_SECONDS: u32 = 30;
/// Of the rates without the other transaction.
const PLAIN_SECONDS: u32 = 60;
const FINISHED: u32 = 1_000_000;
/// What is left of the rate at least.
const FLAT: f64 = 0.8;
/// Tasks that were ever enqueued, as the database counts: each is completed soon, because what is
/// under way is bounded.
const ENQUEUED: &str = "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'task'";
const SLOW: &str = "SELECT round(total_exec_time) || ' ms in ' || calls || ' calls: ' || \
                    left(regexp_replace(query, '\\s+', ' ', 'g'), 90) \
                    FROM pg_stat_statements ORDER BY total_exec_time DESC LIMIT 12";

/// Measures, prints the rates, and fails where they do not stay.
pub fn measure(server: &Server, haulier: &Path, minutes: u32) -> Result<(), String> {
    server.renew("hold")?;
    server.sql("hold", "CREATE EXTENSION pg_stat_statements")?;
    let url = server.url("hold");
    migrate(haulier, &url)?;
    let bench = Bench { server, haulier, url: &url };
    let empty = bench.rates("empty", PLAIN_SECONDS)?;
    bench.finish(FINISHED)?;
    let over = bench.rates("over 1 M finished", PLAIN_SECONDS)?;
    let session = server.session("hold", OPEN)?;
    server.sql("hold", "SELECT pg_stat_statements_reset()")?;
    let held = bench.rates("held", minutes * 60)?;
    println!("\nwhile it was open, most time went to\n{}", server.sql("hold", SLOW)?);
    drop(session);
    let [first, last] = [mean(held.iter().take(2)), mean(held.iter().rev().take(2))];
    let finished = mean(over.iter()) / mean(empty.iter());
    println!("\nover 1 M finished: {finished:.2} of empty");
    println!("last minute held: {:.2} of the first ({last:.0}/s of {first:.0}/s)", last / first);
    println!("first minute held: {:.2} of without", first / mean(over.iter()));
    if finished >= FLAT && last / first >= FLAT {
        return Ok(());
    }
    Err(format!("the rate does not stay above {FLAT} of what it was"))
}

struct Bench<'a> {
    server: &'a Server,
    haulier: &'a Path,
    url: &'a str,
}

impl Bench<'_> {
    /// Tasks a second in each half minute of one run.
    fn rates(&self, name: &str, seconds: u32) -> Result<Vec<f64>, String> {
        // A little longer, so that the last slice is not cut off; then it empties its queue.
        let mut running = self.start("--seconds", seconds + 10)?;
        pause(Duration::from_secs(2));
        let mut rates = Vec::new();
        for _ in 0..seconds / SLICE_SECONDS {
            let before = self.enqueued()?;
            pause(Duration::from_secs(SLICE_SECONDS.into()));
            let done = self.enqueued()?.saturating_sub(before);
            let rate =
                f64::from(u32::try_from(done).unwrap_or(u32::MAX)) / f64::from(SLICE_SECONDS);
            println!("{name}: {rate:.0}/s");
            rates.push(rate);
        }
        let status = running.wait().map_err(|why| why.to_string())?;
        if status.success() { Ok(rates) } else { Err(format!("haulier bench ended with {status}")) }
    }

    fn finish(&self, tasks: u32) -> Result<(), String> {
        let status = self.start("--tasks", tasks)?.wait().map_err(|why| why.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("haulier bench ended with {status}")) }
    }

    fn start(&self, amount: &str, number: u32) -> Result<Child, String> {
        Command::new(self.haulier)
            .args(["bench", self.url, "-w", "lifecycle", amount, &number.to_string()])
            .args(["--callers", "4", "--batch", "1000"])
            .stdout(Stdio::null())
            .spawn()
            .map_err(|why| format!("haulier: {why}"))
    }

    fn enqueued(&self) -> Result<u64, String> {
        let said = self.server.sql("hold", ENQUEUED)?;
        Ok(said.parse().unwrap_or(0))
    }
}

fn mean<'a>(rates: impl Iterator<Item = &'a f64>) -> f64 {
    let rates: Vec<f64> = rates.copied().collect();
    let count = u32::try_from(rates.len().max(1)).unwrap_or(1);
    rates.iter().sum::<f64>() / f64::from(count)
}
