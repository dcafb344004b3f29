//! How an attempt ended, and what came of it.

use haulier_core::{Cause, Error, LeaseKey, State};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::enqueue::join;
use super::{
    Base64, Body, CauseWord, Epoch, IdText, Refused, Span, StateWord, Text, Word, WorkerText,
};

/// Ends of leases.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Settle {
    /// Who held them.
    pub worker: WorkerText,
    /// The ends, at most 1,000.
    pub settlements: Vec<Settlement>,
}

/// The end of one lease. Which fields it may have depends on `outcome`.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Settlement {
    /// The task.
    pub task: IdText,
    /// The fence.
    pub epoch: Epoch,
    /// How it ended.
    pub outcome: Outcome,
    /// complete: what the handler returned, as JSON.
    #[serde(default, deserialize_with = "super::bytes::given")]
    #[schema(value_type = Option<Value>)]
    pub result: Option<Box<RawValue>>,
    /// complete: what the handler returned, if it is not JSON.
    #[serde(default)]
    pub result_base64: Option<Base64>,
    /// complete: how to read the result.
    #[serde(default)]
    pub content_type: Option<String>,
    /// fail, reject: why.
    #[serde(default)]
    pub error: Option<Failure>,
    /// fail, reject: what sort of failure; `error` if left out.
    #[serde(default)]
    pub cause: Option<CauseWord>,
    /// snooze: how much later. fail: when to try again, if the worker has decided; the task's
    /// backoff decides if left out.
    #[serde(default)]
    pub after: Option<Span>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done.
    Complete,
    /// Not done: tried again as its policy says, else dead.
    Fail,
    /// Can never be done: dead.
    Reject,
    /// Not now: tried again later; the attempt does not count.
    Snooze,
    /// Handed back untouched; the attempt does not count.
    Release,
    /// Stopped because it was cancelled.
    Cancelled,
}

/// An error of a handler. Long texts are cut.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The error's type, as the handler's language names it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub class: String,
    /// What it says.
    #[serde(default)]
    pub message: String,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trace: String,
}

/// The answers, in the order of the settlements.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Settled {
    /// One answer a settlement.
    pub answers: Vec<SettleAnswer>,
}

/// What came of one settlement. Repeating it gives the same answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SettleAnswer {
    /// The task.
    pub task: IdText,
    /// The fence.
    pub epoch: Epoch,
    /// What came of it.
    pub answer: Answer,
    /// Where the task stands now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<StateWord>,
    /// The lease had run out, but nobody had taken the task: accepted, and marked.
    pub late: bool,
    /// Why it was refused; the lease goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Refused>,
}

/// What came of a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SettlementAnswer)]
pub enum Answer {
    /// Carried out.
    Applied,
    /// The task had been cancelled: it is cancelled now, whatever the outcome said.
    Cancelled,
    /// The fence was superseded, or the task is gone: nothing changed.
    Stale,
    /// The outcome breaks a rule: nothing changed.
    Refused,
}

/// A settlement as it was read: decided by the worker, or to be decided by the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The worker has decided.
    Decided(haulier_core::Outcome),
    /// A plain failure: the task's policy decides.
    Undecided(haulier_core::Failure),
}

impl Settlement {
    /// The fence.
    pub fn key(&self) -> LeaseKey {
        LeaseKey { task: self.task.0, epoch: self.epoch.0 }
    }

    /// How the attempt ended. `path` is where the settlement stands in the request.
    ///
    /// # Errors
    /// A field that the outcome does not have, or lacks.
    pub fn into_ending(self, path: &str) -> Result<Ending, Error> {
        self.check_fields(path)?;
        let failure = |error: Option<Failure>, cause: Option<CauseWord>| {
            let error = error.unwrap_or_default();
            haulier_core::Failure::new(cause.map_or(Cause::Error, |cause| cause.0), &error.message)
                .with_class(&error.class)
                .with_trace(&error.trace)
        };
        Ok(Ending::Decided(match self.outcome {
            Outcome::Complete => {
                let body = Body { json: self.result, base64: self.result_base64 };
                let content_type = self.content_type.as_deref();
                let result = body.into_payload(content_type, &join(path, "result"))?;
                haulier_core::Outcome::Complete { result }
            }
            Outcome::Fail => {
                let failure = failure(self.error, self.cause);
                match self.after {
                    Some(Span(after)) => {
                        haulier_core::Outcome::Fail { failure, retry_in: Some(after) }
                    }
                    None => return Ok(Ending::Undecided(failure)),
                }
            }
            Outcome::Reject => {
                haulier_core::Outcome::Reject { failure: failure(self.error, self.cause) }
            }
            Outcome::Snooze => match self.after {
                Some(Span(delay)) => haulier_core::Outcome::Snooze { delay },
                None => {
                    return Err(Error::invalid(
                        join(path, "after"),
                        "snooze needs to know how long",
                    ));
                }
            },
            Outcome::Release => haulier_core::Outcome::Release,
            Outcome::Cancelled => haulier_core::Outcome::Cancelled,
        }))
    }

    /// Whether each field that is there belongs to the outcome: a result sent along with a failure
    /// would be lost without a word.
    fn check_fields(&self, path: &str) -> Result<(), Error> {
        let complete = self.outcome == Outcome::Complete;
        let failed = matches!(self.outcome, Outcome::Fail | Outcome::Reject);
        let later = matches!(self.outcome, Outcome::Fail | Outcome::Snooze);
        for (field, is_there, belongs) in [
            ("result", self.result.is_some(), complete),
            ("result_base64", self.result_base64.is_some(), complete),
            ("content_type", self.content_type.is_some(), complete),
            ("error", self.error.is_some(), failed),
            ("cause", self.cause.is_some(), failed),
            ("after", self.after.is_some(), later),
        ] {
            if is_there && !belongs {
                return Err(Error::invalid(join(path, field), "does not belong to this outcome"));
            }
        }
        Ok(())
    }
}

impl From<&haulier_core::Failure> for Failure {
    fn from(failure: &haulier_core::Failure) -> Self {
        Self {
            class: failure.class.to_string(),
            message: failure.message.to_string(),
            trace: failure.trace.to_string(),
        }
    }
}

impl SettleAnswer {
    /// The answer to the settlement with this key.
    pub fn new(key: LeaseKey, settled: haulier_core::Settled) -> Self {
        let (answer, state, late, error) = match settled {
            haulier_core::Settled::Applied { state, late } => {
                (Answer::Applied, Some(state), late, None)
            }
            haulier_core::Settled::Cancelled => {
                (Answer::Cancelled, Some(State::Cancelled), false, None)
            }
            haulier_core::Settled::Stale => (Answer::Stale, None, false, None),
            haulier_core::Settled::Refused(refusal) => {
                (Answer::Refused, None, false, Some(refusal.into()))
            }
        };
        Self {
            task: Text(key.task),
            epoch: Epoch(key.epoch),
            answer,
            state: state.map(Word),
            late,
            error,
        }
    }
}
