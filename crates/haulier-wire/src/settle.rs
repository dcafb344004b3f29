//! Ends of leases. A worker decides what a failure leads to; a thin one leaves it to the server,
//! and its settlement is read as [`Ending::Undecided`].

use haulier_core::{Failure, LeaseKey, Outcome, Result, Settled, Settlement, lease};

use crate::enqueue::{decode_refusal, encode_refusal};
use crate::enums;
use crate::lease::key;
use crate::pb;
use crate::pb::settled::Answer;
use crate::pb::settlement::Outcome as Wire;
use crate::task::{Names, Pen, decode_payload, ms, payload, span};
use crate::wrong::{Wrong, all, required};

/// A settlement as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Its outcome is decided.
    Decided(Settlement),
    /// It failed, and the server shall decide what comes next.
    Undecided {
        /// The fence.
        key: LeaseKey,
        /// Why it failed.
        failure: Failure,
    },
}

pub(crate) fn encode_failure(failure: &Failure) -> pb::Failure {
    pb::Failure {
        cause: enums::cause(failure.cause),
        class: failure.class.as_ref().to_owned(),
        message: failure.message.as_ref().to_owned(),
        trace: failure.trace.as_ref().to_owned(),
    }
}

/// Texts beyond the limit are cut with a mark, as if the failure had been made here.
pub(crate) fn decode_failure(failure: &pb::Failure) -> Result<Failure, Wrong> {
    Ok(Failure {
        cause: enums::decode_cause(failure.cause, "cause")?,
        class: lease::cut(&failure.class),
        message: lease::cut(&failure.message),
        trace: lease::cut(&failure.trace),
    })
}

/// Ends of leases.
pub fn encode_settlements(ends: &[Settlement]) -> Vec<pb::Settlement> {
    let mut pen = Pen::for_items(ends.len());
    ends.iter().map(|end| encode_settlement(end, &mut pen)).collect()
}

fn encode_settlement(end: &Settlement, pen: &mut Pen) -> pb::Settlement {
    let outcome = match &end.outcome {
        Outcome::Complete { result } => {
            Wire::Complete(pb::Complete { result: result.clone().map(payload) })
        }
        Outcome::Fail { failure, retry_in } => Wire::Fail(pb::Fail {
            failure: Some(encode_failure(failure)),
            decision: Some(match retry_in {
                Some(pause) => pb::fail::Decision::RetryInMs(ms(*pause)),
                None => pb::fail::Decision::GiveUp(pb::GiveUp {}),
            }),
        }),
        Outcome::Reject { failure } => {
            Wire::Reject(pb::Reject { failure: Some(encode_failure(failure)) })
        }
        Outcome::Snooze { delay } => Wire::Snooze(pb::Snooze { delay_ms: ms(*delay) }),
        Outcome::Release => Wire::Release(pb::Release {}),
        Outcome::Cancelled => Wire::Cancelled(pb::Cancelled {}),
    };
    pb::Settlement { task: pen.id(end.key.task), epoch: end.key.epoch.0, outcome: Some(outcome) }
}

/// Reads settlements.
///
/// # Errors
/// The first field that is wrong, as in `settlements[3].outcome`.
pub fn decode_settlements(ends: Vec<pb::Settlement>) -> Result<Vec<Ending>> {
    let mut names = Names::default();
    Ok(all(ends, "settlements", |end| decode_settlement(end, &mut names))?)
}

fn decode_settlement(end: pb::Settlement, names: &mut Names) -> Result<Ending, Wrong> {
    let key = key(&end.task, end.epoch)?;
    let outcome = match required(end.outcome, "outcome")? {
        Wire::Complete(complete) => {
            let result = complete.result.map(|told| decode_payload(told, names)).transpose()?;
            Outcome::Complete { result }
        }
        Wire::Fail(fail) => {
            let failure = told_failure(fail.failure)?;
            match fail.decision {
                None => return Ok(Ending::Undecided { key, failure }),
                Some(pb::fail::Decision::RetryInMs(pause)) => {
                    Outcome::Fail { failure, retry_in: Some(span(pause)) }
                }
                Some(pb::fail::Decision::GiveUp(_)) => Outcome::Fail { failure, retry_in: None },
            }
        }
        Wire::Reject(reject) => Outcome::Reject { failure: told_failure(reject.failure)? },
        Wire::Snooze(snooze) => Outcome::Snooze { delay: span(snooze.delay_ms) },
        Wire::Release(_) => Outcome::Release,
        Wire::Cancelled(_) => Outcome::Cancelled,
    };
    Ok(Ending::Decided(Settlement { key, outcome }))
}

fn told_failure(failure: Option<pb::Failure>) -> Result<Failure, Wrong> {
    decode_failure(&required(failure, "failure")?).map_err(|wrong| wrong.within("failure"))
}

/// The answer to a settlement.
pub fn encode_settled(answer: Settled) -> pb::Settled {
    let plain = |answer: Answer| pb::Settled { answer: answer.into(), ..pb::Settled::default() };
    match answer {
        Settled::Applied { state, late } => {
            pb::Settled { state: enums::state(state), late, ..plain(Answer::Applied) }
        }
        Settled::Cancelled => plain(Answer::Cancelled),
        Settled::Stale => plain(Answer::Stale),
        Settled::Refused(refusal) => {
            pb::Settled { refusal: Some(encode_refusal(refusal)), ..plain(Answer::Refused) }
        }
    }
}

/// Reads the answers to settlements.
///
/// # Errors
/// The first field that is wrong.
pub fn decode_answers(answers: Vec<pb::Settled>) -> Result<Vec<Settled>> {
    Ok(all(answers, "answers", decode_settled)?)
}

fn decode_settled(answer: pb::Settled) -> Result<Settled, Wrong> {
    match Answer::try_from(answer.answer) {
        Ok(Answer::Applied) => Ok(Settled::Applied {
            state: enums::decode_state(answer.state, "state")?,
            late: answer.late,
        }),
        Ok(Answer::Cancelled) => Ok(Settled::Cancelled),
        Ok(Answer::Stale) => Ok(Settled::Stale),
        Ok(Answer::Refused) => {
            decode_refusal(required(answer.refusal, "refusal")?).map(Settled::Refused)
        }
        Ok(Answer::Unspecified) | Err(_) => {
            Err(Wrong::new("answer", format!("the value {} is unknown", answer.answer)))
        }
    }
}
