//! What an attempt leads to: a pure decision over how the handler ended and why it was asked to
//! stop.

use std::any::Any;

use haulier_core::{Cause, Entropy, Failure, Outcome, Task, retry, span};

use crate::ctx::Why;
use crate::error::{TaskError, Verb};
use crate::registry::Returned;

/// How a handler ended.
pub(crate) enum End {
    /// By itself.
    Returned(Returned),
    /// It panicked, with this message.
    Panicked(String),
    /// It was dropped where it stood.
    Dropped,
}

/// Decides the outcome; `None` if the lease was lost, so that there is nothing to settle.
pub(crate) fn decide(
    task: &Task,
    attempt: u32,
    end: End,
    why: Option<Why>,
    entropy: &dyn Entropy,
) -> Option<Outcome> {
    let fail = |failure, after| retry::decide(&task.policy, attempt, failure, after, entropy);
    let outcome = match (why, end) {
        (Some(Why::Lost), _) => return None,
        // It was done before it could stop: the store knows whether that still counts.
        (_, End::Returned(Ok(result))) => Outcome::Complete { result },
        (Some(Why::Cancel), _) => Outcome::Cancelled,
        (Some(Why::Timeout), _) => fail(timed_out(task), None),
        (Some(Why::Drain), End::Returned(Err(error))) if error.is_cancelled() => Outcome::Release,
        (_, End::Returned(Err(error))) => match error.into_verb() {
            Verb::Fail { failure, after } => fail(failure, after),
            Verb::Reject { failure } => Outcome::Reject { failure },
            Verb::Snooze { delay } => Outcome::Snooze { delay },
            Verb::Release => Outcome::Release,
            Verb::Cancelled => Outcome::Cancelled,
        },
        (_, End::Panicked(message)) => fail(Failure::new(Cause::Panic, &message), None),
        // The worker ends: as if the attempt had never begun.
        (Some(Why::Drain) | None, End::Dropped) => Outcome::Release,
    };
    Some(outcome)
}

fn timed_out(task: &Task) -> Failure {
    let limit = span::format(task.policy.timeout);
    Failure::new(Cause::Timeout, &format!("the attempt ran longer than its timeout of {limit}"))
}

/// What a panic says.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("the handler panicked with something that is no text").to_owned()
}

impl TaskError {
    fn is_cancelled(&self) -> bool {
        matches!(self.verb(), Verb::Cancelled)
    }
}
