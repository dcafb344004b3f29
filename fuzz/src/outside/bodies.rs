//! Bodies of the HTTP interface: one a line, its first word says which.

use haulier_core::{Entropy, PageRequest, SeededEntropy, TaskId, Timestamp};
use haulier_server::api;
use serde::de::DeserializeOwned;

use super::stores::{Command, carry_out};

/// Reads bodies, and lets stores carry out what can be read.
pub fn json(bytes: &[u8]) {
    let entropy = SeededEntropy::from_u64(1);
    let lines = bytes.split(|byte| *byte == b'\n').take(16);
    let commands: Vec<Command> = lines.filter_map(|line| command(line, &entropy)).collect();
    if !commands.is_empty() {
        carry_out(&commands);
    }
}

fn command(line: &[u8], entropy: &SeededEntropy) -> Option<Command> {
    let (which, body) = line.split_first()?;
    Some(match which {
        b'e' => {
            let new: api::NewTask = read(body)?;
            Command::Enqueue(vec![new.into_core("", || fresh(entropy)).ok()?])
        }
        b'm' => {
            let many: api::EnqueueMany = read(body)?;
            let tasks = many.tasks.into_iter().enumerate();
            let tasks =
                tasks.map(|(at, new)| new.into_core(&format!("tasks[{at}]"), || fresh(entropy)));
            Command::Enqueue(tasks.collect::<Result<_, _>>().ok()?)
        }
        b'l' => Command::Lease(vec![read::<api::Want>(body)?.to_core()]),
        b'b' => Command::Beat(vec![read::<api::Beat>(body)?.into_core().ok()?]),
        b's' => {
            let ends = read::<api::Settle>(body)?.settlements.into_iter().filter_map(|end| {
                let key = end.key();
                match end.into_ending("settlements[0]").ok()? {
                    api::Ending::Decided(outcome) => {
                        Some(haulier_core::Settlement { key, outcome })
                    }
                    api::Ending::Undecided(_) => None,
                }
            });
            Command::Settle(ends.collect())
        }
        b'c' => match read::<api::Bulk>(body)?.choose().ok()? {
            api::Chosen::Ids(ids) => Command::Change(ids),
            api::Chosen::Matching(filter, after) => {
                Command::List(filter, PageRequest { after, ..PageRequest::default() })
            }
        },
        b'q' => {
            let patch: api::SettingsPatch = read(body)?;
            Command::Configure(haulier_core::QueueName::default(), patch.into())
        }
        _ => return None,
    })
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}

/// An id as the server makes one for a task that has none.
fn fresh(entropy: &SeededEntropy) -> TaskId {
    let clock = haulier_core::ManualClock::new();
    clock.set_wall(Timestamp(1_767_225_600_000 + entropy.up_to(1_000)));
    TaskId::generate(&clock, entropy)
}
