//! The end of a lease. A key answers for one delivery: once it has been settled the answer stays
//! the same (I8); while it runs, or has run out and nobody took the task since, it may be settled;
//! everything else is stale (I3).

use std::time::Duration;

use haulier_core::probe::sometimes;
use haulier_core::{
    Ended, Event, Failure, Outcome, Payload, Settled, Settlement, State as TaskState,
};

use crate::state::{Entry, Now, State};

/// What a key is good for.
enum Key {
    /// It was settled before, with this answer.
    Settled(Settled),
    /// Its lease runs.
    Running,
    /// Its lease ran out, and the task still waits for the next one.
    RanOut,
    Stale,
}

impl State {
    /// Ends a lease, or says why not.
    pub fn settle(&mut self, Settlement { key, outcome }: Settlement, now: Now) -> Settled {
        let payload_bytes_max = self.payload_bytes_max;
        let Some(entry) = self.tasks.get_mut(&key.task) else { return Settled::Stale };
        let late = match judge(entry, key.epoch) {
            Key::Settled(answer) => {
                sometimes("repeat answered");
                return answer;
            }
            Key::Stale => {
                sometimes("stale refused");
                return Settled::Stale;
            }
            Key::Running => false,
            Key::RanOut => true,
        };
        if let Err(refusal) = outcome.check(payload_bytes_max) {
            return Settled::Refused(refusal);
        }
        let overruled = entry.standing.cancel_requested && outcome != Outcome::Cancelled;
        if late {
            sometimes("late settle accepted");
        }
        if overruled {
            sometimes("cancel races complete");
        }
        let ended = if overruled { Ended::Cancelled } else { Ended::from(&outcome) };
        let Parts { event, result, failure, delay } = Parts::of(outcome);
        let mut answer = Settled::Stale;
        let settled = self.carry_out(key.task, event, now, |entry| {
            let state = entry.standing.state;
            match state {
                TaskState::Completed => entry.result = result,
                TaskState::Available => entry.due_at = now.wall,
                TaskState::Scheduled | TaskState::Retryable => {
                    entry.due_at = now.wall.after(delay);
                }
                _ => {}
            }
            answer = if overruled { Settled::Cancelled } else { Settled::Applied { state, late } };
            if let Some(record) = entry.record(key.epoch) {
                record.answer = Some(answer.clone());
                record.delivery.ended = Some(ended);
                record.delivery.ended_at = Some(now.wall);
                record.delivery.failure = failure;
                record.delivery.late = late;
            }
        });
        // The table refuses a late settlement of a task that was rerun since: nobody's lease ran
        // out.
        if settled.is_ok() { answer } else { Settled::Stale }
    }
}

fn judge(entry: &mut Entry, epoch: haulier_core::Epoch) -> Key {
    let newest = entry.epoch == epoch;
    let state = entry.standing.state;
    let Some(record) = entry.record(epoch) else { return Key::Stale };
    match (&record.answer, record.delivery.ended) {
        (Some(answer), _) => Key::Settled(answer.clone()),
        (None, None) if newest => Key::Running,
        (None, Some(Ended::Lost)) if newest && state == TaskState::Available => Key::RanOut,
        (None, Some(Ended::Lost)) => {
            sometimes("settle races expiry");
            Key::Stale
        }
        _ => Key::Stale,
    }
}

/// An outcome taken apart.
struct Parts {
    event: Event,
    result: Option<Payload>,
    failure: Option<Failure>,
    delay: Duration,
}

impl Parts {
    fn of(outcome: Outcome) -> Self {
        let parts = |event| Self { event, result: None, failure: None, delay: Duration::ZERO };
        match outcome {
            Outcome::Complete { result } => Self { result, ..parts(Event::Complete) },
            Outcome::Fail { failure, retry_in } => Self {
                failure: Some(failure),
                delay: retry_in.unwrap_or_default(),
                ..parts(Event::Fail { retry: retry_in.is_some() })
            },
            Outcome::Reject { failure } => Self { failure: Some(failure), ..parts(Event::Reject) },
            Outcome::Snooze { delay } => Self { delay, ..parts(Event::Snooze) },
            Outcome::Release => parts(Event::Release),
            Outcome::Cancelled => parts(Event::Stopped),
        }
    }
}
