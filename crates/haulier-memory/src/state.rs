//! The tasks and everything that is derived from them. Indexes are functions of the tasks: an entry
//! is taken out of them, changed, and put back ([`State::change`]), so none can be forgotten. A
//! task's state changes in one place only ([`State::carry_out`]), by core's transition table.
//!
//! Nothing here knows a clock: every verb is told the time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use haulier_core::{
    Checkpoint, Delivery, Epoch, Event, Payload, Progress, QueueName, Refusal, Settled, Standing,
    Task, TaskId, Timestamp, Unique, WorkerId, limits, transition,
};

use crate::lease::Waiter;
use crate::line::Line;
use crate::workers::Workers;

type TaskState = haulier_core::State;

/// The time at which a verb is carried out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// What leases and silence are counted on.
    pub monotonic: Duration,
    /// What is stored and shown.
    pub wall: Timestamp,
}

/// A task with all that is kept of it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub task: Arc<Task>,
    pub unique: Option<Unique>,
    pub standing: Standing,
    pub epoch: Epoch,
    pub enqueued_at: Timestamp,
    pub due_at: Timestamp,
    /// When it expires if it has not started. A rerun lifts this: an operator wants it done.
    pub expires_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// Counts what happened in the store. Among equals the smaller comes first: into line if it is
    /// available, out of its pause or lease if that ends at the same time, away if it is finished.
    pub order: u64,
    pub grant: Option<Grant>,
    pub progress: Option<Progress>,
    pub checkpoints: Vec<Checkpoint>,
    pub result: Option<Payload>,
    /// The newest deliveries, oldest first.
    pub deliveries: VecDeque<Record>,
}

/// The lease of a running task.
#[derive(Debug)]
pub(crate) struct Grant {
    pub worker: WorkerId,
    /// As granted or renewed last.
    pub ttl: Duration,
    pub deadline: Duration,
    /// Where renewals end: the task's timeout and the grace to stop.
    pub ends: Duration,
    /// Where renewals end because of a cancellation.
    pub stops: Option<Duration>,
}

impl Grant {
    /// The end of all renewals.
    pub fn hard_end(&self) -> Duration {
        self.stops.map_or(self.ends, |stops| stops.min(self.ends))
    }

    /// How long a holder may still go on once a cancellation was asked for at `now`.
    pub fn stop_after(&mut self, now: Now) {
        self.stops =
            Some(now.monotonic.saturating_add(self.ttl).saturating_add(limits::STOP_GRACE));
    }
}

/// A delivery and the answer that its settlement got, for whoever asks again (I8).
#[derive(Debug)]
pub(crate) struct Record {
    pub delivery: Delivery,
    pub answer: Option<Settled>,
}

/// The whole store.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub payload_bytes_max: usize,
    pub queues_max: usize,
    /// Raised at every restart: the upper half of every epoch.
    pub generation: u32,
    pub tasks: BTreeMap<TaskId, Entry>,
    pub index: Index,
    /// Who holds, or held last, a unique key.
    pub holders: BTreeMap<(QueueName, Arc<str>), TaskId>,
    pub removed: Removed,
    pub workers: Workers,
    /// Calls of `lease` that wait, by ticket.
    pub waiters: BTreeMap<u64, Waiter>,
    /// The largest epoch of any task that is gone: its id may be used again, its keys may not.
    pub epoch_floor: Epoch,
    /// Counts grants: the older the last one, the sooner the next.
    pub grants: u64,
    order: u64,
}

/// Everything that finds tasks without looking at all of them.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub lines: BTreeMap<QueueName, Line>,
    /// Every task by age, for listings.
    pub ages: BTreeSet<(Timestamp, TaskId)>,
    /// Scheduled and retryable tasks by the end of their pause.
    pub paused: BTreeSet<(Timestamp, u64, TaskId)>,
    /// Tasks that may expire.
    pub expiring: BTreeSet<(Timestamp, TaskId)>,
    /// Running tasks by the end of their lease.
    pub running: BTreeSet<(Duration, u64, TaskId)>,
}

impl Index {
    /// The line of a queue, made if there is none.
    pub fn line(&mut self, queue: &QueueName) -> &mut Line {
        self.lines.entry(queue.clone()).or_default()
    }

    fn put(&mut self, entry: &Entry) {
        let id = entry.task.id;
        let line = self.line(&entry.task.queue);
        *line.counts.slot(entry.standing.state) += 1;
        if entry.standing.state == TaskState::Available {
            line.ready.insert((Reverse(entry.task.priority), entry.order, id));
        }
        self.ages.insert((entry.enqueued_at, id));
        if let TaskState::Scheduled | TaskState::Retryable = entry.standing.state {
            self.paused.insert((entry.due_at, entry.order, id));
        }
        if let Some(at) = entry.may_expire_at() {
            self.expiring.insert((at, id));
        }
        if let Some(grant) = &entry.grant {
            self.running.insert((grant.deadline, entry.order, id));
        }
    }

    fn take(&mut self, entry: &Entry) {
        let id = entry.task.id;
        let line = self.line(&entry.task.queue);
        *line.counts.slot(entry.standing.state) -= 1;
        line.ready.remove(&(Reverse(entry.task.priority), entry.order, id));
        self.ages.remove(&(entry.enqueued_at, id));
        self.paused.remove(&(entry.due_at, entry.order, id));
        if let Some(at) = entry.expires_at {
            self.expiring.remove(&(at, id));
        }
        if let Some(grant) = &entry.grant {
            self.running.remove(&(grant.deadline, entry.order, id));
        }
    }
}

impl Entry {
    fn may_expire_at(&self) -> Option<Timestamp> {
        let waits = matches!(self.standing.state, TaskState::Scheduled | TaskState::Available);
        self.expires_at.filter(|_| waits && !self.standing.started)
    }

    /// Whether the task holds its unique key.
    pub fn holds_key(&self, now: Now) -> bool {
        let Standing { state, started, .. } = self.standing;
        let held = |unique: &Unique| unique.is_held(state, started, self.enqueued_at, now.wall);
        self.unique.as_ref().is_some_and(held)
    }

    /// The delivery with this fence, if it is remembered.
    pub fn record(&mut self, epoch: Epoch) -> Option<&mut Record> {
        self.deliveries.iter_mut().find(|record| record.delivery.epoch == epoch)
    }
}

impl State {
    /// An empty store in its first generation.
    pub fn new(payload_bytes_max: usize) -> Self {
        let queues_max = limits::QUEUES_MAX;
        Self { payload_bytes_max, queues_max, generation: 1, ..Self::default() }
    }

    /// The next number of [`Entry::order`].
    pub fn next_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    /// Keeps a new task.
    pub fn insert(&mut self, entry: Entry) {
        if let Some(unique) = &entry.unique {
            let key = (entry.task.queue.clone(), Arc::clone(&unique.key));
            self.holders.insert(key, entry.task.id);
        }
        self.index.line(&entry.task.queue).accepted += 1;
        self.index.put(&entry);
        self.tasks.insert(entry.task.id, entry);
    }

    /// Changes a task without changing its state. `None` if there is no such task.
    pub fn change<T>(&mut self, id: TaskId, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let entry = self.tasks.get_mut(&id)?;
        self.index.take(entry);
        let changed = change(entry);
        self.index.put(entry);
        Some(changed)
    }

    /// Carries an event out, and with it `also`. The task, which must be known, gets a new order.
    ///
    /// # Errors
    /// The transition table's refusal; then nothing was changed.
    pub fn carry_out(
        &mut self,
        id: TaskId,
        event: Event,
        now: Now,
        also: impl FnOnce(&mut Entry),
    ) -> Result<TaskState, Refusal> {
        let order = self.next_order();
        let Some(entry) = self.tasks.get_mut(&id) else {
            return Err(Refusal::new(haulier_core::Code::NotFound, "there is no such task"));
        };
        let next = transition(entry.standing, entry.task.policy.max_attempts, event)?;
        self.index.take(entry);
        let finished = next.state.is_final() && !entry.standing.state.is_final();
        entry.standing = next;
        entry.order = order;
        if next.state != TaskState::Running {
            entry.grant = None;
        }
        if finished {
            entry.finished_at = Some(now.wall);
            self.index.line(&entry.task.queue).finished += 1;
        }
        also(entry);
        self.index.put(entry);
        Ok(next.state)
    }

    /// Forgets a task; its id stays known for a while.
    pub fn remove(&mut self, id: TaskId, now: Now) {
        let Some(entry) = self.tasks.remove(&id) else { return };
        self.index.take(&entry);
        self.index.line(&entry.task.queue).removed += 1;
        self.epoch_floor = self.epoch_floor.max(entry.epoch);
        if let Some(unique) = &entry.unique {
            let key = (entry.task.queue.clone(), Arc::clone(&unique.key));
            if self.holders.get(&key) == Some(&id) {
                self.holders.remove(&key);
            }
        }
        self.removed.remember(id, now.wall);
    }

    /// What a restart does to a store: the generation rises; counts begin anew; workers, directives
    /// and whose turn it is are forgotten; a lease lasts its full ttl again, its attempt its full
    /// time, and so does the time to stop.
    pub fn restart(&mut self, now: Now) {
        self.generation += 1;
        self.workers = Workers::default();
        for line in self.index.lines.values_mut() {
            (line.accepted, line.removed, line.finished, line.served) =
                (line.counts.total(), 0, 0, 0);
        }
        let running: Vec<TaskId> = self.index.running.iter().map(|&(_, _, id)| id).collect();
        for id in running {
            haulier_core::probe::sometimes("gap healed");
            let cancelled = self.tasks.get(&id).is_some_and(|e| e.standing.cancel_requested);
            self.change(id, |entry| {
                let time = entry.task.policy.timeout.saturating_add(limits::STOP_GRACE);
                if let Some(grant) = &mut entry.grant {
                    grant.deadline = now.monotonic.saturating_add(grant.ttl);
                    grant.ends = now.monotonic.saturating_add(time);
                    if cancelled {
                        grant.stop_after(now);
                    }
                }
            });
        }
    }
}

/// Ids of tasks that are gone, so that a repeated enqueue stays harmless (I4).
#[derive(Debug)]
pub(crate) struct Removed {
    ids: BTreeSet<TaskId>,
    oldest_first: VecDeque<(Timestamp, TaskId)>,
    most: usize,
}

impl Default for Removed {
    fn default() -> Self {
        Self { ids: BTreeSet::new(), oldest_first: VecDeque::new(), most: limits::DEDUP_IDS_MAX }
    }
}

impl Removed {
    fn remember(&mut self, id: TaskId, now: Timestamp) {
        self.ids.insert(id);
        self.oldest_first.push_back((now, id));
        if self.oldest_first.len() > self.most {
            self.forget_oldest();
        }
    }

    /// Whether the id is still known.
    pub fn knows(&mut self, id: TaskId, now: Timestamp) -> bool {
        while self.oldest_first.front().is_some_and(|(at, _)| at.after(limits::DEDUP_WINDOW) <= now)
        {
            self.forget_oldest();
        }
        self.ids.contains(&id)
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.oldest_first.pop_front() {
            self.ids.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_limit_every_id_is_remembered_and_beyond_it_the_oldest_is_forgotten() {
        let mut removed = Removed { most: 3, ..Removed::default() };
        let id = |number: u8| TaskId::from_bytes([number; 16]);
        let now = Timestamp(1_000);
        (1..=3).for_each(|number| removed.remember(id(number), now));
        assert!((1..=3).all(|number| removed.knows(id(number), now)));
        removed.remember(id(4), now);
        assert!(!removed.knows(id(1), now) && (2..=4).all(|number| removed.knows(id(number), now)));
    }
}
