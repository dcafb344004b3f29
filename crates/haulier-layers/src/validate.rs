//! Refuses what breaks a rule before it travels: the same rules, from the same functions, as the
//! store's own. An item that is refused here costs the others of its batch nothing.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use haulier_core::{
    Beat, BeatReply, Capabilities, Enqueued, Error, Lease, NewTask, Queue, Refusal, Result,
    Settled, Settlement, Want, WorkerId,
};

/// Checks tasks, wants and outcomes before they are sent.
#[derive(Debug, Clone)]
pub struct Validate {
    inner: Arc<dyn Queue>,
}

impl Validate {
    /// Checks what goes to `inner`.
    pub fn new(inner: Arc<dyn Queue>) -> Self {
        Self { inner }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Queue for Validate {
    async fn enqueue(&self, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        let bytes_max = self.inner.capabilities().payload_bytes_max;
        let (kept, refused) = split(tasks, |task| task.check(bytes_max));
        let answers = if kept.is_empty() { Vec::new() } else { self.inner.enqueue(kept).await? };
        merge(refused, answers, Enqueued::Refused)
    }

    async fn lease(&self, wants: Vec<Want>, wait: Duration) -> Result<Vec<Vec<Lease>>> {
        for want in &wants {
            want.check()?;
        }
        self.inner.lease(wants, wait).await
    }

    async fn beat(&self, beats: Vec<Beat>) -> Result<Vec<BeatReply>> {
        for beat in &beats {
            haulier_core::lease::check_ttl(beat.ttl)?;
        }
        self.inner.beat(beats).await
    }

    async fn watch(&self, worker: WorkerId, wait: Duration) -> Result<bool> {
        self.inner.watch(worker, wait).await
    }

    async fn settle(&self, ends: Vec<Settlement>) -> Result<Vec<Settled>> {
        let bytes_max = self.inner.capabilities().payload_bytes_max;
        let (kept, refused) = split(ends, |end| end.outcome.check(bytes_max));
        let answers = if kept.is_empty() { Vec::new() } else { self.inner.settle(kept).await? };
        merge(refused, answers, Settled::Refused)
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
}

/// What is to be sent, and a place for every item: its refusal, or `None` for the answer to come.
fn split<T>(
    items: Vec<T>,
    check: impl Fn(&T) -> Result<(), Refusal>,
) -> (Vec<T>, Vec<Option<Refusal>>) {
    let refused: Vec<Option<Refusal>> = items.iter().map(|item| check(item).err()).collect();
    let kept = items.into_iter().zip(&refused).filter(|(_, refused)| refused.is_none());
    (kept.map(|(item, _)| item).collect(), refused)
}

/// Answers and refusals, in the order of the request.
fn merge<A>(
    places: Vec<Option<Refusal>>,
    answers: Vec<A>,
    refused: impl Fn(Refusal) -> A,
) -> Result<Vec<A>> {
    let mut answers = answers.into_iter();
    let next = |place: Option<Refusal>| match place {
        Some(refusal) => Ok(refused(refusal)),
        None => {
            answers.next().ok_or_else(|| Error::internal("the store gave fewer answers than asked"))
        }
    };
    places.into_iter().map(next).collect()
}
