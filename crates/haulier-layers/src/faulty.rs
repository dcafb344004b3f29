//! Fails on purpose, as a network does: calls that never arrive, and answers that are lost after
//! the call took effect. Which ones, a seed decides, or a test one by one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use haulier_core::{
    Beat, BeatReply, Capabilities, Code, Enqueued, Entropy, Error, Lease, NewTask, Queue, Result,
    Settled, Settlement, Want, WorkerId,
};

/// How often what goes wrong, in thousandths of all calls; and switches for tests that want a
/// certain fault. Shared by every clone.
#[derive(Debug, Default)]
pub struct Faults {
    /// Calls that never arrive.
    pub unsent_permille: AtomicU64,
    /// Answers that are lost: the call took effect.
    pub lost_permille: AtomicU64,
    /// No call arrives while this is set.
    pub down: AtomicBool,
    /// The answers to so many of the next settle calls are lost.
    pub lose_settled: AtomicU64,
    /// No beat arrives while this is set.
    pub no_beats: AtomicBool,
    /// Faults so far.
    pub count: AtomicU64,
}

/// A queue with faults.
#[derive(Debug, Clone)]
pub struct Faulty {
    inner: Arc<dyn Queue>,
    entropy: Arc<dyn Entropy>,
    faults: Arc<Faults>,
}

impl Faulty {
    /// Puts faults between the caller and `inner`; none until `faults` says so.
    pub fn new(inner: Arc<dyn Queue>, entropy: Arc<dyn Entropy>, faults: Arc<Faults>) -> Self {
        Self { inner, entropy, faults }
    }

    fn strikes(&self, permille: &AtomicU64) -> bool {
        let permille = permille.load(Ordering::Relaxed);
        permille > 0 && self.entropy.up_to(999) < permille
    }

    fn fault(&self, code: Code, message: &str) -> Error {
        self.faults.count.fetch_add(1, Ordering::Relaxed);
        Error::new(code, message)
    }

    /// Before a call: whether it arrives.
    fn arrives(&self) -> Result<()> {
        if self.faults.down.load(Ordering::Relaxed) || self.strikes(&self.faults.unsent_permille) {
            return Err(self.fault(Code::Unavailable, "the call did not arrive (on purpose)"));
        }
        Ok(())
    }

    /// After a call: whether its answer does.
    fn returns<A>(&self, answer: A) -> Result<A> {
        if self.strikes(&self.faults.lost_permille) {
            return Err(self.lost());
        }
        Ok(answer)
    }

    fn lost(&self) -> Error {
        self.fault(Code::UnknownOutcome, "the answer was lost (on purpose)")
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Queue for Faulty {
    async fn enqueue(&self, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        self.arrives()?;
        self.returns(self.inner.enqueue(tasks).await?)
    }

    async fn lease(&self, wants: Vec<Want>, wait: Duration) -> Result<Vec<Vec<Lease>>> {
        self.arrives()?;
        self.returns(self.inner.lease(wants, wait).await?)
    }

    async fn beat(&self, beats: Vec<Beat>) -> Result<Vec<BeatReply>> {
        self.arrives()?;
        if self.faults.no_beats.load(Ordering::Relaxed) {
            return Err(self.fault(Code::Unavailable, "the beat did not arrive (on purpose)"));
        }
        self.returns(self.inner.beat(beats).await?)
    }

    async fn watch(&self, worker: WorkerId, wait: Duration) -> Result<bool> {
        self.arrives()?;
        self.returns(self.inner.watch(worker, wait).await?)
    }

    async fn settle(&self, ends: Vec<Settlement>) -> Result<Vec<Settled>> {
        self.arrives()?;
        let answers = self.inner.settle(ends).await?;
        let fewer = |left: u64| left.checked_sub(1);
        let lose = &self.faults.lose_settled;
        if lose.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok() {
            return Err(self.lost());
        }
        self.returns(answers)
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
}
