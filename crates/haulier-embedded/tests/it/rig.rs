//! The embedded store as a rig: on a directory of its own, with small segments, so that every run
//! rolls, cleans and reads from the disk.

use std::sync::Arc;
use std::time::Duration;

use haulier_conformance::Rig;
use haulier_conformance::prelude::Must;
use haulier_core::{
    Control, Inspect, Lease, Maintain, ManualClock, Outcome, Queue, QueueName, Settled, Settlement,
    Want, WorkerId,
};
use haulier_embedded::{EmbeddedStore, Options};
use tempfile::TempDir;

/// Options for tests: segments that are soon full, and a cache that soon is, too.
pub fn small(clock: &ManualClock) -> Options {
    let mut options = Options::new(Arc::new(clock.clone()));
    options.segment_bytes = 64 * 1024;
    options.cache_bytes_max = 2 * 1024;
    options
}

/// Leases tasks of the default queue.
pub async fn take(store: &EmbeddedStore, max: u32) -> Vec<Lease> {
    let want = Want::new(WorkerId::new("w").must(), QueueName::default(), max);
    store.lease(vec![want], Duration::ZERO).await.must().remove(0)
}

/// Completes a task.
pub async fn complete(store: &EmbeddedStore, lease: &Lease) -> Settled {
    let outcome = Outcome::Complete { result: None };
    let settled = store.settle(vec![Settlement { key: lease.key, outcome }]).await;
    settled.must().remove(0)
}

/// A store on a directory.
pub struct PlainRig {
    clock: ManualClock,
    directory: TempDir,
    store: EmbeddedStore,
}

impl Rig for PlainRig {
    async fn fresh() -> Self {
        let clock = ManualClock::new();
        let directory = TempDir::new().must();
        let store = EmbeddedStore::open(directory.path(), small(&clock)).must();
        Self { clock, directory, store }
    }

    fn queue(&self) -> Arc<dyn Queue> {
        Arc::new(self.store.clone())
    }

    fn inspect(&self) -> Arc<dyn Inspect> {
        Arc::new(self.store.clone())
    }

    fn control(&self) -> Arc<dyn Control> {
        Arc::new(self.store.clone())
    }

    fn clock(&self) -> ManualClock {
        self.clock.clone()
    }

    async fn elapse(&mut self, by: Duration) {
        self.clock.advance(by);
        while self.store.sweep(1_000).await.must().next.is_zero() {}
    }

    async fn reopen(&mut self) {
        self.store.close().await.must();
        self.store = EmbeddedStore::open(self.directory.path(), small(&self.clock)).must();
    }
}
