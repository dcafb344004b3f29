//! Stores with a bug: the specification, with one method replaced.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use haulier_conformance::{MemoryRig, Rig};
use haulier_core::{
    Beat, BeatReply, Capabilities, Changed, Control, Directive, Enqueued, Filter, Include, Inspect,
    Lease, LeaseKey, ManualClock, NewTask, Page, PageRequest, Queue, QueueName, QueueSettings,
    QueueStats, Result, SettingsPatch, Settled, Settlement, TaskId, TaskView, Want, WorkerId,
    WorkerView,
};

/// What the bugs remember.
#[derive(Default)]
pub struct Memory {
    pub seen: BTreeSet<TaskId>,
    pub before_reopening: BTreeSet<TaskId>,
    pub settled: BTreeSet<LeaseKey>,
    pub leased: BTreeMap<LeaseKey, WorkerId>,
    pub losses: BTreeMap<TaskId, u32>,
    pub losses_before_reopening: BTreeMap<TaskId, u32>,
}

/// The specification's traits, within reach of a bug.
pub struct Inner {
    pub queue: Arc<dyn Queue>,
    pub inspect: Arc<dyn Inspect>,
    pub control: Arc<dyn Control>,
    memory: Mutex<Memory>,
}

impl Inner {
    pub fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A bug: the methods that it overrides are wrong, the others forward.
#[async_trait]
pub trait Bug: Send + Sync + 'static {
    async fn enqueue(inner: &Inner, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        inner.queue.enqueue(tasks).await
    }
    async fn lease(inner: &Inner, wants: Vec<Want>, wait: Duration) -> Result<Vec<Vec<Lease>>> {
        inner.queue.lease(wants, wait).await
    }
    async fn beat(inner: &Inner, beats: Vec<Beat>) -> Result<Vec<BeatReply>> {
        inner.queue.beat(beats).await
    }
    async fn settle(inner: &Inner, ends: Vec<Settlement>) -> Result<Vec<Settled>> {
        inner.queue.settle(ends).await
    }
    async fn cancel(inner: &Inner, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
        inner.control.cancel(ids).await
    }
    async fn get(
        inner: &Inner,
        ids: Vec<TaskId>,
        include: Include,
        wait: Duration,
    ) -> Result<Vec<Option<TaskView>>> {
        inner.inspect.get(ids, include, wait).await
    }
    async fn queues(inner: &Inner) -> Result<Vec<QueueStats>> {
        inner.inspect.queues().await
    }
    fn reopened(_: &Inner) {}
}

/// A store with a bug.
pub struct Buggy<B> {
    inner: Arc<Inner>,
    bug: PhantomData<B>,
}

impl<B> Clone for Buggy<B> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), bug: PhantomData }
    }
}

impl<B> fmt::Debug for Buggy<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Buggy")
    }
}

#[async_trait]
impl<B: Bug> Queue for Buggy<B> {
    async fn enqueue(&self, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        B::enqueue(&self.inner, tasks).await
    }
    async fn lease(&self, wants: Vec<Want>, wait: Duration) -> Result<Vec<Vec<Lease>>> {
        B::lease(&self.inner, wants, wait).await
    }
    async fn beat(&self, beats: Vec<Beat>) -> Result<Vec<BeatReply>> {
        B::beat(&self.inner, beats).await
    }
    async fn watch(&self, worker: WorkerId, wait: Duration) -> Result<bool> {
        self.inner.queue.watch(worker, wait).await
    }
    async fn settle(&self, ends: Vec<Settlement>) -> Result<Vec<Settled>> {
        B::settle(&self.inner, ends).await
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.queue.capabilities()
    }
}

#[async_trait]
impl<B: Bug> Inspect for Buggy<B> {
    async fn get(
        &self,
        ids: Vec<TaskId>,
        include: Include,
        wait: Duration,
    ) -> Result<Vec<Option<TaskView>>> {
        B::get(&self.inner, ids, include, wait).await
    }
    async fn list(&self, filter: Filter, page: PageRequest) -> Result<Page> {
        self.inner.inspect.list(filter, page).await
    }
    async fn queues(&self) -> Result<Vec<QueueStats>> {
        B::queues(&self.inner).await
    }
    async fn workers(&self) -> Result<Vec<WorkerView>> {
        self.inner.inspect.workers().await
    }
}

#[async_trait]
impl<B: Bug> Control for Buggy<B> {
    async fn cancel(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
        B::cancel(&self.inner, ids).await
    }
    async fn rerun(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
        self.inner.control.rerun(ids).await
    }
    async fn delete(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
        self.inner.control.delete(ids).await
    }
    async fn configure(&self, queue: QueueName, patch: SettingsPatch) -> Result<QueueSettings> {
        self.inner.control.configure(queue, patch).await
    }
    async fn direct(&self, workers: Vec<WorkerId>, directive: Directive) -> Result<Vec<bool>> {
        self.inner.control.direct(workers, directive).await
    }
}

/// A rig over a store with a bug.
pub struct BuggyRig<B> {
    rig: MemoryRig,
    store: Buggy<B>,
}

impl<B: Bug> Rig for BuggyRig<B> {
    async fn fresh() -> Self {
        let rig = MemoryRig::fresh().await;
        let inner = Inner {
            queue: rig.queue(),
            inspect: rig.inspect(),
            control: rig.control(),
            memory: Mutex::default(),
        };
        Self { rig, store: Buggy { inner: Arc::new(inner), bug: PhantomData } }
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
        self.rig.clock()
    }
    async fn elapse(&mut self, by: Duration) {
        self.rig.elapse(by).await;
    }
    async fn reopen(&mut self) {
        self.rig.reopen().await;
        B::reopened(&self.store.inner);
    }
}
