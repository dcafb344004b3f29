//! `haulier bench`: what a server does, measured from outside, with its books balanced.
//!
//! Without a URL it measures this program's own server, as a child process on an embedded store in
//! a temporary directory. The durability class stands in every row, and beside it what the
//! machine's disk needs for one sync: nobody who keeps that class can acknowledge faster.

mod account;
mod client;
mod latency;
mod lifecycle;

use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum;
use haulier::Client;
use haulier_core::limits::{ITEMS_MAX, PAYLOAD_BYTES_MAX};
use haulier_core::{Clock, Kind, QueueName};
use serde::Serialize;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use self::account::Books;
use self::client::Run;
use crate::child::Process;
use crate::disk::{self, SyncTimes};
use crate::exit::{Exit, Failed, Result};
use crate::output::{self, Output, Row};
use crate::{signals, text};

/// Syncs that are measured beside the run.
const SYNC_ROUNDS: usize = 200;

/// Measures a server.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  haulier bench --tasks 2000 --seconds 1
  haulier bench http://127.0.0.1:7420 --workload lifecycle --tasks 2000 -o json

lifecycle: enqueue, deliver and complete, as fast as it goes; times are from enqueue to completion.
latency: an open loop at a steady rate; times are from enqueue to start.
Run it from a release build. Every run balances its books: a missing task fails it.")]
pub struct Args {
    /// The server; without it, one of this program on an embedded store in a temporary directory
    url: Option<String>,
    /// What to measure; may be repeated, all if left out
    #[arg(short, long = "workload", value_enum)]
    workloads: Vec<Workload>,
    /// Connections, each with producers and consumers
    #[arg(long, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// lifecycle: tasks of a call
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = batch)]
    batch: usize,
    /// lifecycle: tasks in all
    #[arg(long, value_name = "N", default_value_t = 200_000,
          value_parser = clap::value_parser!(u32).range(1..=20_000_000))]
    tasks: u32,
    /// latency: tasks a second
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// latency: how long
    #[arg(long, value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Bytes of each payload
    #[arg(long, value_name = "BYTES", default_value_t = 200, value_parser = payload_bytes)]
    payload: usize,
    /// Where to measure a sync; the temporary directory if left out
    #[arg(long, value_name = "DIR")]
    data: Option<std::path::PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// Whole lifecycles, as fast as they go
    Lifecycle,
    /// From enqueue to start at a steady rate
    Latency,
}

fn within(text: &str, most: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => Err(format!("it goes from 1 to {most}")),
    }
}

fn batch(text: &str) -> Result<usize, String> {
    within(text, ITEMS_MAX)
}

fn payload_bytes(text: &str) -> Result<usize, String> {
    within(text, PAYLOAD_BYTES_MAX)
}

/// One row of the result.
#[derive(Debug, Serialize)]
struct Measured {
    workload: &'static str,
    store: String,
    durability: String,
    connections: u16,
    batch: usize,
    payload_bytes: usize,
    tasks: usize,
    seconds: f64,
    tasks_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    fdatasync: SyncTimes,
    version: &'static str,
    build: &'static str,
}

impl Row for Measured {
    fn heads(wide: bool) -> Vec<&'static str> {
        let mut heads =
            vec!["workload", "class", "tasks/s", "p50 ms", "p99 ms", "sync p50 ms", "sync p99 ms"];
        if wide {
            heads.extend(["store", "connections", "batch", "bytes", "tasks", "seconds"]);
        }
        heads
    }

    fn cells(&self, wide: bool) -> Vec<String> {
        let mut cells = vec![
            self.workload.to_owned(),
            self.durability.clone(),
            format!("{:.0}", self.tasks_per_second),
            format!("{:.2}", self.p50_ms),
            format!("{:.2}", self.p99_ms),
            format!("{:.2}", self.fdatasync.p50_ms),
            format!("{:.2}", self.fdatasync.p99_ms),
        ];
        if wide {
            cells.extend([
                self.store.clone(),
                self.connections.to_string(),
                self.batch.to_string(),
                self.payload_bytes.to_string(),
                text::number(self.tasks as u64),
                format!("{:.2}", self.seconds),
            ]);
        }
        cells
    }

    fn name(&self) -> String {
        self.workload.to_owned()
    }
}

impl Args {
    /// Runs the command.
    pub async fn run(self, clock: Arc<dyn Clock>) -> Result<Exit> {
        if cfg!(debug_assertions) {
            output::say(format_args!("note: this is a debug build; its figures mean little"));
        }
        let place = tempfile::tempdir().map_err(|error| Failed::io("no place", &error))?;
        let end = signals::end()?;
        let rows = tokio::select! {
            rows = self.measure(&place, &clock) => rows?,
            () = end => return Err(Failed::new(Exit::No, "interrupted; nothing is published")),
        };
        output::rows(self.output.format, &rows, &rows)?;
        Ok(Exit::Done)
    }

    async fn measure(&self, place: &TempDir, clock: &Arc<dyn Clock>) -> Result<Vec<Measured>> {
        let own = match &self.url {
            Some(_) => None,
            None => Some(own_server(place.path(), &**clock).await?),
        };
        let url = self.url.as_deref().or(own.as_ref().map(|(_, url)| url.as_str()));
        let url = url.unwrap_or_default();
        let all = [Workload::Lifecycle, Workload::Latency];
        let chosen = if self.workloads.is_empty() { &all[..] } else { &self.workloads };
        let dir = self.data.as_deref().unwrap_or(place.path());
        let mut rows = Vec::new();
        for workload in chosen {
            rows.push(self.row(*workload, url, dir, clock).await?);
        }
        if let Some((mut server, _)) = own {
            server.stop(&**clock).await?;
        }
        Ok(rows)
    }

    async fn row(
        &self,
        workload: Workload,
        url: &str,
        dir: &Path,
        clock: &Arc<dyn Clock>,
    ) -> Result<Measured> {
        let mut clients = Vec::new();
        for _ in 0..self.connections {
            let builder = Client::builder(url).clock(Arc::clone(clock)).connections(1);
            clients.push(builder.open().await?);
        }
        let run = self.new_run(workload, &clients[0], clock)?;
        let began = clock.monotonic();
        let books = self.books(workload, &run, &clients).await?;
        let seconds = clock.monotonic().saturating_sub(began).as_secs_f64();
        let audited = books.audit()?;
        let fdatasync = disk::sync_times(dir, SYNC_ROUNDS, &**clock)
            .map_err(|error| Failed::io(dir.display(), &error))?;
        let capabilities = clients[0].queue().capabilities();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let tasks_per_second = audited.tasks as f64 / seconds;
        Ok(Measured {
            workload: workload.name(),
            store: capabilities.store,
            durability: capabilities.durability.to_string(),
            connections: self.connections,
            batch: run.batch,
            payload_bytes: self.payload,
            tasks: audited.tasks,
            seconds,
            tasks_per_second,
            p50_ms: audited.p50_ms,
            p99_ms: audited.p99_ms,
            fdatasync,
            version: env!("CARGO_PKG_VERSION"),
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
        })
    }

    async fn books(&self, workload: Workload, run: &Arc<Run>, clients: &[Client]) -> Result<Books> {
        let run = Arc::clone(run);
        match workload {
            Workload::Lifecycle => lifecycle::run(run, clients, self.tasks as usize).await,
            Workload::Latency => latency::run(run, clients, self.rate, self.seconds).await,
        }
    }

    fn new_run(
        &self,
        workload: Workload,
        client: &Client,
        clock: &Arc<dyn Clock>,
    ) -> Result<Arc<Run>> {
        // A queue of its own: what stands in others is not ours to take.
        let queue =
            format!("bench-{}-{:08x}", workload.name(), client.entropy().up_to(u32::MAX.into()));
        Ok(Arc::new(Run {
            clock: Arc::clone(clock),
            queue: QueueName::new(queue)?,
            kind: Kind::new("bench")?,
            payload_bytes: self.payload,
            batch: match workload {
                Workload::Lifecycle => self.batch,
                Workload::Latency => 1,
            },
            acknowledged: 0.into(),
            accepted: 0.into(),
            handed_over: CancellationToken::new(),
            done: CancellationToken::new(),
        }))
    }
}

impl Workload {
    const fn name(self) -> &'static str {
        match self {
            Self::Lifecycle => "lifecycle",
            Self::Latency => "latency",
        }
    }
}

async fn own_server(dir: &Path, clock: &dyn Clock) -> Result<(Process, String)> {
    let (data, log) = (dir.join("data"), dir.join("server.log"));
    Process::start_server(&data, "127.0.0.1:0", &log, clock).await
}
