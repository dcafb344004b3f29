//! The rig over the specification itself: what every other store is compared with, and what a rig
//! for a client puts behind its server.

use std::sync::Arc;
use std::time::Duration;

use haulier_core::{Control, Inspect, Maintain, ManualClock, Queue};
use haulier_memory::MemoryStore;

use crate::Rig;
use crate::prelude::Must;

/// A store in memory, called directly.
#[derive(Debug)]
pub struct MemoryRig {
    clock: ManualClock,
    store: MemoryStore,
}

impl Rig for MemoryRig {
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
