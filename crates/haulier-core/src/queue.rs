//! The trait that producers and workers call. Batch first: many in, one answer each, in the same
//! order; `Err` only when the call failed as a whole. Each item is atomic; a batch is a vehicle, no
//! transaction.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::capabilities::{Capabilities, Durability};
use crate::error::{Refusal, Result};
use crate::lease::{Beat, BeatReply, Lease, Settled, Settlement, Want};
use crate::name::WorkerId;
use crate::task::{NewTask, TaskId};
use crate::transition::State;

/// What producers and workers do with a store, directly or from afar.
#[async_trait]
pub trait Queue: fmt::Debug + Send + Sync + 'static {
    /// Stores each task or says why not. Idempotent by [`TaskId`]: the same id with the same work
    /// answers [`Enqueued::Existing`], with other work it is refused (I4). Ids must stay known for
    /// [`Capabilities::dedup_window`] after their task is gone.
    async fn enqueue(&self, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>>;

    /// Claims and fences ready tasks for several workers in one atomic step, sharing scarce tasks
    /// out evenly; whoever waits longest comes first. Waits up to `wait` until at least one want
    /// got something (zero polls). Dropping the future never loses a task: its lease runs out.
    ///
    /// Wants are served one task at a time in turn, the worker whose last grant is longest ago
    /// first. A want takes its highest priority; among queues of equal priority, from the one whose
    /// last grant is longest ago. Who was never served comes first, in the order of the request.
    /// Within a queue and priority tasks come by due time, and by the order in which they came into
    /// line.
    async fn lease(&self, wants: Vec<Want>, wait: Duration) -> Result<Vec<Vec<Lease>>>;

    /// A worker's sign of life: renews the listed leases (a short ttl shortens them), saves
    /// progress and checkpoints, and brings back cancellations and the operators' directive. A
    /// lease that is not listed is left alone. Checkpoints beyond the limits fail the call; workers
    /// check them before.
    async fn beat(&self, beats: Vec<Beat>) -> Result<Vec<BeatReply>>;

    /// Waits up to `wait` for something that `worker` should know before its next beat: one of its
    /// tasks was cancelled, or its directive changed. `true` if there was; the truth is in the beat
    /// that follows. A hint, so that neither has to wait for a third of a ttl. What came since the
    /// worker's last beat or `watch` counts: nothing is lost between two calls.
    async fn watch(&self, worker: WorkerId, wait: Duration) -> Result<bool>;

    /// Ends leases. An old key changes nothing and answers [`Settled::Stale`].
    async fn settle(&self, ends: Vec<Settlement>) -> Result<Vec<Settled>>;

    /// What the store behind can keep.
    fn capabilities(&self) -> Capabilities;
}

/// The answer to one enqueued task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enqueued {
    /// Stored, as durably as it says.
    Inserted {
        /// The task.
        id: TaskId,
        /// Scheduled or available.
        state: State,
        /// What the acknowledgement is worth.
        durability: Durability,
    },
    /// The same task was here already, or another one holds its unique key.
    Existing {
        /// The task that was here.
        id: TaskId,
        /// Where it stands; `None` if only its id is still remembered.
        state: Option<State>,
        /// What the acknowledgement is worth.
        durability: Durability,
    },
    /// Not stored.
    Refused(Refusal),
}

impl Enqueued {
    /// The task that now stands for the request, unless it was refused.
    ///
    /// # Errors
    /// The refusal.
    pub fn accepted(self) -> Result<TaskId, Refusal> {
        match self {
            Self::Inserted { id, .. } | Self::Existing { id, .. } => Ok(id),
            Self::Refused(refusal) => Err(refusal),
        }
    }
}

/// A queue behind a pointer is a queue.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<Q: Queue + ?Sized> Queue for Arc<Q> {
    async fn enqueue(&self, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        (**self).enqueue(tasks).await
    }
    async fn lease(&self, wants: Vec<Want>, wait: Duration) -> Result<Vec<Vec<Lease>>> {
        (**self).lease(wants, wait).await
    }
    async fn beat(&self, beats: Vec<Beat>) -> Result<Vec<BeatReply>> {
        (**self).beat(beats).await
    }
    async fn watch(&self, worker: WorkerId, wait: Duration) -> Result<bool> {
        (**self).watch(worker, wait).await
    }
    async fn settle(&self, ends: Vec<Settlement>) -> Result<Vec<Settled>> {
        (**self).settle(ends).await
    }
    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }
}
