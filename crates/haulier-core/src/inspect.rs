//! The trait for looking: single tasks, filtered pages, queues, workers. Reads show only what is
//! durable (I12).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::control::QueueSettings;
use crate::error::Result;
use crate::filter::Filter;
use crate::lease::{Cause, Checkpoint, Directive, Ended, Epoch, Failure, Progress, WorkerAbout};
use crate::name::{QueueName, WorkerId};
use crate::task::{Pairs, Payload, Task, TaskId};
use crate::transition::{Standing, State};
use crate::unique::Unique;

/// What people and programs ask of a store.
#[async_trait]
pub trait Inspect: fmt::Debug + Send + Sync + 'static {
    /// The tasks with these ids, `None` for those that are unknown. Waits up to `wait` until every
    /// known one is final (zero answers at once).
    async fn get(
        &self,
        ids: Vec<TaskId>,
        include: Include,
        wait: Duration,
    ) -> Result<Vec<Option<TaskView>>>;

    /// One page of the tasks that a filter matches, newest first. A page examines a bounded number
    /// of tasks, and holds a bounded number of bytes ([`crate::limits::PAGE_BYTES_MAX`]): it may be
    /// short, even empty, and still have a next one.
    async fn list(&self, filter: Filter, page: PageRequest) -> Result<Page>;

    /// Every queue that has tasks or settings, by name.
    async fn queues(&self) -> Result<Vec<QueueStats>>;

    /// Every worker that was heard of lately, by id.
    async fn workers(&self) -> Result<Vec<WorkerView>>;
}

/// Which large parts of a task to read along. A part that is not asked for comes back empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Include {
    /// The payload's bytes; its content type is always there.
    pub payload: bool,
    /// The result.
    pub result: bool,
    /// Checkpoints' values; their names are always there.
    pub checkpoints: bool,
}

impl Include {
    /// Everything.
    pub const ALL: Self = Self { payload: true, result: true, checkpoints: true };
    /// What a caller waiting for an answer needs.
    pub const RESULT: Self = Self { payload: false, result: true, checkpoints: false };
}

/// A task as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskView {
    /// What it is.
    pub task: Arc<Task>,
    /// Where it stands.
    pub standing: Standing,
    /// Its newest epoch.
    pub epoch: Epoch,
    /// When it was accepted.
    pub enqueued_at: Timestamp,
    /// When it became or becomes available: its `run_at`, the end of its pause, or when it was
    /// accepted.
    pub due_at: Timestamp,
    /// When it became final.
    pub finished_at: Option<Timestamp>,
    /// Its unique key, with its rules.
    pub unique: Option<Unique>,
    /// Who holds it, if somebody does.
    pub lease: Option<LeaseView>,
    /// How far its handler has come, as told last.
    pub progress: Option<Progress>,
    /// Steps that are done.
    pub checkpoints: Vec<Checkpoint>,
    /// What its handler returned.
    pub result: Option<Payload>,
    /// Its newest deliveries, oldest first, at most [`crate::limits::DELIVERIES_MAX`].
    pub deliveries: Vec<Delivery>,
}

impl TaskView {
    /// Its state.
    pub fn state(&self) -> State {
        self.standing.state
    }

    /// What it takes of a page, about: its bytes and texts as they were read, and its frame.
    pub fn bytes(&self) -> usize {
        /// Names, numbers and times of a task, and of one delivery.
        const FRAME_BYTES: usize = 512;
        const DELIVERY_BYTES: usize = 128;
        let pairs = [&self.task.headers, &self.task.labels].into_iter().flat_map(Pairs::iter);
        let results = self.result.iter().map(|result| result.bytes.len());
        let checkpoints = self.checkpoints.iter();
        let failures = self.deliveries.iter().filter_map(|delivery| delivery.failure.as_ref());
        FRAME_BYTES
            + self.task.payload.bytes.len()
            + pairs.map(|(name, value)| name.len() + value.len()).sum::<usize>()
            + results.sum::<usize>()
            + checkpoints.map(|done| done.name.len() + done.value.len()).sum::<usize>()
            + self.progress.iter().map(|progress| progress.note.len()).sum::<usize>()
            + self.deliveries.len() * DELIVERY_BYTES
            + failures.map(Failure::bytes).sum::<usize>()
    }

    /// Why its last failing attempt failed.
    pub fn last_failure(&self) -> Option<&Failure> {
        self.deliveries.iter().rev().find_map(|delivery| delivery.failure.as_ref())
    }
}

/// Who holds a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseView {
    /// The worker.
    pub worker: WorkerId,
    /// How much is left of the lease.
    pub expires_in: Duration,
}

/// One delivery of a task, for the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its fence.
    pub epoch: Epoch,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// Who got it.
    pub worker: WorkerId,
    /// When the lease was granted.
    pub leased_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How it ended; `None` while it runs.
    pub ended: Option<Ended>,
    /// Why it failed or was rejected.
    pub failure: Option<Failure>,
    /// It was settled after its lease had run out.
    pub late: bool,
}

impl Delivery {
    /// The sort of failure, if it failed.
    pub fn cause(&self) -> Option<Cause> {
        self.failure.as_ref().map(|failure| failure.cause)
    }
}

/// Which page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Tasks on the page, at most [`crate::limits::PAGE_MAX`].
    pub size: usize,
    /// Where the page before ended: its [`Page::next`], unread. `None` begins at the newest.
    pub after: Option<String>,
    /// Which large parts to read along.
    pub include: Include,
}

impl Default for PageRequest {
    /// The first 50, without large parts.
    fn default() -> Self {
        Self { size: 50, after: None, include: Include::default() }
    }
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The tasks, newest first.
    pub tasks: Vec<TaskView>,
    /// Where to go on; `None` at the end.
    pub next: Option<String>,
}

/// How many tasks are in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateCounts([u64; State::ALL.len()]);

impl StateCounts {
    /// Tasks in a state.
    pub fn get(&self, state: State) -> u64 {
        self.0[state as usize]
    }

    /// The place that counts a state.
    pub fn slot(&mut self, state: State) -> &mut u64 {
        &mut self.0[state as usize]
    }

    /// All tasks.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Tasks that are not final: what `max_tasks` of a queue limits.
    pub fn pending(&self) -> u64 {
        State::ALL.into_iter().filter(|state| !state.is_final()).map(|state| self.get(state)).sum()
    }
}

/// A queue as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueStats {
    /// Its name.
    pub queue: QueueName,
    /// Tasks by state.
    pub counts: StateCounts,
    /// How long the oldest available task has been available.
    pub oldest_available: Option<Duration>,
    /// What operators have set.
    pub settings: QueueSettings,
    /// Tasks accepted since counting began: a store of one process begins anew when it is opened
    /// (what it finds then counts as accepted), one that several share never stops counting.
    /// Always `counts.total() + removed` (I14).
    pub accepted: u64,
    /// Tasks pruned or deleted since counting began.
    pub removed: u64,
    /// Tasks that became final since counting began.
    pub finished: u64,
}

/// A worker as it was heard of last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerView {
    /// The worker.
    pub worker: WorkerId,
    /// What it told of itself.
    pub about: Option<Arc<WorkerAbout>>,
    /// What operators want of it.
    pub directive: Directive,
    /// Leases that it holds.
    pub leases: u64,
    /// How long ago it was heard of.
    pub silent_for: Duration,
}
