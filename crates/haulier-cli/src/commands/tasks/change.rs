//! Cancelling, rerunning and deleting, by ids or by filter. It counts first and asks; the loop over
//! all that match is the library's.

use haulier::bulk::{self, Action, Done};
use haulier_core::limits::ITEMS_MAX;
use haulier_core::{Changed, Control, Filter, Inspect, Refusal, State, TaskId};
use haulier_server::api;

use crate::exit::{Exit, Result};
use crate::output::{self, Format, Output, Row};
use crate::{ask, connect, text};

/// Which tasks to change.
#[derive(Debug, clap::Args)]
pub struct Change {
    #[command(flatten)]
    which: Which,
    /// Only count them
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    server: connect::Server,
    #[command(flatten)]
    output: Output,
}

/// Tasks by their ids, or by what they are.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The tasks' ids
    ids: Vec<TaskId>,
    /// All tasks that match, as in queue:mail state:dead
    #[arg(short, long, value_name = "FILTER")]
    filter: Option<Filter>,
}

impl Change {
    /// Runs the command; `base` is what the command itself looks for.
    pub async fn run(mut self, action: Action, base: Filter) -> Result<Exit> {
        let client = self.server.client().await?;
        let (inspect, control) = (client.inspect()?, client.control()?);
        let (inspect, control) = (&*inspect, &*control);
        match self.which.filter.take() {
            Some(filter) => self.by_filter((inspect, control), action, base.and(filter)).await,
            None => self.by_ids(control, action).await,
        }
    }

    async fn by_filter(
        &self,
        stores: (&dyn Inspect, &dyn Control),
        action: Action,
        filter: Filter,
    ) -> Result<Exit> {
        let count = bulk::all(stores, action, &filter, true).await?.matched;
        if self.dry_run || count == 0 {
            self.report(action, Done { matched: count, ..Done::default() })?;
            return Ok(Exit::Done);
        }
        let word = action.as_str();
        ask::confirm(&format!("{word} {}?", text::count(count, "task")), self.yes)?;
        let done = bulk::all(stores, action, &filter, false).await?;
        let all = done.changed == done.matched;
        self.report(action, done)?;
        Ok(if all { Exit::Done } else { Exit::No })
    }

    async fn by_ids(&self, control: &dyn Control, action: Action) -> Result<Exit> {
        let count = self.which.ids.len() as u64;
        if self.dry_run {
            self.report(action, Done { matched: count, ..Done::default() })?;
            return Ok(Exit::Done);
        }
        // A rerun of what was named one by one loses nothing.
        let harmless = action == Action::Rerun;
        let question = format!("{} {}?", action.as_str(), text::count(count, "task"));
        ask::confirm(&question, self.yes || harmless)?;
        let mut answers: Vec<(TaskId, Changed)> = Vec::with_capacity(self.which.ids.len());
        for slice in self.which.ids.chunks(ITEMS_MAX) {
            let changed = bulk::by_ids(control, action, slice.to_vec()).await?;
            answers.extend(slice.iter().copied().zip(changed));
        }
        let changed = answers.iter().filter(|(_, answer)| is_done(answer)).count() as u64;
        let document = api::BulkChanged {
            matched: answers.len() as u64,
            changed,
            answers: answers
                .into_iter()
                .map(|(id, answer)| api::BulkAnswer::new(id, answer))
                .collect(),
            next_page_token: None,
        };
        output::rows(self.output.format, &document.answers, &document)?;
        Ok(if changed == document.matched { Exit::Done } else { Exit::No })
    }

    /// Says what came of a filter: counts, and each task that was not changed.
    fn report(&self, action: Action, done: Done) -> Result<()> {
        let refused = |(id, refusal): (TaskId, Option<Refusal>)| {
            api::BulkAnswer::new(id, refusal.map_or(Changed::NotFound, Changed::Refused))
        };
        let document = api::BulkChanged {
            matched: done.matched,
            changed: done.changed,
            answers: done.refused.into_iter().map(refused).collect(),
            next_page_token: None,
        };
        match self.output.format {
            Format::Json => output::json(&document),
            Format::Ndjson => output::json_line(&document),
            Format::Name => document
                .answers
                .iter()
                .try_for_each(|row| output::line(format_args!("{}", row.name()))),
            Format::Table | Format::Wide => {
                if !document.answers.is_empty() {
                    output::rows(self.output.format, &document.answers, &document)?;
                }
                let (matched, changed) = (text::number(done.matched), text::number(done.changed));
                let word = action.as_str();
                if self.dry_run {
                    return output::line(format_args!("{word}: {matched} match, nothing changed"));
                }
                output::line(format_args!("{word}: {matched} matched, {changed} done"))
            }
        }
    }
}

fn is_done(answer: &Changed) -> bool {
    matches!(answer, Changed::Done(_))
}

impl Row for api::BulkAnswer {
    fn heads(_: bool) -> Vec<&'static str> {
        vec!["id", "answer", "state", "why"]
    }

    fn cells(&self, _: bool) -> Vec<String> {
        let state = self.state.map(|state| state.0);
        let (answer, why) = match (&self.error, state) {
            (Some(error), _) => ("refused", error.detail.as_str()),
            // Only a cancellation leaves a task running.
            (None, Some(State::Running)) => ("stopping", "its worker is told at its next beat"),
            (None, Some(_)) => ("done", "-"),
            (None, None) => ("not_found", "-"),
        };
        vec![
            self.id.0.to_string(),
            answer.to_owned(),
            state.map_or("-", State::as_str).to_owned(),
            why.to_owned(),
        ]
    }

    fn name(&self) -> String {
        self.id.0.to_string()
    }
}
