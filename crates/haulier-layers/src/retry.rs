//! Repeats enqueues, beats and settlements that failed for the moment, with the same ids and keys,
//! so that a repetition is harmless whether or not the first call took effect. Leases are never
//! repeated: those of a lost answer run out.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use haulier_core::{
    Backoff, Beat, BeatReply, Capabilities, Clock, Code, Enqueued, Entropy, Error, Lease, NewTask,
    Queue, Result, Settled, Settlement, Want, WorkerId,
};

/// Pauses between repetitions.
const BACKOFF: Backoff = Backoff {
    base: Duration::from_millis(50),
    max: Duration::from_secs(2),
    factor_permille: 2_000,
    jitter_permille: 500,
};

/// Repeats calls until they succeed, fail for good, or have taken too long.
#[derive(Debug, Clone)]
pub struct Retry {
    inner: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    within: Duration,
}

impl Retry {
    /// Repeats calls to `inner` for at most `within`, pauses included.
    pub fn new(
        inner: Arc<dyn Queue>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        within: Duration,
    ) -> Self {
        Self { inner, clock, entropy, within }
    }

    async fn repeat<A, F>(&self, call: impl Fn() -> F) -> Result<A>
    where
        F: Future<Output = Result<A>>,
    {
        let end = self.clock.monotonic().saturating_add(self.within);
        let mut applied = false;
        let mut attempt = 0;
        loop {
            let error = match call().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            applied |= error.may_have_applied();
            attempt += 1;
            let pause = BACKOFF.pause_with_jitter(attempt, &*self.entropy);
            let pause = pause.max(error.retry_delay().unwrap_or_default());
            let late = self.clock.monotonic().saturating_add(pause) >= end;
            if late || !worth_repeating(&error) {
                return Err(unsure(error, applied));
            }
            self.clock.sleep(pause).await;
        }
    }
}

/// A full queue or disk does not change within a call's patience; the caller should know.
fn worth_repeating(error: &Error) -> bool {
    error.is_retryable() && !matches!(error.code(), Code::QueueFull | Code::StorageFull)
}

/// The last error, unless an earlier one may have applied: then nobody knows.
fn unsure(error: Error, applied: bool) -> Error {
    if !applied || error.may_have_applied() {
        return error;
    }
    let message = format!("an earlier call may have taken effect; the last one failed: {error}");
    Error::new(Code::UnknownOutcome, message).caused_by(error)
}

// What is repeated is cloned for each call: payloads are shared, not copied.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Queue for Retry {
    async fn enqueue(&self, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        self.repeat(|| self.inner.enqueue(tasks.clone())).await
    }

    async fn lease(&self, wants: Vec<Want>, wait: Duration) -> Result<Vec<Vec<Lease>>> {
        self.inner.lease(wants, wait).await
    }

    async fn beat(&self, beats: Vec<Beat>) -> Result<Vec<BeatReply>> {
        self.repeat(|| self.inner.beat(beats.clone())).await
    }

    async fn watch(&self, worker: WorkerId, wait: Duration) -> Result<bool> {
        self.inner.watch(worker, wait).await
    }

    async fn settle(&self, ends: Vec<Settlement>) -> Result<Vec<Settled>> {
        self.repeat(|| self.inner.settle(ends.clone())).await
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
}
