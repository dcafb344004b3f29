//! Showing one task whole: where it stands, every delivery that is remembered, and on request what
//! it carries.

use std::time::Duration;

use haulier_core::{TaskId, TaskView, span};
use haulier_server::api;

use super::list::Parts;
use crate::exit::{Exit, Failed, Result};
use crate::output::{self, Format, Output};
use crate::{connect, text};

/// Which task.
#[derive(Debug, clap::Args)]
pub struct Show {
    /// The task's id
    id: TaskId,
    #[command(flatten)]
    parts: Parts,
    #[command(flatten)]
    server: connect::Server,
    #[command(flatten)]
    output: Output,
}

impl Show {
    /// Runs the command.
    pub async fn run(self) -> Result<Exit> {
        let (inspect, include) = (self.server.inspect().await?, self.parts.include());
        let found = inspect.get(vec![self.id], include, Duration::ZERO).await?;
        let Some(view) = found.into_iter().flatten().next() else { return Err(unknown(self.id)) };
        match self.output.format {
            Format::Json => output::json(&api::TaskView::full(&view, include))?,
            Format::Ndjson => output::json_line(&api::TaskView::full(&view, include))?,
            Format::Name => output::line(format_args!("{}", view.task.id))?,
            Format::Table | Format::Wide => print(&view)?,
        }
        Ok(Exit::Done)
    }
}

/// No such task.
pub fn unknown(id: TaskId) -> Failed {
    Failed::new(Exit::No, format!("task {id} is not known"))
        .next("finished tasks are kept for a while only; enqueue with --retain to keep one longer")
}

fn print(view: &TaskView) -> Result<()> {
    fields(view)?;
    if !view.checkpoints.is_empty() {
        let names: Vec<&str> = view.checkpoints.iter().map(|step| &*step.name).collect();
        field("steps done", &names.join(", "))?;
    }
    if !view.deliveries.is_empty() {
        output::line(format_args!(""))?;
        deliveries(view)?;
    }
    if let Some(failure) = view.last_failure() {
        let cause = failure.cause.as_str();
        output::line(format_args!("\nlast error ({cause}): {}", text::block(&failure.message)))?;
        if !failure.trace.is_empty() {
            output::line(format_args!("{}", text::block(&failure.trace)))?;
        }
    }
    part("payload", Some(&view.task.payload))?;
    part("result", view.result.as_ref())
}

fn field(name: &str, value: &str) -> Result<()> {
    output::line(format_args!("{name:<14}{}", text::line(value)))
}

fn fields(view: &TaskView) -> Result<()> {
    let (task, standing) = (&view.task, &view.standing);
    let instant = |at| api::Instant(at).to_string();
    let reason = standing.reason.map(|reason| format!(" ({reason})"));
    field("id", &task.id.to_string())?;
    field("state", &format!("{}{}", standing.state, reason.unwrap_or_default()))?;
    if standing.cancel_requested && !standing.state.is_final() {
        field("", "cancellation was asked for; its worker hears of it at its next beat")?;
    }
    field("queue", task.queue.as_str())?;
    field("kind", task.kind.as_str())?;
    field("priority", &task.priority.get().to_string())?;
    field("attempt", &format!("{} of {}", standing.attempt, task.policy.max_attempts))?;
    field("losses", &standing.losses.to_string())?;
    field("epoch", &view.epoch.to_string())?;
    field("timeout", &span::format(task.policy.timeout))?;
    field("enqueued", &instant(view.enqueued_at))?;
    field("due", &instant(view.due_at))?;
    if let Some(at) = view.finished_at {
        field("finished", &instant(at))?;
    }
    if let Some(lease) = &view.lease {
        let left = span::format(lease.expires_in);
        field("held by", &format!("{} for {left} unless renewed", lease.worker))?;
    }
    if let Some(unique) = &view.unique {
        field("unique key", &unique.key)?;
    }
    for (what, pairs) in [("label", &task.labels), ("header", &task.headers)] {
        for (name, value) in pairs.iter() {
            field(what, &format!("{name}={value}"))?;
        }
    }
    if let Some(progress) = &view.progress {
        field("progress", &format!("{:.0} % {}", progress.fraction * 100.0, progress.note))?;
    }
    Ok(())
}

fn deliveries(view: &TaskView) -> Result<()> {
    let heads = ["epoch", "attempt", "worker", "leased", "ended", "how", "error"];
    let rows = view.deliveries.iter().map(|delivery| {
        let late = if delivery.late { " (late)" } else { "" };
        let ended_at = delivery.ended_at.map(|at| api::Instant(at).to_string());
        let failure = delivery.failure.as_ref();
        vec![
            delivery.epoch.to_string(),
            delivery.attempt.to_string(),
            delivery.worker.to_string(),
            api::Instant(delivery.leased_at).to_string(),
            ended_at.unwrap_or_else(|| "-".to_owned()),
            format!("{}{late}", delivery.ended.map_or("runs", |ended| ended.as_str())),
            failure.map_or_else(|| "-".to_owned(), |failure| text::short(&failure.message, 60)),
        ]
    });
    output::table(&heads, rows)
}

/// A payload or result, if it was read along.
fn part(name: &str, payload: Option<&haulier_core::Payload>) -> Result<()> {
    let Some(payload) = payload.filter(|payload| !payload.bytes.is_empty()) else { return Ok(()) };
    let length = payload.bytes.len();
    match std::str::from_utf8(&payload.bytes) {
        Ok(body) => output::line(format_args!("\n{name}: {}", text::block(body))),
        Err(_) => {
            output::line(format_args!("\n{name}: {length} bytes of {}", payload.content_type))
        }
    }
}
