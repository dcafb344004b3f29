//! Tasks as lines of JSON, on their way between any two stores. A line has in `task` what an
//! enqueue over HTTP would have in its body; the last line says how many there were, so that an
//! export that was cut short is noticed.
//!
//! What the verbs of a store can carry is carried: the task itself with its id, and when it is due.
//! What belongs to one store alone is not: leases, attempts and losses so far, deliveries,
//! checkpoints, progress, and the settings of queues.

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use haulier::Client;
use haulier_core::{Payload, State, TaskView};
use haulier_server::api::{self, Body, Instant, Pairs, Span, Text, Word};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::commands::verify::no_store;
use crate::connect;
use crate::exit::Result;

/// Which store.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// The store in this directory, which no server has open, instead of a server
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    server: connect::Server,
}

impl Place {
    /// Connects to it. `must_exist`: a directory that is missing is not made.
    pub async fn open(&self, must_exist: bool) -> Result<Client> {
        let Some(directory) = self.data.clone().or_else(|| self.server.directory()) else {
            return self.server.client().await;
        };
        if must_exist && !directory.is_dir() {
            return Err(no_store(&directory, "is no directory"));
        }
        let url = format!("file:{}", directory.display());
        connect::Server::at(url).client().await
    }
}

/// A task on its way out.
#[derive(Serialize)]
pub struct Line<'a> {
    task: Definition<'a>,
    state: api::StateWord,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<api::ReasonWord>,
    attempt: u32,
    enqueued_at: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_base64: Option<api::Base64>,
}

/// What an enqueue takes.
#[derive(Serialize)]
struct Definition<'a> {
    id: api::IdText,
    queue: api::QueueText,
    kind: api::KindText,
    content_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<api::Base64>,
    headers: Pairs,
    labels: Pairs,
    priority: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_at: Option<Instant>,
    max_attempts: u32,
    backoff: api::Backoff,
    timeout: Span,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique: Option<api::Unique>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retain: Option<Span>,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
pub struct End {
    /// How many tasks stand before it.
    pub end: u64,
}

/// Any line on its way in. What a later version adds is ignored.
#[derive(Deserialize)]
pub struct Incoming {
    /// A task.
    #[serde(default)]
    pub task: Option<api::NewTask>,
    /// Where it stood.
    #[serde(default)]
    pub state: Option<api::StateWord>,
    /// The end.
    #[serde(default)]
    pub end: Option<u64>,
}

impl Incoming {
    /// Whether the task was over when it was exported.
    pub fn was_final(&self) -> bool {
        self.state.is_some_and(|Word(state)| state.is_final())
    }
}

/// Bytes as the two fields that carry them. A line break in JSON would break the line.
fn body(payload: &Payload) -> Body {
    let breaks = payload.bytes.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
    if breaks {
        return Body { json: None, base64: Some(api::Base64(payload.bytes.clone())) };
    }
    Body::of(payload)
}

impl<'a> Line<'a> {
    /// The line of a task.
    pub fn new(view: &'a TaskView) -> Self {
        let task = &view.task;
        let waits = matches!(view.state(), State::Scheduled | State::Retryable);
        let payload = body(&task.payload);
        let result = view.result.as_ref().map(body).unwrap_or_default();
        Self {
            task: Definition {
                id: Text(task.id),
                queue: Text(task.queue.clone()),
                kind: Text(task.kind.clone()),
                content_type: &task.payload.content_type,
                payload: payload.json,
                payload_base64: payload.base64,
                headers: Pairs(task.headers.clone()),
                labels: Pairs(task.labels.clone()),
                priority: task.priority.get(),
                run_at: waits.then_some(Instant(view.due_at)),
                max_attempts: task.policy.max_attempts,
                backoff: task.policy.backoff.into(),
                timeout: Span(task.policy.timeout),
                expires_in: task.expires_in.map(Span),
                unique: view.unique.as_ref().map(api::Unique::from),
                retain: task.policy.retain.map(Span),
            },
            state: Word(view.state()),
            reason: view.standing.reason.map(Word),
            attempt: view.standing.attempt,
            enqueued_at: Instant(view.enqueued_at),
            finished_at: view.finished_at.map(Instant),
            result_content_type: view.result.as_ref().map(|result| &*result.content_type),
            result: result.json,
            result_base64: result.base64,
        }
    }
}
