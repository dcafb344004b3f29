//! How many bytes an item takes at most on the wire, without encoding it: enough to cut a batch by.

use haulier_core::{Failure, LeaseBeat, NewTask, Outcome, Pairs, Settlement};

/// Ids, numbers, policy and the tags of fields.
const FIXED: usize = 160;
/// The tags and lengths of one pair.
const PAIR: usize = 16;

fn pairs(pairs: &Pairs) -> usize {
    pairs.byte_len() + pairs.len() * PAIR
}

/// A task that is handed over.
pub(crate) fn new_task(new: &NewTask) -> usize {
    let names = new.queue.as_str().len() + new.kind.as_str().len();
    let unique = new.unique.as_ref().map_or(0, |unique| unique.key.len());
    let payload = new.payload.bytes.len() + new.payload.content_type.len();
    FIXED + names + unique + payload + pairs(&new.headers) + pairs(&new.labels)
}

fn failure(failure: &Failure) -> usize {
    failure.class.len() + failure.message.len() + failure.trace.len()
}

/// The end of a lease.
pub(crate) fn settlement(end: &Settlement) -> usize {
    FIXED
        + match &end.outcome {
            Outcome::Complete { result: Some(result) } => {
                result.bytes.len() + result.content_type.len()
            }
            Outcome::Fail { failure: told, .. } | Outcome::Reject { failure: told } => {
                failure(told)
            }
            Outcome::Complete { result: None }
            | Outcome::Snooze { .. }
            | Outcome::Release
            | Outcome::Cancelled => 0,
        }
}

/// One lease of a beat.
pub(crate) fn lease_beat(lease: &LeaseBeat) -> usize {
    let note = lease.progress.as_ref().map_or(0, |progress| progress.note.len());
    let checkpoint = |checkpoint: &haulier_core::Checkpoint| {
        checkpoint.name.len() + checkpoint.value.len() + PAIR
    };
    FIXED + note + lease.checkpoints.iter().map(checkpoint).sum::<usize>()
}
