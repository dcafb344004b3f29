//! A typed task: a payload type that knows its kind, and what its handler returns.
//!
//! [`Task`] is all that producers and workers share. [`Input`] is the wider set of what a handler
//! may take first: a typed task, or [`Raw`] bytes. Payloads and results are JSON; a store never
//! reads them.

use std::time::Duration;

use haulier_core::{Backoff, Code, Kind, NewTask, Payload, Priority, QueueName, Refusal, TaskId};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A payload type. The derive `#[derive(Task)]` writes this; so can you.
///
/// ```
/// use haulier_worker::{Task, TaskOptions};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Thumbnail { image: String, width: u32 }
///
/// impl Task for Thumbnail {
///     const KIND: &'static str = "image.thumbnail";
///     const OPTIONS: TaskOptions = TaskOptions { queue: Some("images"), ..TaskOptions::NONE };
///     type Output = String;
/// }
/// ```
pub trait Task: Serialize + DeserializeOwned + Send + 'static {
    /// What the task asks for, as in `email.send`. The same in every process, whatever its
    /// language.
    const KIND: &'static str;
    /// What its tasks get unless the enqueue says otherwise.
    const OPTIONS: TaskOptions = TaskOptions::NONE;
    /// What its handler returns; `()` if there is nothing to tell.
    type Output: Serialize + DeserializeOwned + Send + 'static;
}

/// Defaults of a kind; what is `None` has Haulier's own default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskOptions {
    /// The queue.
    pub queue: Option<&'static str>,
    /// 0 to 9, higher first.
    pub priority: Option<u8>,
    /// Attempts after which a failing task is dead.
    pub max_attempts: Option<u32>,
    /// The longest that one attempt may run.
    pub timeout: Option<Duration>,
    /// Pause between attempts.
    pub backoff: Option<Backoff>,
    /// Given up if no attempt has started this long after the enqueue.
    pub expires_in: Option<Duration>,
    /// How long the finished task is kept.
    pub retain: Option<Duration>,
}

impl TaskOptions {
    /// Haulier's defaults throughout.
    pub const NONE: Self = Self {
        queue: None,
        priority: None,
        max_attempts: None,
        timeout: None,
        backoff: None,
        expires_in: None,
        retain: None,
    };

    fn apply(&self, task: &mut NewTask) -> Result<(), Refusal> {
        if let Some(queue) = self.queue {
            task.queue = QueueName::new(queue)?;
        }
        if let Some(priority) = self.priority {
            task.priority = Priority::new(priority)?;
        }
        let policy = &mut task.task.policy;
        policy.max_attempts = self.max_attempts.unwrap_or(policy.max_attempts);
        policy.timeout = self.timeout.unwrap_or(policy.timeout);
        policy.backoff = self.backoff.unwrap_or(policy.backoff);
        policy.retain = self.retain;
        task.task.expires_in = self.expires_in;
        Ok(())
    }
}

/// Makes the task that hands over a payload, with its kind's options.
///
/// # Errors
/// [`Code::Invalid`] if the kind or an option breaks a rule, or the payload does not become JSON.
pub fn new_task<T: Task>(id: TaskId, payload: &T) -> Result<NewTask, Refusal> {
    let bytes = serde_json::to_vec(payload).map_err(|error| {
        Refusal::new(Code::Invalid, format!("the payload of {} is no JSON: {error}", T::KIND))
    })?;
    let mut task = NewTask::new(id, Kind::new(T::KIND)?, Payload::json(bytes));
    T::OPTIONS.apply(&mut task)?;
    Ok(task)
}

/// What a handler may take first, and what it then returns: any [`Task`], or [`Raw`].
pub trait Input: Sized + Send + 'static {
    /// What the handler returns.
    type Output: Send + 'static;

    /// Reads a task's payload.
    ///
    /// # Errors
    /// Why it could not be read; the attempt then fails, cause `decode`.
    fn decode(payload: &Payload) -> Result<Self, String>;

    /// Writes what the handler returned; `None` if there is nothing to keep.
    ///
    /// # Errors
    /// Why it could not be written.
    fn encode_output(output: Self::Output) -> Result<Option<Payload>, String>;

    /// Reads back what [`Input::encode_output`] wrote.
    ///
    /// # Errors
    /// Why it could not be read.
    fn decode_output(result: Option<&Payload>) -> Result<Self::Output, String>;
}

impl<T: Task> Input for T {
    type Output = T::Output;

    fn decode(payload: &Payload) -> Result<Self, String> {
        serde_json::from_slice(&payload.bytes)
            .map_err(|error| format!("the payload is no {}: {error}", T::KIND))
    }

    fn encode_output(output: T::Output) -> Result<Option<Payload>, String> {
        let bytes = serde_json::to_vec(&output)
            .map_err(|error| format!("the result of {} is no JSON: {error}", T::KIND))?;
        // `()` and `None` are nothing to keep; they read back from nothing as well.
        Ok((bytes != b"null").then(|| Payload::json(bytes)))
    }

    fn decode_output(result: Option<&Payload>) -> Result<T::Output, String> {
        let bytes = result.map_or(&b"null"[..], |result| &result.bytes);
        serde_json::from_slice(bytes)
            .map_err(|error| format!("the result of {} cannot be read: {error}", T::KIND))
    }
}

/// A task's bytes as they are, for handlers that read them themselves or serve many kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// The bytes and their content type.
    pub payload: Payload,
}

impl Input for Raw {
    type Output = Option<Payload>;

    fn decode(payload: &Payload) -> Result<Self, String> {
        Ok(Self { payload: payload.clone() })
    }

    fn encode_output(output: Self::Output) -> Result<Option<Payload>, String> {
        Ok(output)
    }

    fn decode_output(result: Option<&Payload>) -> Result<Self::Output, String> {
        Ok(result.cloned())
    }
}
