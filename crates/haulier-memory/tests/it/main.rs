//! The contract, run for the store in memory.

use std::sync::Arc;
use std::time::Duration;

use haulier_conformance::Rig;
use haulier_conformance::prelude::Must;
use haulier_core::{Control, Inspect, Maintain, ManualClock, Queue};
use haulier_memory::MemoryStore;

/// The store in memory, called directly.
struct Memory {
    clock: ManualClock,
    store: MemoryStore,
}

impl Rig for Memory {
    async fn fresh() -> Self {
        let clock = ManualClock::new();
        let store = MemoryStore::new(Arc::new(clock.clone()));
        Self { clock, store }
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
        self.store.restart();
    }
}

haulier_conformance::suite!(Memory);
