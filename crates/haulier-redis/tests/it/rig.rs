//! The store as a rig. It lives by the test's clock: every script is given the time.

use std::sync::Arc;
use std::time::Duration;

use haulier_conformance::Rig;
use haulier_conformance::prelude::Must;
use haulier_core::{Control, Inspect, Maintain, ManualClock, Queue};
use haulier_redis::{Options, RedisStore};

use crate::redis_server as server;

/// A store with a prefix of its own.
pub struct RedisRig {
    clock: ManualClock,
    options: Options,
    store: RedisStore,
}

impl Rig for RedisRig {
    async fn fresh() -> Self {
        Self::on(server::options().await).await
    }

    fn queue(&self) -> Arc<dyn Queue> {
        Arc::new(self.store())
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
        self.store = RedisStore::open(self.options.clone()).await.must();
    }
}

impl RedisRig {
    /// A store that is somewhere else.
    pub async fn on(mut options: Options) -> Self {
        let clock = ManualClock::new();
        options.clock = Arc::new(clock.clone());
        options.time = Some(Arc::new(clock.clone()));
        let store = RedisStore::open(options.clone()).await.must();
        Self { clock, options, store }
    }

    /// The store itself.
    pub fn store(&self) -> RedisStore {
        self.store.clone()
    }
}
