//! The store as a rig. The database's own clock is replaced by one that stands in a table; whatever
//! the test's clock shows is written there before anything else is asked.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use haulier_conformance::Rig;
use haulier_conformance::prelude::Must;
use haulier_core::{
    Beat, BeatReply, Capabilities, Changed, Clock, Control, Directive, Enqueued, Filter, Include,
    Inspect, Lease, Maintain, ManualClock, NewTask, Page, PageRequest, Queue, QueueName,
    QueueSettings, QueueStats, Result, SettingsPatch, Settled, Settlement, Swept, TaskId, TaskView,
    Timestamp, Want, WorkerId, WorkerView,
};
use haulier_postgres::{Options, PgStore, migrate};
use tokio_postgres::{Client, NoTls};

use crate::server;

/// Many rigs share one server, which then takes its time.
pub const ROOMY: &str = "&pool=6&connect_timeout=60";

/// A store in a schema of its own.
pub struct PgRig {
    clock: ManualClock,
    options: Options,
    hand: Arc<Hand>,
    store: PgStore,
}

/// Sets the database's clock.
#[derive(Debug)]
pub struct Hand {
    client: Client,
    schema: String,
    clock: ManualClock,
    shown: Mutex<Timestamp>,
}

impl Hand {
    /// Replaces the clock of a schema.
    pub async fn take(options: &Options, clock: &ManualClock) -> Arc<Self> {
        let url = server::shared().await.url();
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.must();
        tokio::spawn(connection);
        let (schema, shown) = (options.schema.clone(), clock.wall());
        let text = format!(
            "CREATE TABLE {schema}.test_clock (at bigint);
             INSERT INTO {schema}.test_clock VALUES ({});
             CREATE OR REPLACE FUNCTION {schema}.clock() RETURNS bigint LANGUAGE sql VOLATILE
                 AS $$ SELECT at FROM {schema}.test_clock $$;",
            shown.0,
        );
        client.batch_execute(&text).await.must();
        Arc::new(Self { client, schema, clock: clock.clone(), shown: Mutex::new(shown) })
    }

    /// Time goes on, and somebody sweeps all the while.
    pub async fn pass(&self, by: Duration) {
        self.set(by).await;
        let text = format!(
            "UPDATE {0}.meta SET leases_at = leases_at + {1},
                 wall = greatest(wall + {1} / 2, {0}.clock())",
            self.schema,
            by.as_millis(),
        );
        self.client.batch_execute(&text).await.must();
    }

    /// What the test's clock will show after this long is what the database's shows from now on.
    pub async fn set(&self, ahead: Duration) {
        let wall = self.clock.wall().after(ahead);
        if *self.shown.lock().unwrap_or_else(PoisonError::into_inner) == wall {
            return;
        }
        let text = format!("UPDATE {}.test_clock SET at = {}", self.schema, wall.0);
        self.client.batch_execute(&text).await.must();
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = wall;
    }
}

impl Rig for PgRig {
    async fn fresh() -> Self {
        Self::over(server::options(ROOMY).await).await
    }

    fn queue(&self) -> Arc<dyn Queue> {
        self.synced(self.store())
    }

    fn inspect(&self) -> Arc<dyn Inspect> {
        self.synced(self.store())
    }

    fn control(&self) -> Arc<dyn Control> {
        self.synced(self.store())
    }

    fn clock(&self) -> ManualClock {
        self.clock.clone()
    }

    async fn elapse(&mut self, by: Duration) {
        self.hand.pass(by).await;
        self.clock.advance(by);
        while self.store.sweep(1_000).await.must().next.is_zero() {}
    }

    async fn reopen(&mut self) {
        self.hand.set(Duration::ZERO).await;
        self.store.close().await.must();
        self.store = PgStore::open(self.options.clone()).await.must();
    }
}

impl PgRig {
    /// A rig over these tables, which are not there yet.
    pub async fn over(mut options: Options) -> Self {
        let clock = ManualClock::new();
        options.clock = Arc::new(clock.clone());
        migrate::up(&options).await.must();
        let hand = Hand::take(&options, &clock).await;
        let store = PgStore::open(options.clone()).await.must();
        Self { clock, options, hand, store }
    }

    /// The store itself.
    pub fn store(&self) -> PgStore {
        self.store.clone()
    }

    /// Something that leads to the store; before each call the database's clock is set.
    pub fn synced<S>(&self, inner: S) -> Arc<Synced<S>> {
        Arc::new(Synced { inner, hand: Arc::clone(&self.hand) })
    }
}

/// Whatever leads to the store, with the database's clock set before each call.
#[derive(Debug)]
pub struct Synced<S> {
    inner: S,
    hand: Arc<Hand>,
}

impl<S> Synced<S> {
    async fn now(&self) -> &S {
        self.hand.set(Duration::ZERO).await;
        &self.inner
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Queue> Queue for Synced<S> {
    async fn enqueue(&self, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        self.now().await.enqueue(tasks).await
    }
    async fn lease(&self, wants: Vec<Want>, wait: Duration) -> Result<Vec<Vec<Lease>>> {
        self.now().await.lease(wants, wait).await
    }
    async fn beat(&self, beats: Vec<Beat>) -> Result<Vec<BeatReply>> {
        self.now().await.beat(beats).await
    }
    async fn watch(&self, worker: WorkerId, wait: Duration) -> Result<bool> {
        self.now().await.watch(worker, wait).await
    }
    async fn settle(&self, ends: Vec<Settlement>) -> Result<Vec<Settled>> {
        self.now().await.settle(ends).await
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Inspect> Inspect for Synced<S> {
    async fn get(
        &self,
        ids: Vec<TaskId>,
        include: Include,
        wait: Duration,
    ) -> Result<Vec<Option<TaskView>>> {
        self.now().await.get(ids, include, wait).await
    }
    async fn list(&self, filter: Filter, page: PageRequest) -> Result<Page> {
        self.now().await.list(filter, page).await
    }
    async fn queues(&self) -> Result<Vec<QueueStats>> {
        self.now().await.queues().await
    }
    async fn workers(&self) -> Result<Vec<WorkerView>> {
        self.now().await.workers().await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Control> Control for Synced<S> {
    async fn cancel(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
        self.now().await.cancel(ids).await
    }
    async fn rerun(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
        self.now().await.rerun(ids).await
    }
    async fn delete(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
        self.now().await.delete(ids).await
    }
    async fn configure(&self, queue: QueueName, patch: SettingsPatch) -> Result<QueueSettings> {
        self.now().await.configure(queue, patch).await
    }
    async fn direct(&self, workers: Vec<WorkerId>, directive: Directive) -> Result<Vec<bool>> {
        self.now().await.direct(workers, directive).await
    }
}

/// Sweeps are the rig's. A server that swept by itself while the time leaps would take the leap for
/// a database that did not answer, and give leases their time back.
#[async_trait]
impl<S: std::fmt::Debug + Send + Sync + 'static> Maintain for Synced<S> {
    async fn sweep(&self, _budget: usize) -> Result<Swept> {
        Ok(Swept { next: haulier_core::limits::WORKER_FORGOTTEN_AFTER, ..Swept::default() })
    }
}
