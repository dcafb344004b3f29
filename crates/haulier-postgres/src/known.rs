//! A task as its rows tell it, and what an event makes of it. Nothing here asks the database: what
//! was decided is written back by [`crate::change::save`].

use std::time::Duration;

use haulier_core::control::Retain;
use haulier_core::{
    Ended, Epoch, Event, Failure, Payload, Policy, Priority, Refusal, Settled, Standing, State,
    TaskId, Timestamp, Unique, WorkerId, limits, transition,
};

use crate::delivery::Record;
use crate::now::Now;

/// A task whose rows are locked.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Known {
    pub id: TaskId,
    pub queue: i32,
    pub priority: Priority,
    pub standing: Standing,
    /// The state that the tables tell of.
    pub before: State,
    /// Of its newest delivery, the running one included.
    pub epoch: Epoch,
    pub enqueued_at: Timestamp,
    pub due_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub finish: Option<i64>,
    pub has_deliveries: bool,
    pub policy: Policy,
    pub unique: Option<Unique>,
    /// Its lease, if it runs.
    pub grant: Option<Grant>,
    /// The delivery that completed it, if no other row tells of it.
    pub plain: Option<Plain>,
    /// What its queue says.
    pub retain: Retain,
    /// Only its id is known.
    pub gone: bool,
    /// A result to be stored.
    pub result: Option<Payload>,
    /// Result, progress and checkpoints are to be forgotten.
    pub clear: bool,
    /// It has become final.
    pub finished: bool,
    /// Deliveries to be recorded.
    pub records: Vec<Record>,
}

/// A row of `lease`.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub epoch: Epoch,
    pub deadline: i64,
    pub ends: i64,
    pub stops: Option<i64>,
    pub ttl: i64,
    pub leased_at: Timestamp,
    pub attempt: u32,
    pub worker: WorkerId,
}

/// The delivery that a plain completion leaves in the task's own row.
#[derive(Debug, Clone)]
pub(crate) struct Plain {
    pub leased_at: Timestamp,
    pub worker: WorkerId,
    pub late: bool,
}

/// How a delivery ended.
#[derive(Debug)]
pub(crate) struct Ending {
    pub ended: Ended,
    pub failure: Option<Failure>,
    pub late: bool,
    /// What the settlement was answered; `None` if nobody settled.
    pub answer: Option<Settled>,
}

impl Grant {
    /// The end of all renewals.
    pub(crate) fn hard_end(&self) -> i64 {
        self.stops.map_or(self.ends, |stops| stops.min(self.ends))
    }

    /// Where renewals end once a cancellation was asked for.
    pub(crate) fn stop_after(&mut self, now: &Now) {
        let grace = crate::now::span(limits::STOP_GRACE);
        self.stops = Some(now.leases.saturating_add(self.ttl).saturating_add(grace));
    }
}

impl Known {
    /// What `event` makes of it. A lease that this ends is out of the way, and its delivery comes
    /// back to be completed with [`Known::record`].
    ///
    /// # Errors
    /// The transition table's refusal; then nothing was changed.
    pub(crate) fn carry_out(&mut self, event: Event, now: &Now) -> Result<Option<Record>, Refusal> {
        let next = transition(self.standing, self.policy.max_attempts, event)?;
        if next.state.is_final() && !self.standing.state.is_final() {
            self.finished_at = Some(now.wall);
            self.finished = true;
        }
        if let Some(plain) = self.plain.take() {
            self.records.push(Record::of_plain(self, plain));
        }
        self.standing = next;
        if next.started || next.state.is_final() {
            self.expires_at = None;
        }
        if next.state == State::Running {
            return Ok(None);
        }
        Ok(self.grant.take().map(|grant| Record::of_grant(&grant)))
    }

    /// Keeps a delivery that has ended.
    pub(crate) fn record(&mut self, mut record: Record, ending: Ending, now: &Now) {
        record.ended = Some(ending.ended);
        record.ended_at = Some(now.wall);
        record.failure = ending.failure;
        record.late = ending.late;
        record.answer = ending.answer;
        self.records.push(record);
    }

    /// Its lease ran out: a loss, not an attempt.
    ///
    /// # Errors
    /// As [`Known::carry_out`].
    pub(crate) fn lose(&mut self, now: &Now) -> Result<(), Refusal> {
        let ended = self.carry_out(Event::Lost, now)?;
        self.due_at = now.wall;
        if let Some(record) = ended {
            let ending = Ending { ended: Ended::Lost, failure: None, late: false, answer: None };
            self.record(record, ending, now);
        }
        Ok(())
    }

    /// Whether it holds its unique key.
    pub(crate) fn holds_key(&self, now: &Now) -> bool {
        let Standing { state, started, .. } = self.standing;
        let held = |unique: &Unique| unique.is_held(state, started, self.enqueued_at, now.wall);
        self.unique.as_ref().is_some_and(held)
    }

    /// Until when it is kept, now that it is final: as long as it or its queue says, and in any
    /// case while it holds its unique key (I4).
    pub(crate) fn kept_until(&self) -> Timestamp {
        let kept: Duration =
            self.policy.retain.unwrap_or_else(|| self.retain.of(self.standing.state));
        let kept = self.finished_at.unwrap_or(self.enqueued_at).after(kept);
        let key = self.unique.as_ref().map(|unique| self.enqueued_at.after(unique.window));
        key.map_or(kept, |key| key.max(kept))
    }

    /// The line in which it stands, if it is available.
    pub(crate) fn line(&self) -> Option<i32> {
        (self.standing.state == State::Available).then(|| line(self.queue, self.priority))
    }

    /// When its pause ends, if it is paused.
    pub(crate) fn wake_at(&self) -> Option<Timestamp> {
        let paused = matches!(self.standing.state, State::Scheduled | State::Retryable);
        paused.then_some(self.due_at)
    }

    /// Until when it is kept, if it is final.
    pub(crate) fn keep_until(&self) -> Option<Timestamp> {
        self.standing.state.is_final().then(|| self.kept_until())
    }

    /// Until when its unique key's window keeps it from giving way to newer ones.
    pub(crate) fn held_until(&self, now: &Now) -> Option<Timestamp> {
        let until = self.enqueued_at.after(self.unique.as_ref()?.window);
        (until > now.wall).then_some(until)
    }
}

/// The line of a queue and priority: higher priorities come first.
pub(crate) fn line(queue: i32, priority: Priority) -> i32 {
    queue.saturating_mul(16) + 9 - i32::from(priority.get())
}
