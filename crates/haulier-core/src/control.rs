//! The trait for operators: cancel, rerun, delete, configure, direct. The only verbs that take a
//! bare id.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::{Refusal, Result};
use crate::lease::Directive;
use crate::name::{QueueName, WorkerId};
use crate::task::TaskId;
use crate::transition::State;

/// What operators do with a store.
#[async_trait]
pub trait Control: fmt::Debug + Send + Sync + 'static {
    /// Calls tasks off. A pending one is cancelled at once; a running one is marked, and its holder
    /// is told at its next beat. After the answer there is no later lease (I15).
    async fn cancel(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>>;

    /// Makes final tasks available again, with all their attempts. Epochs go on rising.
    async fn rerun(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>>;

    /// Forgets tasks that do not run. Their ids stay known for the dedup window.
    async fn delete(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>>;

    /// Changes a queue's settings and returns them all. An empty patch only reads.
    async fn configure(&self, queue: QueueName, patch: SettingsPatch) -> Result<QueueSettings>;

    /// Tells workers what to do; `false` for those that were never heard of.
    async fn direct(&self, workers: Vec<WorkerId>, directive: Directive) -> Result<Vec<bool>>;
}

/// The answer to one id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// Done; the task's state now. A deleted task answers with the state it had.
    Done(State),
    /// There is no such task.
    NotFound,
    /// Its state does not allow it.
    Refused(Refusal),
}

/// What operators set on a queue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueSettings {
    /// No task of the queue is leased.
    pub paused: bool,
    /// Tasks of the queue that may run at a time, over all workers, counted from leases.
    pub concurrency: Option<u32>,
    /// Tasks that are not final which the queue may hold; an enqueue beyond it is refused
    /// ([`crate::Code::QueueFull`]).
    pub max_tasks: Option<u64>,
    /// How long finished tasks are kept.
    pub retain: Retain,
}

/// How long finished tasks of a queue are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retain {
    /// Completed ones.
    pub completed: Duration,
    /// Completed ones at most; the oldest go first.
    pub completed_count: u64,
    /// Cancelled ones.
    pub cancelled: Duration,
    /// Dead ones.
    pub dead: Duration,
}

impl Retain {
    /// How long a task in this final state is kept.
    pub const fn of(&self, state: State) -> Duration {
        match state {
            State::Cancelled => self.cancelled,
            State::Dead => self.dead,
            _ => self.completed,
        }
    }
}

impl Default for Retain {
    fn default() -> Self {
        Self {
            completed: crate::limits::RETAIN_COMPLETED,
            completed_count: crate::limits::RETAIN_COMPLETED_COUNT,
            cancelled: crate::limits::RETAIN_CANCELLED,
            dead: crate::limits::RETAIN_DEAD,
        }
    }
}

/// A change of settings; `None` leaves one as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SettingsPatch {
    /// Pause or resume.
    pub paused: Option<bool>,
    /// Limit, or lift the limit of, what runs at a time.
    pub concurrency: Option<Option<u32>>,
    /// Limit, or lift the limit of, what the queue holds.
    pub max_tasks: Option<Option<u64>>,
    /// Keep completed tasks this long.
    pub retain_completed: Option<Duration>,
    /// Keep this many completed tasks.
    pub retain_completed_count: Option<u64>,
    /// Keep cancelled tasks this long.
    pub retain_cancelled: Option<Duration>,
    /// Keep dead tasks this long.
    pub retain_dead: Option<Duration>,
}

impl SettingsPatch {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Checks the numbers. Every store calls it.
    ///
    /// # Errors
    /// [`crate::Code::Invalid`] with what is allowed.
    pub fn check(&self) -> Result<(), Refusal> {
        let spans = [self.retain_completed, self.retain_cancelled, self.retain_dead];
        if spans.into_iter().flatten().any(|span| span > crate::limits::DELAY_MAX) {
            return Err(Refusal::new(crate::Code::Invalid, "retain is more than ten years"));
        }
        if self.concurrency == Some(Some(0)) {
            return Err(Refusal::new(
                crate::Code::Invalid,
                "concurrency is 0; pause the queue instead, or leave it out for no limit",
            ));
        }
        Ok(())
    }

    /// The settings with this change.
    pub fn apply(&self, settings: &mut QueueSettings) {
        fn set<T: Copy>(field: &mut T, change: Option<T>) {
            *field = change.unwrap_or(*field);
        }
        set(&mut settings.paused, self.paused);
        set(&mut settings.concurrency, self.concurrency);
        set(&mut settings.max_tasks, self.max_tasks);
        set(&mut settings.retain.completed, self.retain_completed);
        set(&mut settings.retain.completed_count, self.retain_completed_count);
        set(&mut settings.retain.cancelled, self.retain_cancelled);
        set(&mut settings.retain.dead, self.retain_dead);
    }
}
