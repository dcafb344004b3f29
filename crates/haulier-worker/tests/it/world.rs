//! A store, a clock, and a worker that runs beside the test.

use std::sync::Arc;
use std::time::Duration;

use haulier_core::{
    Clock, Control, Include, Inspect, ManualClock, NewTask, Payload, Queue, SeededEntropy, State,
    TaskId, TaskView,
};
use haulier_layers::{Faults, Faulty};
use haulier_memory::MemoryStore;
use haulier_worker::{Link, Worker, new_task};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::Job;

/// Everything that a test needs. The queue has faults, none at first.
pub struct World {
    pub store: MemoryStore,
    pub clock: ManualClock,
    pub faults: Arc<Faults>,
    entropy: Arc<SeededEntropy>,
}

/// A worker that runs.
pub struct Running {
    stop: oneshot::Sender<()>,
    run: JoinHandle<haulier_core::Result<()>>,
}

impl World {
    pub fn new() -> Self {
        let clock = ManualClock::new();
        Self {
            store: MemoryStore::new(Arc::new(clock.clone())),
            clock,
            faults: Arc::default(),
            entropy: Arc::new(SeededEntropy::from_u64(7)),
        }
    }

    pub fn link(&self) -> Link {
        let store = Arc::new(self.store.clone());
        let faulty = Faulty::new(store, self.entropy.clone(), Arc::clone(&self.faults));
        Link {
            queue: Arc::new(faulty),
            clock: Arc::new(self.clock.clone()),
            entropy: self.entropy.clone(),
        }
    }

    pub fn worker(&self) -> Worker {
        Worker::new(self.link())
    }

    pub fn job(&self, number: u32) -> NewTask {
        new_task(TaskId::generate(&self.clock, &*self.entropy), &Job { number }).unwrap()
    }

    /// Enqueues a job, changed as the test likes.
    pub async fn enqueue(&self, number: u32, change: impl FnOnce(&mut NewTask)) -> TaskId {
        let mut task = self.job(number);
        change(&mut task);
        let id = task.id;
        self.store.enqueue(vec![task]).await.unwrap().pop().unwrap().accepted().unwrap();
        id
    }

    /// Starts a worker beside the test.
    pub async fn start(&self, worker: Worker) -> Running {
        let (stop, stopped) = oneshot::channel();
        let run = tokio::spawn(worker.run_until(async { drop(stopped.await) }));
        self.settle().await;
        Running { stop, run }
    }

    /// Lets everything that can go on do so.
    pub async fn settle(&self) {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }

    /// Moves the clock, from one sleeper to the next.
    pub async fn elapse(&self, time: Duration) {
        let end = self.clock.monotonic() + time;
        loop {
            self.settle().await;
            let left = end.saturating_sub(self.clock.monotonic());
            if left.is_zero() {
                return;
            }
            let next = self.clock.next_wake().unwrap_or(left);
            self.clock.advance(next.clamp(Duration::from_millis(1), left));
        }
    }

    pub async fn view(&self, id: TaskId) -> TaskView {
        let views = self.store.get(vec![id], Include::ALL, Duration::ZERO).await.unwrap();
        views.into_iter().next().unwrap().unwrap()
    }

    pub async fn state(&self, id: TaskId) -> State {
        self.view(id).await.state()
    }

    pub async fn cancel(&self, id: TaskId) {
        self.store.cancel(vec![id]).await.unwrap();
        self.settle().await;
    }
}

impl Running {
    /// Tells the worker to stop; it drains.
    pub fn stop(self) -> JoinHandle<haulier_core::Result<()>> {
        self.stop.send(()).unwrap();
        self.run
    }

    /// Waits until the worker ends by itself.
    pub async fn ended(self) -> haulier_core::Result<()> {
        self.run.await.unwrap()
    }

    /// Takes the worker away, as a crash would.
    pub async fn crash(self) {
        self.run.abort();
        assert!(self.run.await.unwrap_err().is_cancelled());
    }
}

/// The text of a result.
pub fn text(payload: Option<&Payload>) -> String {
    String::from_utf8(payload.unwrap().bytes.to_vec()).unwrap()
}
