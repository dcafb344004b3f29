//! Merges enqueues, and settlements, that are made at the same time: what comes while a call is out
//! goes with the next one. A caller alone is not delayed; a thousand callers make a few large
//! calls. This is what makes single-task callers fast.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use haulier_core::{
    Beat, BeatReply, Capabilities, Enqueued, Lease, NewTask, Outcome, Queue, Result, Settled,
    Settlement, Want, WorkerId,
};

use crate::lane::Lane;

/// Bytes of an item beside its payload, about.
const ENVELOPE_BYTES: usize = 256;

/// Merges calls that are made at the same time.
#[derive(Debug, Clone)]
pub struct Coalesce {
    inner: Arc<dyn Queue>,
    enqueues: Arc<Lane<NewTask, Enqueued>>,
    settlements: Arc<Lane<Settlement, Settled>>,
}

impl Coalesce {
    /// Merges what goes to `inner`.
    pub fn new(inner: Arc<dyn Queue>) -> Self {
        let enqueue = Arc::clone(&inner);
        let settle = Arc::clone(&inner);
        Self {
            inner,
            enqueues: Lane::new(weigh_task, move |tasks| {
                let queue = Arc::clone(&enqueue);
                Box::pin(async move { queue.enqueue(tasks).await })
            }),
            settlements: Lane::new(weigh_settlement, move |ends| {
                let queue = Arc::clone(&settle);
                Box::pin(async move { queue.settle(ends).await })
            }),
        }
    }
}

fn weigh_task(task: &NewTask) -> usize {
    let pairs = task.headers.byte_len() + task.labels.byte_len();
    ENVELOPE_BYTES + task.payload.bytes.len() + pairs
}

fn weigh_settlement(end: &Settlement) -> usize {
    ENVELOPE_BYTES
        + match &end.outcome {
            Outcome::Complete { result: Some(result) } => result.bytes.len(),
            Outcome::Fail { failure, .. } | Outcome::Reject { failure } => {
                failure.message.len() + failure.trace.len()
            }
            _ => 0,
        }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Queue for Coalesce {
    async fn enqueue(&self, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        self.enqueues.send(tasks).await
    }

    async fn lease(&self, wants: Vec<Want>, wait: Duration) -> Result<Vec<Vec<Lease>>> {
        self.inner.lease(wants, wait).await
    }

    async fn beat(&self, beats: Vec<Beat>) -> Result<Vec<BeatReply>> {
        self.inner.beat(beats).await
    }

    async fn watch(&self, worker: WorkerId, wait: Duration) -> Result<bool> {
        self.inner.watch(worker, wait).await
    }

    async fn settle(&self, ends: Vec<Settlement>) -> Result<Vec<Settled>> {
        self.settlements.send(ends).await
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
}
