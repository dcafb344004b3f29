//! What a handler can ask about its attempt, and tell while it runs. Everything that an attempt is
//! made of hangs on [`Ctx`]: layers and extractors see the same one.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use haulier_core::{
    Cause, Checkpoint, Clock, Epoch, Failure, Lease, LeaseKey, Pairs, Payload, Progress, Task,
    TaskId, lease,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::SetOnce;

use crate::error::TaskError;
use crate::held::Held;
use crate::lock::{Lock, lock};
use crate::states::States;

/// One attempt, as its handler sees it. Cloning it is cheap.
#[derive(Clone)]
pub struct Ctx(Arc<Attempt>);

struct Attempt {
    lease: Lease,
    states: Arc<States>,
    clock: Arc<dyn Clock>,
    /// Where progress and checkpoints go; none if nobody keeps them.
    held: Option<Arc<Held>>,
    /// When the attempt has run as long as its policy allows.
    timeout_at: Duration,
    /// Steps that are done, by earlier attempts and by this one.
    steps: Lock<Vec<Checkpoint>>,
    stop: SetOnce<Why>,
    abort: SetOnce<()>,
    listens: AtomicBool,
}

/// Why a handler shall stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// Its task was cancelled.
    Cancel,
    /// It has run longer than the task's timeout.
    Timeout,
    /// Its lease is no longer its own: nothing that it returns counts.
    Lost,
    /// The worker ends.
    Drain,
}

impl Ctx {
    pub(crate) fn new(
        lease: Lease,
        states: Arc<States>,
        clock: Arc<dyn Clock>,
        held: Option<Arc<Held>>,
    ) -> Self {
        Self(Arc::new(Attempt {
            timeout_at: clock.monotonic().saturating_add(lease.task.policy.timeout),
            steps: Lock::new(lease.checkpoints.clone()),
            lease,
            states,
            clock,
            held,
            stop: SetOnce::new(),
            abort: SetOnce::new(),
            listens: AtomicBool::new(false),
        }))
    }

    /// An attempt that no worker keeps, for trying a handler alone: progress goes nowhere, and
    /// steps are remembered only as long as this lives.
    pub fn detached(lease: Lease, states: States, clock: Arc<dyn Clock>) -> Self {
        Self::new(lease, Arc::new(states), clock, None)
    }

    /// The task.
    pub fn task(&self) -> &Task {
        &self.0.lease.task
    }

    /// The task's id: the same at every attempt, so that a sink can tell a repetition.
    pub fn id(&self) -> TaskId {
        self.task().id
    }

    /// The task's bytes.
    pub fn payload(&self) -> &Payload {
        &self.task().payload
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.0.lease.attempt
    }

    /// Leases of this task that ran out so far.
    pub fn losses(&self) -> u32 {
        self.0.lease.losses
    }

    /// The fence: larger at every delivery. A sink that refuses smaller ones is never overwritten
    /// by a worker that was superseded.
    pub fn epoch(&self) -> Epoch {
        self.key().epoch
    }

    /// Task and epoch together.
    pub fn key(&self) -> LeaseKey {
        self.0.lease.key
    }

    /// What the producer sent along.
    pub fn headers(&self) -> &Pairs {
        &self.task().headers
    }

    /// How long the attempt may still run before its timeout.
    pub fn deadline(&self) -> Duration {
        self.0.timeout_at.saturating_sub(self.0.clock.monotonic())
    }

    /// The worker's source of time: what sleeps on it can be tested without waiting.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// The shared value of a type, if the worker was given one.
    pub fn state<S: Clone + Send + Sync + 'static>(&self) -> Option<&S> {
        self.0.states.get()
    }

    /// Is ready when the handler shall stop: its task was cancelled, its timeout has passed, its
    /// lease was lost, or the worker ends. Whoever has asked gets ten seconds less a margin to end
    /// by itself (none if the lease was lost); a handler that never asked is dropped at once.
    pub async fn cancelled(&self) {
        self.0.listens.store(true, Ordering::Relaxed);
        self.0.stop.wait().await;
    }

    /// Whether the handler shall stop; for handlers that look now and then.
    pub fn is_cancelled(&self) -> bool {
        self.0.listens.store(true, Ordering::Relaxed);
        self.0.stop.get().is_some()
    }

    /// Tells how far the handler has come: `fraction` from 0 to 1, and a note for people. It is
    /// sent with the worker's next sign of life, at most one a second.
    ///
    /// # Errors
    /// If the handler shall stop, so that `?` ends it.
    #[expect(clippy::unused_async, reason = "may have to wait once progress is limited")]
    pub async fn progress(&self, fraction: f64, note: &str) -> Result<(), TaskError> {
        self.go_on()?;
        let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
        if let Some(held) = &self.0.held {
            held.tell(self.key(), Progress { fraction, note: lease::cut(note) });
        }
        Ok(())
    }

    /// Runs a step once, however often the task is delivered: what it returned is kept with the
    /// task before this goes on, and the next delivery gets it without running the step. A step
    /// that was interrupted before that may run again.
    ///
    /// # Errors
    /// The step's own; if its value does not become JSON or exceeds the limits of checkpoints; or
    /// if the handler shall stop.
    pub async fn step<V, E, F>(&self, name: &str, step: F) -> Result<V, TaskError>
    where
        V: Serialize + DeserializeOwned,
        E: Into<TaskError>,
        F: Future<Output = Result<V, E>>,
    {
        if let Some(value) = self.done(name) {
            return serde_json::from_slice(&value).map_err(|error| {
                TaskError::decode(&format!(
                    "the checkpoint of step {name:?} cannot be read: {error}"
                ))
            });
        }
        self.go_on()?;
        let value = step.await.map_err(Into::into)?;
        let bytes = serde_json::to_vec(&value)?;
        self.save(Checkpoint { name: name.into(), value: bytes.into() }).await?;
        Ok(value)
    }

    fn done(&self, name: &str) -> Option<bytes::Bytes> {
        let steps = lock(&self.0.steps);
        steps.iter().find(|step| &*step.name == name).map(|step| step.value.clone())
    }

    async fn save(&self, checkpoint: Checkpoint) -> Result<(), TaskError> {
        {
            let mut steps = lock(&self.0.steps);
            steps.push(checkpoint.clone());
            if let Err(refusal) = lease::check_checkpoints(steps.iter()) {
                steps.pop();
                return Err(TaskError::failed(Failure::new(Cause::Error, &refusal.message)));
            }
        }
        let Some(held) = &self.0.held else { return Ok(()) };
        if held.save(self.key(), checkpoint).await {
            return Ok(());
        }
        Err(TaskError::fail("the lease was lost before the step was saved"))
    }

    fn go_on(&self) -> Result<(), TaskError> {
        match self.0.stop.get() {
            Some(_) => Err(TaskError::cancelled()),
            None => Ok(()),
        }
    }

    pub(crate) fn timeout_at(&self) -> Duration {
        self.0.timeout_at
    }

    /// Why the handler shall stop, if it shall. The first reason stays, but a lost lease is the
    /// last word and is kept apart by [`Held`].
    pub(crate) fn why(&self) -> Option<Why> {
        self.0.stop.get().copied()
    }

    /// Asks the handler to stop.
    pub(crate) fn stop(&self, why: Why) {
        // Asking twice is harmless: the first reason stands.
        let _first = self.0.stop.set(why).is_ok();
    }

    /// Whether the handler has ever asked whether it shall stop.
    pub(crate) fn listens(&self) -> bool {
        self.0.listens.load(Ordering::Relaxed)
    }

    /// Drops the handler where it stands.
    pub(crate) fn abort(&self) {
        let _first = self.0.abort.set(()).is_ok();
    }

    pub(crate) async fn aborted(&self) {
        self.0.abort.wait().await;
    }
}

impl fmt::Debug for Ctx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Task { id, kind, queue, .. } = self.task();
        write!(f, "Ctx({id}, {kind} of {queue}, attempt {})", self.attempt())
    }
}
