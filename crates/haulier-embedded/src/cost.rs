//! How much a command may write at most, said before it is carried out: room in the log is made
//! sure of first, so that nothing is ever half done on a full disk.

use haulier_core::{Beat, Outcome, Settlement};

use crate::engine::{Command, LEASES_MAX};

/// A record's own bytes, its context and its frame included.
const RECORD: u64 = 384;
/// What a task has besides its definition: names, key, rules.
const ENVELOPE: u64 = 1_536;

/// Bytes that a command writes at most; `tasks` is how many there are.
pub fn of(command: &Command, tasks: usize) -> u64 {
    RECORD
        + match command {
            Command::Enqueue(offers) => {
                ENVELOPE * offers.tasks.len() as u64 + offers.byte_len() as u64
            }
            Command::Beat(beats) => beats.iter().map(beat).sum(),
            Command::Settle(ends) => ends.iter().map(settlement).sum(),
            Command::Cancel(ids) | Command::Rerun(ids) | Command::Delete(ids) => {
                RECORD * ids.len() as u64
            }
            Command::Sweep(budget) => RECORD * (*budget).min(tasks) as u64,
            Command::Configure(..)
            | Command::Direct(..)
            | Command::Get(_)
            | Command::List(..)
            | Command::Queues
            | Command::Workers => RECORD,
        }
}

/// Bytes that granting leases writes at most.
pub fn leases(wanted: impl Iterator<Item = u32>, tasks: usize) -> u64 {
    let wanted: u64 = wanted.map(u64::from).sum();
    RECORD * wanted.min(tasks.min(LEASES_MAX) as u64)
}

fn beat(beat: &Beat) -> u64 {
    let steps = beat.leases.iter().flat_map(|lease| &lease.checkpoints);
    let steps = steps.map(|step| RECORD + (step.name.len() + step.value.len()) as u64);
    RECORD * (1 + beat.leases.len() as u64) + steps.sum::<u64>()
}

fn settlement(end: &Settlement) -> u64 {
    let part = match &end.outcome {
        Outcome::Complete { result: Some(result) } => result.bytes.len(),
        Outcome::Fail { failure, .. } | Outcome::Reject { failure } => {
            failure.class.len() + failure.message.len() + failure.trace.len()
        }
        _ => 0,
    };
    // A completed task may push the oldest one out.
    2 * RECORD + part as u64
}

/// Bytes of memory that a command holds while it waits, about.
pub fn memory(command: &Command) -> usize {
    usize::try_from(of(command, 0)).unwrap_or(usize::MAX)
}
