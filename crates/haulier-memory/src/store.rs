//! [`MemoryStore`] and its traits: each method checks the size of the call, locks, and lets the
//! state answer item by item.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use haulier_core::{
    Beat, BeatReply, Capabilities, Changed, Clock, Code, Control, Directive, Durability, Enqueued,
    Error, Filter, Include, Inspect, Lease, Maintain, NewTask, Page, PageRequest, Queue, QueueName,
    QueueSettings, QueueStats, Result, SettingsPatch, Settled, Settlement, Swept, TaskId, TaskView,
    Want, WorkerId, WorkerView, limits,
};

use crate::lease::Waiter;
use crate::state::State;
use crate::waiting::Shared;

/// A store in memory: everything that Haulier's traits promise but durability. Cloning shares it.
///
/// ```
/// use std::sync::Arc;
/// use haulier_core::{Queue, SystemClock};
/// let store = haulier_memory::MemoryStore::new(Arc::new(SystemClock::new()));
/// assert_eq!(store.capabilities().store, "memory");
/// ```
#[derive(Debug, Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
    payload_bytes_max: usize,
}

impl MemoryStore {
    /// An empty store that lives by this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let payload_bytes_max = limits::PAYLOAD_BYTES_DEFAULT;
        let state = State::new(payload_bytes_max);
        Self { shared: Arc::new(Shared::new(clock, state)), payload_bytes_max }
    }

    /// Accepts payloads and results up to this size, at most [`limits::PAYLOAD_BYTES_MAX`].
    #[must_use]
    pub fn with_payload_bytes_max(mut self, bytes: usize) -> Self {
        self.payload_bytes_max = bytes.min(limits::PAYLOAD_BYTES_MAX);
        self.shared.act(|state, _| state.payload_bytes_max = self.payload_bytes_max);
        self
    }

    /// Knows at most so many queues; [`limits::QUEUES_MAX`] if this is not called.
    #[must_use]
    pub fn with_queues_max(self, most: usize) -> Self {
        self.shared.act(|state, _| state.queues_max = most);
        self
    }

    /// Does to the store what a restart of its process does to one that keeps its tasks. The
    /// generation rises, so every later epoch is larger than every earlier one (I2); running leases
    /// last their full ttl again, never less than was promised; what is kept in memory only
    /// (workers, their directives, whose turn it is, the counts since the start) begins anew.
    pub fn restart(&self) {
        self.shared.act(State::restart);
    }
}

/// A call may carry so much and no more.
fn check_items(what: &str, count: usize) -> Result<()> {
    if count <= limits::ITEMS_MAX {
        return Ok(());
    }
    let message =
        format!("{count} {what} in one call; at most {} are allowed: split it", limits::ITEMS_MAX);
    Err(Error::new(Code::TooLarge, message))
}

/// A waiting `lease`. If its future is dropped, what was claimed for it is given back at once.
struct Waiting<'a> {
    shared: &'a Shared,
    ticket: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.act(|state, now| state.stop_waiting(self.ticket, now));
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Queue for MemoryStore {
    async fn enqueue(&self, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        check_items("tasks", tasks.len())?;
        Ok(self
            .shared
            .act(|state, now| tasks.into_iter().map(|task| state.enqueue(task, now)).collect()))
    }

    async fn lease(&self, wants: Vec<Want>, wait: Duration) -> Result<Vec<Vec<Lease>>> {
        check_items("wants", wants.len())?;
        wants.iter().try_for_each(Want::check)?;
        let nothing = vec![Vec::new(); wants.len()];
        let ticket = self.shared.ticket();
        // In one step, and in one poll: either what is ready is claimed and returned, so that no
        // dropped future can come between, or the call stands among those who wait.
        let got = self.shared.act(|state, now| {
            for want in &wants {
                state.workers.heard(&want.worker, now);
            }
            let got = state.share(&wants, now);
            if wait.is_zero() || wants.is_empty() || got.iter().any(|leases| !leases.is_empty()) {
                return Some(got);
            }
            state.waiters.insert(ticket, Waiter { wants, granted: None });
            None
        });
        if let Some(got) = got {
            return Ok(got);
        }
        let _waiting = Waiting { shared: &self.shared, ticket };
        // Taken out of the waiter and returned in one poll, too; until then the waiter owns it.
        let granted = self.shared.until(wait.min(limits::WAIT_MAX), |state, _| {
            let granted = state.waiters.get_mut(&ticket)?.granted.take()?;
            state.waiters.remove(&ticket);
            Some(granted)
        });
        Ok(granted.await.unwrap_or(nothing))
    }

    async fn beat(&self, beats: Vec<Beat>) -> Result<Vec<BeatReply>> {
        check_items("beats", beats.len())?;
        check_items("leases", beats.iter().map(|beat| beat.leases.len()).sum())?;
        self.shared.act(|state, now| state.beat(beats, now))
    }

    async fn watch(&self, worker: WorkerId, wait: Duration) -> Result<bool> {
        let wait = wait.min(limits::WAIT_MAX);
        let news =
            self.shared.until(wait, |state, _| state.workers.take_news(&worker).then_some(()));
        Ok(news.await.is_some())
    }

    async fn settle(&self, ends: Vec<Settlement>) -> Result<Vec<Settled>> {
        check_items("settlements", ends.len())?;
        Ok(self
            .shared
            .act(|state, now| ends.into_iter().map(|end| state.settle(end, now)).collect()))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            payload_bytes_max: self.payload_bytes_max,
            ..Capabilities::full("memory", Durability::D0)
        }
    }
}

#[async_trait]
impl Inspect for MemoryStore {
    async fn get(
        &self,
        ids: Vec<TaskId>,
        include: Include,
        wait: Duration,
    ) -> Result<Vec<Option<TaskView>>> {
        check_items("ids", ids.len())?;
        if !wait.is_zero() {
            let wait = wait.min(limits::WAIT_MAX);
            self.shared.until(wait, |state, _| state.are_final(&ids).then_some(())).await;
        }
        Ok(self.shared.look(|state, now| state.get(&ids, include, now)))
    }

    async fn list(&self, filter: Filter, page: PageRequest) -> Result<Page> {
        self.shared.look(|state, now| state.list(&filter, &page, now))
    }

    async fn queues(&self) -> Result<Vec<QueueStats>> {
        Ok(self.shared.look(|state, now| state.queues(now)))
    }

    async fn workers(&self) -> Result<Vec<WorkerView>> {
        Ok(self.shared.look(State::worker_views))
    }
}

#[async_trait]
impl Control for MemoryStore {
    async fn cancel(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
        check_items("ids", ids.len())?;
        Ok(self.shared.act(|state, now| ids.into_iter().map(|id| state.cancel(id, now)).collect()))
    }

    async fn rerun(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
        check_items("ids", ids.len())?;
        Ok(self.shared.act(|state, now| ids.into_iter().map(|id| state.rerun(id, now)).collect()))
    }

    async fn delete(&self, ids: Vec<TaskId>) -> Result<Vec<Changed>> {
        check_items("ids", ids.len())?;
        Ok(self.shared.act(|state, now| ids.into_iter().map(|id| state.delete(id, now)).collect()))
    }

    async fn configure(&self, queue: QueueName, patch: SettingsPatch) -> Result<QueueSettings> {
        self.shared.act(|state, _| state.configure(&queue, &patch))
    }

    async fn direct(&self, workers: Vec<WorkerId>, directive: Directive) -> Result<Vec<bool>> {
        check_items("workers", workers.len())?;
        Ok(self.shared.act(|state, now| {
            state.forget_silent(now);
            workers.iter().map(|worker| state.workers.direct(worker, directive)).collect()
        }))
    }
}

#[async_trait]
impl Maintain for MemoryStore {
    async fn sweep(&self, budget: usize) -> Result<Swept> {
        Ok(self.shared.sweep(budget))
    }
}
