//! What lies between a node and the store: time, and faults. A request or an answer may be late or
//! lost, either way may be cut, and the store may go down while a call is out.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use haulier_core::{
    Beat, BeatReply, Capabilities, Changed, Clock, Code, Control, Directive, Enqueued, Error,
    Filter, Include, Inspect, Lease, ManualClock, NewTask, Page, PageRequest, Queue, QueueName,
    QueueSettings, QueueStats, Result, SettingsPatch, Settled, Settlement, Store, TaskId, TaskView,
    Want, WorkerId, WorkerView,
};
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

use super::dice::Dice;
use super::time::Gate;

/// The store as nodes reach it: there, or down. Each time that it comes up it is another one.
#[derive(Debug, Clone, Default)]
pub struct Port(Arc<Mooring>);

#[derive(Debug, Default)]
struct Mooring {
    store: Mutex<Option<Arc<dyn Store>>>,
    changed: Notify,
}

impl Port {
    /// Brings a store up, or takes it away: calls that are out are never answered.
    pub fn set(&self, store: Option<Arc<dyn Store>>) {
        *self.0.store.lock().unwrap_or_else(PoisonError::into_inner) = store;
        self.0.changed.notify_waiters();
    }

    /// The store, if it is up.
    pub fn store(&self) -> Option<Arc<dyn Store>> {
        self.0.store.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The ways of one node.
#[derive(Debug, Default)]
pub struct Ways {
    /// Nothing gets to the store.
    pub cut_out: AtomicBool,
    /// Nothing comes back.
    pub cut_in: AtomicBool,
    /// Everything takes up to so many milliseconds longer.
    pub slow_ms: AtomicU64,
    /// So many requests of a thousand are lost.
    pub lost_out: AtomicU64,
    /// So many answers of a thousand are lost.
    pub lost_in: AtomicU64,
}

/// A node's way to the store.
#[derive(Debug, Clone)]
pub struct Net {
    clock: ManualClock,
    gate: Gate,
    port: Port,
    ways: Arc<Ways>,
    dice: Arc<Dice>,
    /// Under which id the store knows the node's worker. The worker's own has the number of this
    /// process in it, and a seed must not depend on that.
    worker: Option<WorkerId>,
}

/// How long a node waits for an answer beyond what the call may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// What chance has in store for one call.
#[expect(clippy::struct_excessive_bools, reason = "each is a throw of its own")]
struct Fate {
    there: Duration,
    back: Duration,
    lost_out: bool,
    lost_in: bool,
    /// The store hears when the caller hangs up.
    heard: bool,
    /// The caller does not hear when something is lost.
    silent: bool,
}

/// Hangs up.
struct HangUp(Option<AbortHandle>);

impl Drop for HangUp {
    fn drop(&mut self) {
        if let Some(call) = &self.0 {
            call.abort();
        }
    }
}

impl Net {
    /// The way of a node with this gate.
    pub fn new(clock: ManualClock, gate: Gate, port: Port, dice: Dice) -> Self {
        let (ways, dice) = (Arc::default(), Arc::new(dice));
        Self { clock, gate, port, ways, dice, worker: None }
    }

    /// The way of the node's next worker.
    #[must_use]
    pub fn of_worker(&self, worker: WorkerId) -> Self {
        Self { worker: Some(worker), ..self.clone() }
    }

    /// What can be broken.
    pub fn ways(&self) -> &Ways {
        &self.ways
    }

    fn fate(&self) -> Fate {
        let ways = &self.ways;
        let slow = ways.slow_ms.load(Ordering::Relaxed);
        let (there, back) = (self.dice.span(0, 2 + slow), self.dice.span(0, 2 + slow));
        Fate {
            there,
            back,
            lost_out: self.dice.permille(ways.lost_out.load(Ordering::Relaxed)),
            lost_in: self.dice.permille(ways.lost_in.load(Ordering::Relaxed)),
            heard: self.dice.permille(700),
            silent: self.dice.permille(500),
        }
    }

    /// Carries a call to the store and its answer back.
    async fn call<T, F>(
        &self,
        wait: Duration,
        run: impl FnOnce(Arc<dyn Store>) -> F + Send + 'static,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        self.gate.pass().await;
        let fate = self.fate();
        let heard = fate.heard;
        let (tell, told) = oneshot::channel();
        let net = self.clone();
        let carried = tokio::spawn(async move {
            let answer = net.carry(&fate, run).await;
            if let Some(answer) = answer {
                net.clock.sleep(fate.back).await;
                if net.ways.cut_in.load(Ordering::Relaxed) {
                    return net.lose(&fate).await;
                }
                // Nobody may wait for it any more.
                let _heard = tell.send(answer).is_ok();
            }
        });
        let _hang_up = HangUp(heard.then(|| carried.abort_handle()));
        let answer = tokio::select! {
            biased;
            answer = told => answer.ok(),
            () = self.clock.sleep(wait + PATIENCE) => None,
        };
        let answer = match answer {
            Some(answer) => answer,
            None => Err(Error::new(Code::UnknownOutcome, "no answer came")),
        };
        self.gate.pass().await;
        answer
    }

    /// To the store, and what it answers; nothing if nobody will ever hear of it.
    async fn carry<T, F>(
        &self,
        fate: &Fate,
        run: impl FnOnce(Arc<dyn Store>) -> F,
    ) -> Option<Result<T>>
    where
        F: Future<Output = Result<T>>,
    {
        self.clock.sleep(fate.there).await;
        if fate.lost_out || self.ways.cut_out.load(Ordering::Relaxed) {
            return self.lose(fate).await;
        }
        let changed = self.port.0.changed.notified();
        let Some(store) = self.port.store() else {
            return Some(Err(Error::new(Code::Unavailable, "the store is down")));
        };
        let answer = tokio::select! {
            biased;
            () = changed => Err(Error::new(Code::UnknownOutcome, "the store went down")),
            answer = run(store) => answer,
        };
        if fate.lost_in { self.lose(fate).await } else { Some(answer) }
    }

    /// Nothing comes of it: whoever asked hears of that at once, or waits in vain.
    async fn lose<T: Default>(&self, fate: &Fate) -> T {
        if fate.silent {
            return std::future::pending().await;
        }
        self.clock.sleep(fate.back).await;
        T::default()
    }

    /// The id that the store knows.
    fn name(&self, own: WorkerId) -> WorkerId {
        self.worker.clone().unwrap_or(own)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Queue for Net {
    async fn enqueue(&self, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        self.call(Duration::ZERO, |store| async move { store.enqueue(tasks).await }).await
    }

    async fn lease(&self, mut wants: Vec<Want>, wait: Duration) -> Result<Vec<Vec<Lease>>> {
        for want in &mut wants {
            want.worker = self.name(want.worker.clone());
        }
        self.call(wait, move |store| async move { store.lease(wants, wait).await }).await
    }

    async fn beat(&self, mut beats: Vec<Beat>) -> Result<Vec<BeatReply>> {
        for beat in &mut beats {
            beat.worker = self.name(beat.worker.clone());
        }
        self.call(Duration::ZERO, |store| async move { store.beat(beats).await }).await
    }

    async fn watch(&self, worker: WorkerId, wait: Duration) -> Result<bool> {
        let worker = self.name(worker);
        self.call(wait, move |store| async move { store.watch(worker, wait).await }).await
    }

    async fn settle(&self, ends: Vec<Settlement>) -> Result<Vec<Settled>> {
        self.call(Duration::ZERO, |store| async move { store.settle(ends).await }).await
    }

    fn capabilities(&self) -> Capabilities {
        // Read once, at the start, of a store that is up.
        self.port.store().map_or_else(none, |store| store.capabilities())
    }
}

fn none() -> Capabilities {
    haulier_memory::MemoryStore::new(Arc::new(ManualClock::new())).capabilities()
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Control for Net {
    async fn cancel(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
        self.call(Duration::ZERO, |store| async move { store.cancel(ids).await }).await
    }

    async fn rerun(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
        self.call(Duration::ZERO, |store| async move { store.rerun(ids).await }).await
    }

    async fn delete(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
        self.call(Duration::ZERO, |store| async move { store.delete(ids).await }).await
    }

    async fn configure(&self, queue: QueueName, patch: SettingsPatch) -> Result<QueueSettings> {
        self.call(Duration::ZERO, |store| async move { store.configure(queue, patch).await }).await
    }

    async fn direct(&self, workers: Vec<WorkerId>, directive: Directive) -> Result<Vec<bool>> {
        self.call(
            Duration::ZERO,
            move |store| async move { store.direct(workers, directive).await },
        )
        .await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Inspect for Net {
    async fn get(
        &self,
        ids: Vec<TaskId>,
        include: Include,
        wait: Duration,
    ) -> Result<Vec<Option<TaskView>>> {
        self.call(wait, move |store| async move { store.get(ids, include, wait).await }).await
    }

    async fn list(&self, filter: Filter, page: PageRequest) -> Result<Page> {
        self.call(Duration::ZERO, |store| async move { store.list(filter, page).await }).await
    }

    async fn queues(&self) -> Result<Vec<QueueStats>> {
        self.call(Duration::ZERO, |store| async move { store.queues().await }).await
    }

    async fn workers(&self) -> Result<Vec<WorkerView>> {
        self.call(Duration::ZERO, |store| async move { store.workers().await }).await
    }
}
