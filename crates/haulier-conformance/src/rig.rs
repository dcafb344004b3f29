//! What an implementation provides to be tested: a fresh store, its three public traits, and power
//! over its time and its restarts. How a store is swept, and where it keeps its data, is the rig's
//! secret.

use std::sync::Arc;
use std::time::Duration;

use haulier_core::{Capabilities, Control, Inspect, ManualClock, Queue};

/// One store under test, with everything around it (a server, a connection, a directory).
///
/// Dropping a rig stops what it started.
#[expect(async_fn_in_trait, reason = "cases run on the test's own thread and never send the rig")]
pub trait Rig: Sized + 'static {
    /// A rig over a new, empty store whose only time is a [`ManualClock`].
    async fn fresh() -> Self;

    /// The trait of producers and workers. Ask again after [`Rig::reopen`].
    fn queue(&self) -> Arc<dyn Queue>;

    /// The trait for looking. Ask again after [`Rig::reopen`].
    fn inspect(&self) -> Arc<dyn Inspect>;

    /// The trait for operators. Ask again after [`Rig::reopen`].
    fn control(&self) -> Arc<dyn Control>;

    /// The clock that the store reads. Cases read it and make its calendar jump; they move it by
    /// [`Rig::elapse`] only.
    fn clock(&self) -> ManualClock;

    /// Lets time pass: advances the clock once by `by`, then sweeps until a sweep finds nothing to
    /// do. Zero only sweeps.
    async fn elapse(&mut self, by: Duration);

    /// Ends the store's process cleanly and starts it again on what it kept. A store that keeps
    /// nothing does to its memory what a restart means: see `haulier_memory::MemoryStore::restart`.
    async fn reopen(&mut self);

    /// What the store can keep.
    fn capabilities(&self) -> Capabilities {
        self.queue().capabilities()
    }
}
