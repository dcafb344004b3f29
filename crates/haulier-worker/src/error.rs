//! How a handler says that it did not complete its task: one constructor a verb.
//!
//! [`TaskError`] is deliberately no [`std::error::Error`]: so that `?` turns every error that is
//! one into a failure with backoff.

use std::fmt;
use std::time::Duration;

use haulier_core::{Cause, Failure};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a handler did not complete its task, and what shall follow.
///
/// ```
/// use haulier_worker::TaskError;
/// # use std::time::Duration;
/// fn charge(card: &str) -> Result<(), TaskError> {
///     let digits: u64 = card.parse()?;                          // fail: tried again after a pause
///     match digits % 10 {
///         0 => Err(TaskError::reject("the card was stolen")),   // dead at once
///         1 => Err(TaskError::snooze(Duration::from_hours(1))), // later, no attempt is counted
///         _ => Ok(()),
///     }
/// }
/// # assert!(charge("42").is_ok() && charge("x").is_err());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct TaskError(Box<Verb>);

/// What shall become of the task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verb {
    Fail { failure: Failure, after: Option<Duration> },
    Reject { failure: Failure },
    Snooze { delay: Duration },
    Release,
    Cancelled,
}

impl TaskError {
    /// The attempt failed: tried again as the task's policy says. `?` on any error does the same.
    pub fn fail(error: impl Into<BoxError>) -> Self {
        Self::failed(Failure::from_error(&*error.into(), ""))
    }

    /// The task can never be done: dead at once, reason `rejected`, until somebody reruns it.
    pub fn reject(error: impl Into<BoxError>) -> Self {
        Self(Box::new(Verb::Reject { failure: Failure::from_error(&*error.into(), "") }))
    }

    /// Not now: tried again after `delay`, and this attempt does not count.
    pub fn snooze(delay: Duration) -> Self {
        Self(Box::new(Verb::Snooze { delay }))
    }

    /// Hands the task back as it was: another worker may have it at once.
    pub fn release() -> Self {
        Self(Box::new(Verb::Release))
    }

    /// The handler stopped because its task was cancelled.
    pub fn cancelled() -> Self {
        Self(Box::new(Verb::Cancelled))
    }

    /// Proposes when to try again, instead of the task's backoff. Only a failure is tried again.
    #[must_use]
    pub fn after(mut self, pause: Duration) -> Self {
        if let Verb::Fail { after, .. } = &mut *self.0 {
            *after = Some(pause);
        }
        self
    }

    pub(crate) fn failed(failure: Failure) -> Self {
        Self(Box::new(Verb::Fail { failure, after: None }))
    }

    pub(crate) fn decode(why: &str) -> Self {
        Self::failed(Failure::new(Cause::Decode, why))
    }

    pub(crate) fn verb(&self) -> &Verb {
        &self.0
    }

    pub(crate) fn into_verb(self) -> Verb {
        *self.0
    }
}

impl<E: std::error::Error + 'static> From<E> for TaskError {
    fn from(error: E) -> Self {
        Self::failed(Failure::from_error(&error, std::any::type_name::<E>()))
    }
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Verb::Fail { failure, .. } => write!(f, "failed: {}", failure.message),
            Verb::Reject { failure } => write!(f, "rejected: {}", failure.message),
            Verb::Snooze { delay } => {
                write!(f, "snoozed for {}", haulier_core::span::format(*delay))
            }
            Verb::Release => f.write_str("released"),
            Verb::Cancelled => f.write_str("cancelled"),
        }
    }
}

/// Makes a failure of an error, with its chain of causes as the trace.
trait FromError {
    fn from_error(error: &(dyn std::error::Error + 'static), class: &str) -> Self;
}

impl FromError for Failure {
    fn from_error(error: &(dyn std::error::Error + 'static), class: &str) -> Self {
        let causes = std::iter::successors(error.source(), |cause| cause.source());
        let causes: Vec<String> = causes.map(|cause| format!("caused by: {cause}")).collect();
        Failure::new(Cause::Error, &error.to_string())
            .with_class(class)
            .with_trace(&causes.join("\n"))
    }
}
