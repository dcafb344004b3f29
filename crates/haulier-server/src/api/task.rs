//! A task as it stands: what people look at. Fields that define it are named as when it was handed
//! over.

use std::time::Duration;

use haulier_core::{Error, Include, Priority};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::enqueue::join;
use super::{
    Base64, Body, CauseWord, Checkpoint, EndedWord, Epoch, Failure, IdText, Instant, KindText,
    Pairs, Progress, QueueText, ReasonWord, Span, StateWord, Text, Unique, Word, WorkerText,
};

/// A task.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = Task)]
pub struct TaskView {
    /// Its name for ever.
    pub id: IdText,
    /// Where it is in its life.
    pub state: StateWord,
    /// Why it is dead, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<ReasonWord>,
    /// Why its last failing attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
    /// The line it stands in.
    pub queue: QueueText,
    /// What it asks for.
    pub kind: KindText,
    /// 0 to 9, higher first.
    pub priority: u8,
    /// Deliveries that count against `max_attempts`.
    pub attempt: u32,
    /// Attempts after which it is dead if it fails.
    pub max_attempts: u32,
    /// Leases that ran out.
    pub losses: u32,
    /// Its newest epoch; 0 if it was never delivered.
    pub epoch: Epoch,
    /// Cancellation was asked for while it ran.
    pub cancel_requested: bool,
    /// When it was accepted.
    pub enqueued_at: Instant,
    /// When it became or becomes available.
    pub due_at: Instant,
    /// When it became final.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Instant>,
    /// Who holds it, if somebody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<TaskLease>,
    /// How far its handler has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// How to read the payload.
    pub content_type: String,
    /// The payload, if it is JSON and was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub payload: Option<Box<RawValue>>,
    /// The payload, if it is not JSON and was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<Base64>,
    /// How to read the result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_content_type: Option<String>,
    /// The result, if it is JSON and was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub result: Option<Box<RawValue>>,
    /// The result, if it is not JSON and was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_base64: Option<Base64>,
    /// For handlers and tracing.
    pub headers: Pairs,
    /// For people and filters.
    pub labels: Pairs,
    /// Its unique key, with its rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique: Option<Unique>,
    /// The longest that one attempt may run.
    pub timeout: Span,
    /// Pause between attempts.
    pub backoff: Backoff,
    /// Given up if it has not started this long after it was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<Span>,
    /// How long the finished task is kept, if it says so itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retain: Option<Span>,
    /// Steps that are done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoints: Option<Vec<Checkpoint>>,
    /// Its newest deliveries, oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliveries: Option<Vec<Delivery>>,
}

/// One page of tasks, newest first.
#[derive(Clone, Serialize, ToSchema)]
pub struct TaskPage {
    /// The tasks. A page may be short, even empty, and still have a next one.
    pub tasks: Vec<TaskView>,
    /// Where to go on: give it as `page_token`. Absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// Why an attempt failed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LastError {
    /// What sort of failure.
    pub cause: CauseWord,
    /// The error itself.
    pub error: Failure,
}

/// Who holds a task.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TaskLease {
    /// The worker.
    pub worker: WorkerText,
    /// How much is left of the lease.
    pub expires_in: Span,
}

/// One delivery of a task.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Delivery {
    /// Its fence.
    pub epoch: Epoch,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// Who got it.
    pub worker: WorkerText,
    /// When the lease was granted.
    pub leased_at: Instant,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Instant>,
    /// How it ended; absent while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<EndedWord>,
    /// It was settled after its lease had run out.
    pub late: bool,
    /// What sort of failure, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<CauseWord>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// Pause between attempts: `base × factor^(attempt − 1)`, at most `max`, and up to `jitter` of it
/// more.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Backoff {
    /// The pause after the first attempt; 1 s if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Span>,
    /// By what each further pause grows, 1 to 100; 2 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// The longest pause, jitter apart; 1 h if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Span>,
    /// How much is added at most, as a share of the pause, 0 to 1; 0.2 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<f64>,
}

impl Backoff {
    pub(super) fn into_core(self, path: &str) -> Result<haulier_core::Backoff, Error> {
        let mut backoff = haulier_core::Backoff::default();
        backoff.base = self.base.map_or(backoff.base, |base| base.0);
        backoff.max = self.max.map_or(backoff.max, |max| max.0);
        if let Some(factor) = self.factor {
            backoff.factor_permille = permille(factor)
                .ok_or_else(|| Error::invalid(join(path, "factor"), "goes from 1 to 100"))?;
        }
        if let Some(jitter) = self.jitter {
            backoff.jitter_permille = permille(jitter)
                .ok_or_else(|| Error::invalid(join(path, "jitter"), "goes from 0 to 1"))?;
        }
        Ok(backoff)
    }
}

/// A number in thousandths; `None` if it is negative, no number, or far too large.
fn permille(number: f64) -> Option<u32> {
    // A second has a thousand milliseconds: the conversion of durations checks every border for us.
    let scaled = Duration::try_from_secs_f64(number).ok()? + Duration::from_micros(500);
    u32::try_from(scaled.as_millis()).ok()
}

impl From<haulier_core::Backoff> for Backoff {
    fn from(backoff: haulier_core::Backoff) -> Self {
        let number = |permille: u32| Some(f64::from(permille) / 1_000.0);
        Self {
            base: Some(Span(backoff.base)),
            factor: number(backoff.factor_permille),
            max: Some(Span(backoff.max)),
            jitter: number(backoff.jitter_permille),
        }
    }
}

impl TaskView {
    /// A task with everything that was read, deliveries and checkpoints included.
    pub fn full(view: &haulier_core::TaskView, include: Include) -> Self {
        let checkpoints = view.checkpoints.iter();
        Self {
            checkpoints: Some(
                checkpoints.map(|done| Checkpoint::new(done, include.checkpoints)).collect(),
            ),
            deliveries: Some(view.deliveries.iter().map(Delivery::from).collect()),
            ..Self::row(view, include)
        }
    }

    /// A task as a row of a listing.
    pub fn row(view: &haulier_core::TaskView, include: Include) -> Self {
        let task = &view.task;
        let standing = &view.standing;
        let payload = if include.payload { Body::of(&task.payload) } else { Body::default() };
        let result = view.result.as_ref().filter(|_| include.result);
        let result_body = result.map(Body::of).unwrap_or_default();
        Self {
            id: Text(task.id),
            state: Word(standing.state),
            reason: standing.reason.map(Word),
            last_error: view.last_failure().map(|failure| LastError {
                cause: Word(failure.cause),
                error: Failure::from(failure),
            }),
            queue: Text(task.queue.clone()),
            kind: Text(task.kind.clone()),
            priority: Priority::get(task.priority),
            attempt: standing.attempt,
            max_attempts: task.policy.max_attempts,
            losses: standing.losses,
            epoch: Epoch(view.epoch),
            cancel_requested: standing.cancel_requested,
            enqueued_at: Instant(view.enqueued_at),
            due_at: Instant(view.due_at),
            finished_at: view.finished_at.map(Instant),
            lease: view.lease.as_ref().map(|lease| TaskLease {
                worker: Text(lease.worker.clone()),
                expires_in: Span(lease.expires_in),
            }),
            progress: view.progress.as_ref().map(Progress::from),
            content_type: task.payload.content_type.to_string(),
            payload: payload.json,
            payload_base64: payload.base64,
            result_content_type: result.map(|result| result.content_type.to_string()),
            result: result_body.json,
            result_base64: result_body.base64,
            headers: Pairs(task.headers.clone()),
            labels: Pairs(task.labels.clone()),
            unique: view.unique.as_ref().map(Unique::from),
            timeout: Span(task.policy.timeout),
            backoff: task.policy.backoff.into(),
            expires_in: task.expires_in.map(Span),
            retain: task.policy.retain.map(Span),
            checkpoints: None,
            deliveries: None,
        }
    }
}

impl From<&haulier_core::Delivery> for Delivery {
    fn from(delivery: &haulier_core::Delivery) -> Self {
        Self {
            epoch: Epoch(delivery.epoch),
            attempt: delivery.attempt,
            worker: Text(delivery.worker.clone()),
            leased_at: Instant(delivery.leased_at),
            ended_at: delivery.ended_at.map(Instant),
            ended: delivery.ended.map(Word),
            late: delivery.late,
            cause: delivery.cause().map(Word),
            error: delivery.failure.as_ref().map(Failure::from),
        }
    }
}
