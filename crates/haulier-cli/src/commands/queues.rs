//! `haulier queues`: how they stand, and what operators set on them.

use std::time::Duration;

use haulier_core::{
    Inspect, QueueName, QueueSettings, QueueStats, SettingsPatch, WorkerView, span as s,
};
use haulier_server::api;
use serde::Serialize;

use crate::exit::{Exit, Failed, Result};
use crate::output::{self, Output, Row};
use crate::{connect, span, text};

/// What to do with queues.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// List queues that have tasks or settings
    #[command(after_help = "\
Examples:
  haulier queues list
  haulier queues list -o wide")]
    List(List),
    /// Show one queue
    #[command(after_help = "\
Examples:
  haulier queues show default -o json")]
    Show(Show),
    /// Give none of a queue's tasks out
    #[command(after_help = "\
Examples:
  haulier queues pause mail")]
    Pause(Named),
    /// Give a queue's tasks out again
    #[command(after_help = "\
Examples:
  haulier queues resume mail")]
    Resume(Named),
    /// Limit what a queue runs, holds and keeps
    #[command(after_help = "\
Examples:
  haulier queues set mail --concurrency 10 --max-tasks 100000
  haulier queues set mail --concurrency none --retain-completed 2h --retain-completed-count 50000")]
    Set(Set),
}

/// All queues.
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    server: connect::Server,
    #[command(flatten)]
    output: Output,
}

/// One queue.
#[derive(Debug, clap::Args)]
pub struct Show {
    /// The queue
    queue: QueueName,
    #[command(flatten)]
    server: connect::Server,
    #[command(flatten)]
    output: Output,
}

/// Some queues.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// The queues
    #[arg(required = true)]
    queues: Vec<QueueName>,
    #[command(flatten)]
    server: connect::Server,
    #[command(flatten)]
    output: Output,
}

/// A change of settings.
#[derive(Debug, clap::Args)]
pub struct Set {
    /// The queue
    queue: QueueName,
    /// Tasks that may run at a time, over all workers
    #[arg(long, value_name = "N|none", value_parser = limit)]
    concurrency: Option<Limit>,
    /// Tasks that are not final which it may hold; more are refused
    #[arg(long, value_name = "N|none", value_parser = limit)]
    max_tasks: Option<Limit>,
    /// How long completed tasks are kept
    #[arg(long, value_name = "DURATION", value_parser = span)]
    retain_completed: Option<Duration>,
    /// How many completed tasks are kept
    #[arg(long, value_name = "N")]
    retain_completed_count: Option<u64>,
    /// How long cancelled tasks are kept
    #[arg(long, value_name = "DURATION", value_parser = span)]
    retain_cancelled: Option<Duration>,
    /// How long dead tasks are kept
    #[arg(long, value_name = "DURATION", value_parser = span)]
    retain_dead: Option<Duration>,
    #[command(flatten)]
    server: connect::Server,
    #[command(flatten)]
    output: Output,
}

/// A number, or that there is no limit.
#[derive(Debug, Clone, Copy)]
struct Limit(Option<u64>);

fn limit(text: &str) -> Result<Limit, String> {
    match text {
        "none" => Ok(Limit(None)),
        text => text
            .parse()
            .map(|number| Limit(Some(number)))
            .map_err(|_| "it is a whole number, or none".to_owned()),
    }
}

impl Verb {
    /// Runs the command.
    pub async fn run(self) -> Result<Exit> {
        let pause = |paused| SettingsPatch { paused: Some(paused), ..SettingsPatch::default() };
        match self {
            Self::List(list) => list.run().await,
            Self::Show(show) => show.run().await,
            Self::Pause(named) => {
                configure(&named.server, named.queues, pause(true), named.output).await
            }
            Self::Resume(named) => {
                configure(&named.server, named.queues, pause(false), named.output).await
            }
            Self::Set(set) => {
                let patch = set.patch()?;
                configure(&set.server, vec![set.queue], patch, set.output).await
            }
        }
    }
}

impl List {
    async fn run(self) -> Result<Exit> {
        let queues = read(&*self.server.inspect().await?).await?;
        let document = api::QueuePage { queues, next_page_token: None };
        output::rows(self.output.format, &document.queues, &document)?;
        Ok(Exit::Done)
    }
}

impl Show {
    async fn run(self) -> Result<Exit> {
        let queues = read(&*self.server.inspect().await?).await?;
        match queues.into_iter().find(|queue| queue.queue.0 == self.queue) {
            Some(queue) => output::rows(self.output.format, std::slice::from_ref(&queue), &queue)?,
            None => {
                return Err(Failed::new(
                    Exit::No,
                    format!("queue {} has neither tasks nor settings", self.queue),
                )
                .next("list those that have: haulier queues list"));
            }
        }
        Ok(Exit::Done)
    }
}

async fn read(inspect: &dyn Inspect) -> Result<Vec<api::Queue>> {
    let (queues, workers) = (inspect.queues().await?, inspect.workers().await?);
    let serves = |queue: &QueueName, worker: &WorkerView| {
        worker.about.as_ref().is_some_and(|about| about.queues.contains(queue))
    };
    let queue = |stats: &QueueStats| {
        let count = workers.iter().filter(|worker| serves(&stats.queue, worker)).count();
        api::Queue::new(stats, None, count)
    };
    Ok(queues.iter().map(queue).collect())
}

impl Set {
    fn patch(&self) -> Result<SettingsPatch> {
        let narrow = |limit: Limit| match limit.0 {
            None => Ok(None),
            Some(number) => u32::try_from(number).map(Some).map_err(|_| {
                Failed::new(Exit::Usage, format!("--concurrency is at most {}", u32::MAX))
            }),
        };
        let patch = SettingsPatch {
            paused: None,
            concurrency: self.concurrency.map(narrow).transpose()?,
            max_tasks: self.max_tasks.map(|limit| limit.0),
            retain_completed: self.retain_completed,
            retain_completed_count: self.retain_completed_count,
            retain_cancelled: self.retain_cancelled,
            retain_dead: self.retain_dead,
        };
        if patch.is_empty() {
            return Err(Failed::new(Exit::Usage, "nothing is set")
                .next("name a setting, as in --concurrency 10; see haulier queues set --help"));
        }
        Ok(patch)
    }
}

/// One queue's settings after a change.
#[derive(Debug, Serialize)]
struct Configured {
    queue: String,
    #[serde(flatten)]
    settings: api::Settings,
}

async fn configure(
    server: &connect::Server,
    queues: Vec<QueueName>,
    patch: SettingsPatch,
    output: Output,
) -> Result<Exit> {
    let control = server.control().await?;
    let mut rows = Vec::with_capacity(queues.len());
    for queue in queues {
        let settings: QueueSettings = control.configure(queue.clone(), patch.clone()).await?;
        rows.push(Configured { queue: queue.to_string(), settings: (&settings).into() });
    }
    match rows.as_slice() {
        [row] => output::rows(output.format, &rows, row)?,
        _ => output::rows(output.format, &rows, &rows)?,
    }
    Ok(Exit::Done)
}

fn or_none(limit: Option<impl ToString>) -> String {
    limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string())
}

fn setting_cells(settings: &api::Settings) -> Vec<String> {
    vec![
        if settings.paused { "yes" } else { "no" }.to_owned(),
        or_none(settings.concurrency),
        or_none(settings.max_tasks),
        s::format(settings.retain.completed.0),
        text::number(settings.retain.completed_count),
    ]
}

impl Row for Configured {
    fn heads(_: bool) -> Vec<&'static str> {
        vec!["queue", "paused", "concurrency", "max tasks", "keeps completed", "at most"]
    }

    fn cells(&self, _: bool) -> Vec<String> {
        std::iter::once(self.queue.clone()).chain(setting_cells(&self.settings)).collect()
    }

    fn name(&self) -> String {
        self.queue.clone()
    }
}

impl Row for api::Queue {
    fn heads(wide: bool) -> Vec<&'static str> {
        let mut heads = vec!["queue", "scheduled", "available", "running", "retryable"];
        heads.extend(["completed", "cancelled", "dead", "oldest", "workers", "paused"]);
        if wide {
            heads.extend(["concurrency", "max tasks", "keeps completed", "at most"]);
            heads.extend(["accepted", "finished", "removed"]);
        }
        heads
    }

    fn cells(&self, wide: bool) -> Vec<String> {
        let counts = self.tasks;
        let mut cells = vec![self.queue.0.to_string()];
        cells.extend(
            [
                counts.scheduled,
                counts.available,
                counts.running,
                counts.retryable,
                counts.completed,
                counts.cancelled,
                counts.dead,
            ]
            .map(text::number),
        );
        cells.push(self.oldest_available.map_or_else(|| "-".to_owned(), |age| s::format(age.0)));
        cells.push(self.workers.to_string());
        let mut settings = setting_cells(&self.settings).into_iter();
        cells.extend(settings.next());
        if wide {
            cells.extend(settings);
            cells.extend([self.accepted, self.finished, self.removed].map(text::number));
        }
        cells
    }

    fn name(&self) -> String {
        self.queue.0.to_string()
    }
}
