//! Listing tasks: pages of the store, strung together up to a limit.

use clap::ValueEnum;
use haulier_core::limits::PAGE_MAX;
use haulier_core::{Filter, Include, PageRequest};
use haulier_server::api;

use crate::exit::{Exit, Result};
use crate::output::{self, Format, Output, Row};
use crate::{connect, text};

/// Which tasks, and how much of each.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Which tasks: terms such as queue:mail, joined by "and"
    #[arg(short, long, value_name = "FILTER", default_value = "", hide_default_value = true)]
    filter: Filter,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    #[command(flatten)]
    parts: Parts,
    #[command(flatten)]
    server: connect::Server,
    #[command(flatten)]
    output: Output,
}

/// Large parts of a task, which are read on request only.
#[derive(Debug, Clone, clap::Args)]
pub struct Parts {
    /// Read these along, for -o json and show
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART,…")]
    include: Vec<Part>,
}

/// A large part of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// What was handed over
    Payload,
    /// What the handler returned
    Result,
    /// What its steps gave
    Checkpoints,
}

impl Parts {
    /// The same for the store.
    pub fn include(&self) -> Include {
        let has = |part| self.include.contains(&part);
        Include {
            payload: has(Part::Payload),
            result: has(Part::Result),
            checkpoints: has(Part::Checkpoints),
        }
    }
}

impl List {
    /// Runs the command; `base` is what the command itself looks for.
    pub async fn run(self, base: Filter) -> Result<Exit> {
        let inspect = self.server.inspect().await?;
        let (filter, include) = (base.and(self.filter), self.parts.include());
        let limit = self.limit as usize;
        let mut document = api::TaskPage { tasks: Vec::new(), next_page_token: None };
        loop {
            let page = PageRequest {
                size: (limit - document.tasks.len()).min(PAGE_MAX),
                after: document.next_page_token.take(),
                include,
            };
            let page = inspect.list(filter.clone(), page).await?;
            let rows = page.tasks.iter().map(|view| api::TaskView::row(view, include));
            document.tasks.extend(rows);
            document.next_page_token = page.next;
            if document.next_page_token.is_none() || document.tasks.len() >= limit {
                break;
            }
        }
        output::rows(self.output.format, &document.tasks, &document)?;
        let tabular = matches!(self.output.format, Format::Table | Format::Wide);
        if tabular && document.next_page_token.is_some() {
            output::say(format_args!("note: there may be more; raise --limit {limit}"));
        }
        Ok(Exit::Done)
    }
}

impl Row for api::TaskView {
    fn heads(wide: bool) -> Vec<&'static str> {
        let mut heads = vec!["id", "queue", "kind", "state", "attempt", "enqueued"];
        if wide {
            heads.extend(["priority", "losses", "due", "worker", "labels"]);
        }
        heads.push("last error");
        heads
    }

    fn cells(&self, wide: bool) -> Vec<String> {
        let reason = self.reason.map(|reason| format!(" ({})", reason.as_str()));
        let mut cells = vec![
            self.id.0.to_string(),
            self.queue.0.to_string(),
            self.kind.0.to_string(),
            format!("{}{}", self.state.as_str(), reason.unwrap_or_default()),
            format!("{}/{}", self.attempt, self.max_attempts),
            self.enqueued_at.to_string(),
        ];
        if wide {
            let labels = self.labels.0.iter().map(|(name, value)| format!("{name}={value}"));
            cells.extend([
                self.priority.to_string(),
                self.losses.to_string(),
                self.due_at.to_string(),
                self.lease
                    .as_ref()
                    .map_or_else(|| "-".to_owned(), |held| held.worker.0.to_string()),
                labels.collect::<Vec<_>>().join(","),
            ]);
        }
        let width = if wide { 200 } else { 60 };
        let error = self.last_error.as_ref().map(|last| text::short(&last.error.message, width));
        cells.push(error.unwrap_or_else(|| "-".to_owned()));
        cells
    }

    fn name(&self) -> String {
        self.id.0.to_string()
    }
}
