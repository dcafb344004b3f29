//! `haulier bench`: what a server does, measured from outside, with its books balanced.
//!
//! Without a URL it measures this program's own server, as a child process on an embedded store in
//! a temporary directory. The durability class stands in every row, and beside it what the
//! machine's disk needs for one sync: nobody who keeps that class can acknowledge faster.
//!
//! | where | what |
//! |---|---|
//! | `plan` | which rows there are |
//! | `workloads` | what each of them does, a file each |
//! | `rounds` | how often, and in which order |
//! | `site` | the server or store of one round, with clients connected |
//! | `run`, `books`, `histogram` | producers and workers, what they write down, the audit |
//! | `trace`, `usage`, `machine` | what is seen from outside: syncs, memory, the machine |
//! | `report`, `compare` | what is published, and how it differs from an earlier one |

mod books;
mod compare;
mod histogram;
mod machine;
mod plan;
mod report;
mod rounds;
mod run;
mod site;
#[cfg(test)]
mod tests;
mod trace;
mod usage;
mod workloads;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use haulier_core::limits::{ITEMS_MAX, PAYLOAD_BYTES_MAX};
use haulier_core::{Clock, Timestamp};
use serde::Serialize;

use self::compare::Comparison;
use self::machine::Machine;
use self::plan::{Plan, Workload};
use self::report::{Report, SCHEMA};
use self::rounds::Row;
use self::site::{Ground, Target};
use crate::exit::{Exit, Failed, Result};
use crate::output::{self, Format, Output};
use crate::signals;

/// Measures a server.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  haulier bench -w latency --tasks 20
  haulier bench http://127.0.0.1:7420 -w lifecycle --batch 100 --tasks 2000 -o json
  haulier bench --in-process -w lifecycle --tasks 2000
  haulier bench -w enqueue --tasks 500 -o json > before
  haulier bench -w enqueue --tasks 500 --compare before

Without a workload it is a quick tour of all in two minutes; --full takes an hour for the same with
more of everything and five rounds. Run it from a release build. Every run balances its books: a
missing task, or fewer syncs than the server's durability class takes, fails it and publishes
nothing. What each row means and how to measure fairly: docs/operations/benchmarks.md.")]
pub struct Args {
    /// The server, or `memory:`, `file:DIR`, `postgres://…` or `redis://…` for a store in this
    /// process; without it, a server of this program on an embedded store in a temporary directory
    url: Option<String>,
    /// What to measure; may be repeated, all if left out
    #[arg(short, long = "workload", value_enum)]
    workloads: Vec<Workload>,
    /// Measure an embedded store in this process, in a temporary directory
    #[arg(long, conflicts_with = "url")]
    in_process: bool,
    /// More of everything, instead of a quick tour
    #[arg(long)]
    full: bool,
    /// Measure each row so often; medians are shown [default: 1, in full 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// lifecycle: 1, 10 and 100 producers × workers, with batches of 1, 10 and 100
    #[arg(long)]
    matrix: bool,
    /// Producers, and as many workers
    #[arg(long, value_name = "N", value_parser = callers)]
    callers: Option<usize>,
    /// Tasks of a call
    #[arg(long, value_name = "N", value_parser = batch)]
    batch: Option<usize>,
    /// Connections that the callers share
    #[arg(long, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// Tasks of each row, instead of as many as go in --seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20_000_000))]
    tasks: Option<u32>,
    /// How long each row is measured that is limited by time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: Option<u32>,
    /// latency: tasks a second; may be repeated
    #[arg(long = "rate", value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rates: Vec<u32>,
    /// Bytes of each payload
    #[arg(long, value_name = "BYTES", default_value_t = 200, value_parser = payload_bytes)]
    payload: usize,
    /// Where the temporary directory is made, and a sync alone is measured
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Compare with an earlier report, written by `-o json`
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// End with exit code 1 if a row is below that ratio of the earlier report
    #[arg(long, value_name = "RATIO", requires = "compare", value_parser = ratio)]
    fail_below: Option<f64>,
    #[command(flatten)]
    output: Output,
}

/// What is written with `-o json`: the report, and beside it the comparison.
#[derive(Debug, Serialize)]
struct Published<'a> {
    #[serde(flatten)]
    report: &'a Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<&'a Comparison>,
}

/// A word of the command line as it may be published: a database's URL may bear its password.
fn without_password(word: &str) -> String {
    let shown = || {
        let (scheme, rest) = word.split_once("://")?;
        let (user, place) = rest.split_once('@')?;
        let (name, _) = user.split_once(':')?;
        Some(format!("{scheme}://{name}:***@{place}"))
    };
    shown().unwrap_or_else(|| word.to_owned())
}

fn within(text: &str, most: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => Err(format!("it goes from 1 to {most}")),
    }
}

fn callers(text: &str) -> Result<usize, String> {
    within(text, 1_000)
}

fn batch(text: &str) -> Result<usize, String> {
    within(text, ITEMS_MAX)
}

fn payload_bytes(text: &str) -> Result<usize, String> {
    within(text, PAYLOAD_BYTES_MAX)
}

fn ratio(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ratio) if ratio > 0.0 && ratio.is_finite() => Ok(ratio),
        _ => Err("it is a number above zero, as in 0.8".to_owned()),
    }
}

impl Args {
    /// Runs the command.
    pub async fn run(self, clock: Arc<dyn Clock>) -> Result<Exit> {
        if cfg!(debug_assertions) {
            output::say(format_args!("note: this is a debug build; its figures mean little"));
        }
        let earlier = self.compare.as_deref().map(compare::read).transpose()?;
        let place = match &self.data {
            Some(dir) => tempfile::tempdir_in(dir),
            None => tempfile::tempdir(),
        };
        let place = place.map_err(|error| Failed::io("no temporary directory", &error))?;
        let end = signals::end()?;
        let report = tokio::select! {
            report = self.measure(place.path(), &clock) => report?,
            () = end => return Err(Failed::new(Exit::No, "interrupted; nothing is published")),
        };
        let comparison = earlier.map(|earlier| compare::compare(&earlier, &report));
        self.publish(&report, comparison.as_ref())?;
        if let (Some(least), Some(comparison)) = (self.fail_below, &comparison) {
            comparison.check(least)?;
        }
        Ok(Exit::Done)
    }

    async fn measure(&self, dir: &Path, clock: &Arc<dyn Clock>) -> Result<Report> {
        let target = match &self.url {
            Some(url) => Target::Url(url.clone()),
            None if self.in_process => Target::InProcess,
            None => Target::Own,
        };
        let rows = self.rows(&target)?;
        let machine = Machine::look(dir, &**clock)?;
        let rounds = self.rounds.unwrap_or(if self.full { 5 } else { 1 });
        let clients = target.clients();
        let ground = Ground {
            target,
            clock: Arc::clone(clock),
            dir: dir.to_owned(),
            connections: self.connections.into(),
            payload_bytes: self.payload,
            opened: 0.into(),
        };
        let rows = rounds::measure(&ground, rows, rounds).await?;
        let command: Vec<_> =
            std::env::args_os().map(|word| without_password(&word.to_string_lossy())).collect();
        Ok(Report {
            schema: SCHEMA,
            command: command.join(" "),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
            measured_at: rfc3339(clock.wall()),
            clients,
            rounds,
            machine,
            rows,
        })
    }

    /// What is to be measured. What cannot be is an error if it was asked for, and else left out.
    fn rows(&self, target: &Target) -> Result<Vec<Row>> {
        let plan = Plan {
            full: self.full,
            matrix: self.matrix || self.full,
            in_process: *target != Target::Own && !target.is_remote(),
            callers: self.callers,
            batch: self.batch,
            tasks: self.tasks,
            seconds: self.seconds,
            rates: self.rates.clone(),
        };
        let all = Workload::value_variants();
        let chosen = if self.workloads.is_empty() { all } else { &self.workloads };
        let mut rows = Vec::new();
        for workload in chosen {
            for case in plan.cases(*workload) {
                if !case.needs_server() || *target == Target::Own {
                    rows.push(Row::new(*workload, case));
                    continue;
                }
                let why = format!(
                    "{} looks at the server's process, and this one is not ours",
                    workload.name()
                );
                if !self.workloads.is_empty() {
                    return Err(Failed::new(Exit::Usage, why)
                        .next("leave out the URL: a server of this program is started for it"));
                }
                output::say(format_args!("left out: {why}"));
            }
        }
        Ok(rows)
    }

    fn publish(&self, report: &Report, comparison: Option<&Comparison>) -> Result<()> {
        let format = self.output.format;
        output::rows(format, &report.rows, &Published { report, comparison })?;
        if matches!(format, Format::Table | Format::Wide) {
            output::line(format_args!("\n{}", footer(report)))?;
        }
        let Some(comparison) = comparison else { return Ok(()) };
        for warning in &comparison.warnings {
            output::say(format_args!("{}warning:{} {warning}", output::CAUTION, output::PLAIN));
        }
        if matches!(format, Format::Table | Format::Wide) {
            output::line(format_args!("\ncompared with {}", comparison.measured_at))?;
            output::rows(format, &comparison.rows, &comparison.rows)?;
        }
        Ok(())
    }
}

fn rfc3339(at: Timestamp) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or_default().to_string()
}

/// What belongs to the figures, in a line.
fn footer(report: &Report) -> String {
    let Machine { cores, kernel, filesystem, sync_alone, .. } = &report.machine;
    format!(
        "{cores} cores, Linux {kernel}, {filesystem}, a sync alone {:.2} ms (p99 {:.2} ms); \
         clients: {}; {} of each, {} build {}",
        sync_alone.p50_ms,
        sync_alone.p99_ms,
        report.clients,
        crate::text::count(report.rounds.into(), "round"),
        report.build,
        report.version,
    )
}
