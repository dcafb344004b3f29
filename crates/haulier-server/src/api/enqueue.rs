//! Handing tasks over: the request, and the answer for each.

use bytes::Bytes;
use haulier_core::{Error, Priority, QueueName, Start, TaskId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    Backoff, Base64, Body, ClassWord, ConflictWord, IdText, Instant, KindText, Pairs, QueueText,
    Refused, Span, StateWord, Text, UntilWord, Word,
};

/// A task to hand over. Only `kind` is needed.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTask {
    /// What it asks for.
    pub kind: KindText,
    /// Its name for ever. Make it yourself (`UUIDv7`) and repeat a lost call with the same one;
    /// without it a repeated call is a new task.
    #[serde(default)]
    pub id: Option<IdText>,
    /// The line it stands in; `default` if left out.
    #[serde(default)]
    pub queue: Option<QueueText>,
    /// What the handler gets, as JSON; kept byte for byte. `null` if left out.
    #[serde(default, deserialize_with = "super::bytes::given")]
    #[schema(value_type = Option<Value>)]
    pub payload: Option<Box<RawValue>>,
    /// What the handler gets, if it is not JSON.
    #[serde(default)]
    pub payload_base64: Option<Base64>,
    /// How to read the payload; `application/json`, or `application/octet-stream` for base64.
    #[serde(default)]
    pub content_type: Option<String>,
    /// For handlers and tracing.
    #[serde(default)]
    pub headers: Pairs,
    /// For people and filters.
    #[serde(default)]
    pub labels: Pairs,
    /// 0 to 9, higher first; 4 if left out.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 9)]
    pub priority: Option<u8>,
    /// Start this much later at the earliest.
    #[serde(default)]
    pub delay: Option<Span>,
    /// Start at this moment at the earliest.
    #[serde(default)]
    pub run_at: Option<Instant>,
    /// Attempts after which a failing task is dead; 20 if left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1000)]
    pub max_attempts: Option<u32>,
    /// Pause between attempts.
    #[serde(default)]
    pub backoff: Option<Backoff>,
    /// The longest that one attempt may run; 30 minutes if left out.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// Given up if it has not started this long after it was accepted.
    #[serde(default)]
    pub expires_in: Option<Span>,
    /// Deduplication by a key of your own.
    #[serde(default)]
    pub unique: Option<Unique>,
    /// How long the finished task is kept; as its queue's settings say if left out.
    #[serde(default)]
    pub retain: Option<Span>,
}

/// What makes a task the only one of its sort in its queue.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Unique {
    /// The key, compared byte for byte within one queue.
    #[schema(example = "order-17")]
    pub key: String,
    /// How long the key is held at least, from when the task was accepted.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub window: Option<Span>,
    /// What the task itself holds the key until; `finish` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<UntilWord>,
    /// What happens to a second task; `return` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<ConflictWord>,
}

/// Several tasks to hand over; each is accepted or refused for itself.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnqueueMany {
    /// The tasks, at most 1,000.
    pub tasks: Vec<NewTask>,
}

/// Whether a task was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EnqueueAnswer {
    /// Stored.
    Inserted,
    /// It was here already, or another task holds its unique key.
    Existing,
    /// Not stored; `error` says why.
    Refused,
}

/// The answer to one task.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Enqueued {
    /// The task that now stands for the request.
    pub id: IdText,
    /// Whether it was accepted.
    pub answer: EnqueueAnswer,
    /// Where it stands; absent if only its id is still remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<StateWord>,
    /// What the acknowledgement is worth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<ClassWord>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Refused>,
}

/// The answers to several tasks, in the order of the request.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EnqueuedMany {
    /// One answer a task.
    pub answers: Vec<Enqueued>,
}

impl NewTask {
    /// The task for the store. `path` is where it stands in the request, as in `tasks[3]`; `new_id`
    /// makes an id if it has none.
    ///
    /// # Errors
    /// Fields that exclude each other, or a priority or backoff that cannot be one.
    pub fn into_core(
        self,
        path: &str,
        new_id: impl FnOnce() -> TaskId,
    ) -> Result<haulier_core::NewTask, Error> {
        let at = |field: &str| join(path, field);
        let id = self.id.map_or_else(new_id, |id| id.0);
        let body = Body { json: self.payload, base64: self.payload_base64 };
        let payload = body.into_payload(self.content_type.as_deref(), &at("payload"))?;
        let payload =
            payload.unwrap_or_else(|| haulier_core::Payload::json(Bytes::from_static(b"null")));
        let mut task = haulier_core::NewTask::new(id, self.kind.0, payload);
        task.queue = self.queue.map_or_else(QueueName::default, |queue| queue.0);
        task.headers = self.headers.0;
        task.labels = self.labels.0;
        if let Some(number) = self.priority {
            task.priority = Priority::new(number)
                .map_err(|refusal| Error::invalid(at("priority"), refusal.message))?;
        }
        task.start = match (self.delay, self.run_at) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid(at("run_at"), "give either delay or run_at"));
            }
            (Some(delay), None) => Start::After(delay.0),
            (None, Some(instant)) => Start::At(instant.0),
            (None, None) => Start::Now,
        };
        let policy = &mut task.policy;
        policy.max_attempts = self.max_attempts.unwrap_or(policy.max_attempts);
        policy.timeout = self.timeout.map_or(policy.timeout, |timeout| timeout.0);
        policy.retain = self.retain.map(|retain| retain.0);
        if let Some(backoff) = self.backoff {
            policy.backoff = backoff.into_core(&at("backoff"))?;
        }
        task.expires_in = self.expires_in.map(|expires_in| expires_in.0);
        task.unique = self.unique.map(Unique::into_core);
        Ok(task)
    }
}

/// A field below a path; the path of a request's own fields is empty.
pub(super) fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

impl Unique {
    fn into_core(self) -> haulier_core::Unique {
        let mut unique = haulier_core::Unique::new(self.key);
        unique.window = self.window.map_or(unique.window, |window| window.0);
        unique.until = self.until.map_or(unique.until, |until| until.0);
        unique.on_conflict = self.on_conflict.map_or(unique.on_conflict, |rule| rule.0);
        unique
    }
}

impl From<&haulier_core::Unique> for Unique {
    fn from(unique: &haulier_core::Unique) -> Self {
        Self {
            key: unique.key.to_string(),
            window: (!unique.window.is_zero()).then_some(Span(unique.window)),
            until: Some(Word(unique.until)),
            on_conflict: Some(Word(unique.on_conflict)),
        }
    }
}

impl Enqueued {
    /// The answer to the task that was asked for as `id`.
    pub fn new(id: TaskId, answer: haulier_core::Enqueued) -> Self {
        let (id, answer, state, durability, error) = match answer {
            haulier_core::Enqueued::Inserted { id, state, durability } => {
                (id, EnqueueAnswer::Inserted, Some(state), Some(durability), None)
            }
            haulier_core::Enqueued::Existing { id, state, durability } => {
                (id, EnqueueAnswer::Existing, state, Some(durability), None)
            }
            haulier_core::Enqueued::Refused(refusal) => {
                (id, EnqueueAnswer::Refused, None, None, Some(refusal.into()))
            }
        };
        Self {
            id: Text(id),
            answer,
            state: state.map(Word),
            durability: durability.map(Word),
            error,
        }
    }
}
