//! Ends leases, in batches: what gathers while one call is out goes with the next. No timer, and no
//! wait when idle. A call that failed for the moment is repeated with the same keys, which is
//! harmless (I8); until then the keeper keeps the leases.

use std::collections::VecDeque;

use haulier_core::limits::{FRAME_BYTES_MAX, ITEMS_MAX};
use haulier_core::{Cause, Error, Failure, Outcome, Refusal, Settled, Settlement, State};
use tokio::sync::Notify;

use crate::lock::{Lock, lock};
use crate::pause::Pause;
use crate::shared::Shared;

/// What waits to be settled. Bounded by the fetcher, which leases nothing while too much waits.
#[derive(Debug, Default)]
pub(crate) struct Settler {
    waiting: Lock<VecDeque<Settlement>>,
    pushed: Notify,
    /// Rings whenever a call was answered.
    pub answered: Notify,
    tally: Lock<Drained>,
}

/// What became of the tasks that a worker settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drained {
    /// Done.
    pub completed: u64,
    /// Failed, and will be tried again.
    pub failed: u64,
    /// Given up: rejected, or failed for the last time.
    pub dead: u64,
    /// Put off.
    pub snoozed: u64,
    /// Handed back.
    pub released: u64,
    /// Called off.
    pub cancelled: u64,
    /// Settled in vain: somebody else has the task.
    pub stale: u64,
}

impl std::ops::AddAssign for Drained {
    fn add_assign(&mut self, more: Self) {
        self.completed += more.completed;
        self.failed += more.failed;
        self.dead += more.dead;
        self.snoozed += more.snoozed;
        self.released += more.released;
        self.cancelled += more.cancelled;
        self.stale += more.stale;
    }
}

impl Settler {
    /// Has a lease ended.
    pub fn push(&self, settlement: Settlement) {
        lock(&self.waiting).push_back(settlement);
        self.pushed.notify_one();
    }

    /// What was settled so far.
    pub fn tally(&self) -> Drained {
        *lock(&self.tally)
    }

    /// As much as one call may carry, in order.
    fn batch(&self) -> Vec<Settlement> {
        let mut waiting = lock(&self.waiting);
        let mut bytes = 0;
        let fits = waiting.iter().take(ITEMS_MAX).take_while(|settlement| {
            bytes += weight(&settlement.outcome);
            bytes <= FRAME_BYTES_MAX
        });
        // One that is larger than a frame goes alone.
        let count = fits.count().max(1).min(waiting.len());
        waiting.drain(..count).collect()
    }
}

/// About how many bytes a settlement has on a wire.
fn weight(outcome: &Outcome) -> usize {
    const ENVELOPE: usize = 64;
    let text =
        |failure: &Failure| failure.class.len() + failure.message.len() + failure.trace.len();
    ENVELOPE
        + match outcome {
            Outcome::Complete { result } => result.as_ref().map_or(0, |r| r.bytes.len()),
            Outcome::Fail { failure, .. } | Outcome::Reject { failure } => text(failure),
            Outcome::Snooze { .. } | Outcome::Release | Outcome::Cancelled => 0,
        }
}

/// Settles for ever.
pub(crate) async fn run(shared: &Shared) {
    let settler = &shared.settler;
    loop {
        let batch = settler.batch();
        if batch.is_empty() {
            settler.pushed.notified().await;
            continue;
        }
        settle(shared, batch).await;
        settler.answered.notify_one();
    }
}

/// Settles one batch, however often it takes.
async fn settle(shared: &Shared, batch: Vec<Settlement>) {
    let mut pause = Pause::default();
    loop {
        match shared.link.queue.settle(batch.clone()).await {
            Ok(answers) => {
                for (settlement, answer) in batch.iter().zip(&answers) {
                    apply(shared, settlement, answer);
                }
                return;
            }
            Err(error) if error.is_retryable() => {
                let wait = pause.next(&error, &*shared.link.entropy);
                tracing::warn!(
                    target: "haulier::worker", worker = %shared.id, code = %error.code(),
                    tasks = batch.len(), "settling failed, and is repeated: {error:#}"
                );
                shared.link.clock.sleep(wait).await;
            }
            Err(error) => return give_up(shared, &batch, &error),
        }
    }
}

/// The store will not hear of it: the leases run out, and other attempts follow.
fn give_up(shared: &Shared, batch: &[Settlement], error: &Error) {
    tracing::error!(
        target: "haulier::worker", worker = %shared.id, code = %error.code(), tasks = batch.len(),
        "settling was refused; the leases run out and the tasks are tried again: {error:#}"
    );
    for settlement in batch {
        shared.held.remove(settlement.key);
    }
}

fn apply(shared: &Shared, settlement: &Settlement, answer: &Settled) {
    let key = settlement.key;
    if let Settled::Refused(refusal) = answer {
        return refused(shared, settlement, refusal);
    }
    shared.held.remove(key);
    lock(&shared.settler.tally).count(&settlement.outcome, answer);
    match answer {
        Settled::Stale => tracing::warn!(
            target: "haulier::worker", worker = %shared.id, task = %key.task, epoch = key.epoch.0,
            "settled too late: somebody else has the task"
        ),
        Settled::Applied { late: true, .. } => tracing::warn!(
            target: "haulier::worker", worker = %shared.id, task = %key.task, epoch = key.epoch.0,
            "settled late: the lease had run out, but nobody had taken the task"
        ),
        _ => {}
    }
}

/// What the handler gave breaks a rule, such as a result that is too large. It would the next time,
/// too: the task is rejected with the reason, rather than left to its lease.
fn refused(shared: &Shared, settlement: &Settlement, refusal: &Refusal) {
    let key = settlement.key;
    tracing::warn!(
        target: "haulier::worker", worker = %shared.id, task = %key.task, epoch = key.epoch.0,
        code = %refusal.code, "the outcome was refused: {refusal}"
    );
    if matches!(settlement.outcome, Outcome::Reject { .. }) {
        return shared.held.remove(key);
    }
    let message = format!("what the handler gave was refused: {refusal}");
    let outcome = Outcome::Reject { failure: Failure::new(Cause::Error, &message) };
    shared.settler.push(Settlement { key, outcome });
}

impl Drained {
    fn count(&mut self, outcome: &Outcome, answer: &Settled) {
        let counter = match (answer, outcome) {
            (Settled::Stale, _) => &mut self.stale,
            (Settled::Cancelled | Settled::Applied { state: State::Cancelled, .. }, _) => {
                &mut self.cancelled
            }
            (Settled::Applied { state: State::Dead, .. }, _) => &mut self.dead,
            (_, Outcome::Complete { .. }) => &mut self.completed,
            (_, Outcome::Snooze { .. }) => &mut self.snoozed,
            (_, Outcome::Release) => &mut self.released,
            _ => &mut self.failed,
        };
        *counter += 1;
    }
}
