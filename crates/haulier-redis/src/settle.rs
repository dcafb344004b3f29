//! The end of leases: outcomes as the script reads them, and its answers.

use haulier_core::{Outcome, Refusal, Result, Settled, Settlement};

use crate::about::{span, write_failure, write_payload};
use crate::db::whole;
use crate::definition::state;
use crate::pack::{Pack, misread};
use crate::script;
use crate::store::Inner;

/// Ends leases.
pub(crate) async fn settle(inner: &Inner, ends: Vec<Settlement>) -> Result<Vec<Settled>> {
    if ends.is_empty() {
        return Ok(Vec::new());
    }
    let most = inner.options.payload_bytes_max;
    let mut refused = Vec::with_capacity(ends.len());
    let mut keys = Vec::with_capacity(ends.len() * KEY_BYTES);
    let mut others = Vec::new();
    for (end, place) in ends.iter().zip(1_u64..) {
        keys.extend(end.key.task.to_bytes());
        keys.extend(end.key.epoch.0.to_be_bytes());
        let refusal = end.outcome.check(most).err();
        // What breaks a rule is not sent; the key may have its answer all the same.
        match &end.outcome {
            _ if refusal.is_some() => others.push((place, None)),
            Outcome::Complete { result: None } => {}
            outcome => others.push((place, Some(outcome))),
        }
        refused.push(refusal);
    }
    let mut args = Pack::new();
    args.array(2).bytes(keys);
    args.list(others, |args, (place, outcome)| {
        args.array(6).int(whole(place));
        write(args, outcome);
    });
    let answers = inner.write(&script::SETTLE, args).await?.bytes()?;
    if answers.len() != ends.len() {
        return Err(misread());
    }
    answers.iter().zip(refused).map(|(answer, refused)| read(*answer, refused)).collect()
}

/// Of an id and an epoch.
const KEY_BYTES: usize = 24;

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

/// An answer's byte: see `settle.lua`.
fn read(answer: u8, refused: Option<Refusal>) -> Result<Settled> {
    match answer {
        0..16 => Ok(Settled::Applied { state: state(answer)?, late: false }),
        16..32 => Ok(Settled::Applied { state: state(answer - 16)?, late: true }),
        32 => Ok(Settled::Cancelled),
        33 => Ok(Settled::Stale),
        34 => refused.map(Settled::Refused).ok_or_else(misread),
        _ => Err(misread()),
    }
}
