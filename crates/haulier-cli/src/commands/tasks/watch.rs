//! Following tasks: one line for each change, until all of them are final.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use haulier_core::{Clock, Include, State, TaskId, TaskView};
use haulier_server::api;

use super::show::unknown;
use crate::exit::{Exit, Result};
use crate::output::{self, Format, Output};
use crate::{connect, text};

/// How often a task that is not final is looked at, for its progress.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Which tasks.
#[derive(Debug, clap::Args)]
pub struct Watch {
    /// The tasks' ids
    #[arg(required = true)]
    ids: Vec<TaskId>,
    #[command(flatten)]
    server: connect::Server,
    #[command(flatten)]
    output: Output,
}

impl Watch {
    /// Runs the command.
    pub async fn run(self, clock: Arc<dyn Clock>) -> Result<Exit> {
        let inspect = self.server.inspect().await?;
        let mut told: BTreeMap<TaskId, String> = BTreeMap::new();
        loop {
            let began = clock.monotonic();
            // The store answers at once when all are final; progress is seen by looking.
            let views = inspect.get(self.ids.clone(), Include::default(), LOOK_EVERY).await?;
            let (mut open, mut failed) = (false, false);
            for (id, view) in self.ids.iter().zip(views) {
                let view = view.ok_or_else(|| unknown(*id))?;
                open |= !view.state().is_final();
                failed |= view.state().is_final() && view.state() != State::Completed;
                let now = shown(&view);
                if told.get(id) != Some(&now) {
                    self.tell(&view, &now)?;
                    told.insert(*id, now);
                }
            }
            if !open {
                return Ok(if failed { Exit::No } else { Exit::Done });
            }
            // A store that answers before its time must not be asked without a pause.
            let passed = clock.monotonic().saturating_sub(began);
            clock.sleep(LOOK_EVERY.saturating_sub(passed)).await;
        }
    }

    fn tell(&self, view: &TaskView, now: &str) -> Result<()> {
        match self.output.format {
            Format::Json | Format::Ndjson => {
                output::json_line(&api::TaskView::row(view, Include::default()))
            }
            Format::Name => output::line(format_args!("{}", view.task.id)),
            Format::Table | Format::Wide => {
                output::line(format_args!("{}  {}", view.task.id, text::line(now)))
            }
        }
    }
}

/// What of a task is worth a line when it changes.
fn shown(view: &TaskView) -> String {
    let (standing, task) = (&view.standing, &view.task);
    let reason = standing.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let progress = match (&view.progress, standing.state) {
        (Some(progress), State::Running) => {
            format!(", {:.0} % {}", progress.fraction * 100.0, progress.note)
        }
        _ => String::new(),
    };
    let error = match (view.last_failure(), standing.state) {
        (None, _) | (_, State::Completed) => String::new(),
        (Some(failure), _) => format!(", last error: {}", text::short(&failure.message, 80)),
    };
    let (attempt, most) = (standing.attempt, task.policy.max_attempts);
    format!("{}{reason}, attempt {attempt} of {most}{progress}{error}", standing.state)
}
