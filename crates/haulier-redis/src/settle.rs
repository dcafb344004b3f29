//! The end of leases: outcomes as the script reads them, and its answers.

use haulier_core::{Outcome, Refusal, Result, Settled, Settlement};

use crate::about::{span, write_failure, write_payload};
use crate::enqueue::state;
use crate::lease::write_epoch;
use crate::pack::{Pack, Value, misread};
use crate::script;
use crate::store::Inner;

/// Ends leases.
pub(crate) async fn settle(inner: &Inner, ends: Vec<Settlement>) -> Result<Vec<Settled>> {
    if ends.is_empty() {
        return Ok(Vec::new());
    }
    let most = inner.options.payload_bytes_max;
    let mut refused = Vec::with_capacity(ends.len());
    let mut args = Pack::new();
    args.list(&ends, |args, end| {
        let refusal = end.outcome.check(most).err();
        args.array(8).bytes(end.key.task.to_bytes());
        write_epoch(args, end.key.epoch);
        // What breaks a rule is not sent; the key may have its answer all the same.
        let outcome = if refusal.is_some() { None } else { Some(&end.outcome) };
        write(args, outcome);
        refused.push(refusal);
    });
    let answers = inner.write(&script::SETTLE, args).await?.list()?;
    if answers.len() != ends.len() {
        return Err(misread());
    }
    answers.into_iter().zip(refused).map(|(answer, refused)| read(answer, refused)).collect()
}

fn write(args: &mut Pack, outcome: Option<&Outcome>) {
    let number = match outcome {
        None => -1,
        Some(Outcome::Complete { .. }) => 0,
        Some(Outcome::Fail { .. }) => 1,
        Some(Outcome::Reject { .. }) => 2,
        Some(Outcome::Snooze { .. }) => 3,
        Some(Outcome::Release) => 4,
        Some(Outcome::Cancelled) => 5,
    };
    let (mut retry, mut delay, mut result, mut failed) = (false, 0, None, None);
    match outcome {
        Some(Outcome::Complete { result: returned }) => result = returned.as_ref(),
        Some(Outcome::Fail { failure, retry_in }) => {
            failed = Some(failure);
            retry = retry_in.is_some();
            delay = span(retry_in.unwrap_or_default());
        }
        Some(Outcome::Reject { failure }) => failed = Some(failure),
        Some(Outcome::Snooze { delay: later }) => delay = span(*later),
        None | Some(Outcome::Release | Outcome::Cancelled) => {}
    }
    args.int(number).bool(retry).int(delay);
    args.maybe(result.map(write_payload)).maybe(failed.map(write_failure));
}

fn read(answer: Value, refused: Option<Refusal>) -> Result<Settled> {
    let parts = answer.list()?;
    match (parts.first().ok_or_else(misread)?.int()?, parts.as_slice()) {
        (0, [_, number, late]) => {
            Ok(Settled::Applied { state: state(number)?, late: late.bool()? })
        }
        (1, _) => Ok(Settled::Cancelled),
        (2, _) => Ok(Settled::Stale),
        (3, _) => refused.map(Settled::Refused).ok_or_else(misread),
        _ => Err(misread()),
    }
}
