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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use haulier_core::{Ended, Kind, ManualClock, NewTask, Payload, SeededEntropy, TaskId};

    use super::*;

    fn decided(end: End, why: Option<Why>, attempt: u32) -> Option<Outcome> {
        let dice = SeededEntropy::from_u64(1);
        let id = TaskId::generate(&ManualClock::new(), &dice);
        let mut task = NewTask::new(id, Kind::new("k").unwrap(), Payload::json("1"));
        task.policy.max_attempts = 2;
        decide(&task, attempt, end, why, &dice)
    }

    fn word(end: End, why: Option<Why>) -> Option<Ended> {
        decided(end, why, 1).as_ref().map(Ended::from)
    }

    fn failed() -> End {
        End::Returned(Err(TaskError::fail("no")))
    }

    #[test]
    fn nothing_is_settled_of_a_lease_that_was_lost() {
        for end in [End::Returned(Ok(None)), failed(), End::Dropped] {
            assert_eq!(word(end, Some(Why::Lost)), None);
        }
    }

    #[test]
    fn what_was_done_before_it_could_stop_is_completed() {
        for why in [None, Some(Why::Cancel), Some(Why::Timeout), Some(Why::Drain)] {
            assert_eq!(word(End::Returned(Ok(None)), why), Some(Ended::Complete), "{why:?}");
        }
    }

    #[test]
    fn a_handler_that_was_asked_to_stop_ends_as_the_reason_says_and_not_as_it_says() {
        let error = || End::Returned(Err(TaskError::cancelled()));
        for end in [error, failed, || End::Dropped] {
            assert_eq!(word(end(), Some(Why::Cancel)), Some(Ended::Cancelled));
            assert_eq!(word(end(), Some(Why::Timeout)), Some(Ended::Fail));
        }
        assert_eq!(word(error(), Some(Why::Drain)), Some(Ended::Release));
        assert_eq!(word(End::Dropped, Some(Why::Drain)), Some(Ended::Release));
        assert_eq!(word(failed(), Some(Why::Drain)), Some(Ended::Fail), "it failed by itself");
    }

    #[test]
    fn the_last_attempt_is_not_followed_by_another_whatever_the_handler_proposes() {
        let error = || End::Returned(Err(TaskError::fail("no").after(Duration::from_secs(7))));
        let retry_in = |attempt| match decided(error(), None, attempt) {
            Some(Outcome::Fail { retry_in, .. }) => retry_in,
            other => panic!("{other:?}"),
        };
        assert_eq!(retry_in(1), Some(Duration::from_secs(7)));
        assert_eq!(retry_in(2), None);
    }
}
