//! Where news meets those who wait for it in this process.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use haulier_core::{Clock, QueueName, WorkerId};
use tokio::sync::{Notify, watch};

use super::outbox::{Item, Outbox};

/// Queues of which something was told; beyond it, anything may have changed.
const QUEUES_MAX: usize = 16_384;

/// What was told since somebody looked.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Queues in which something may be had now.
    pub queues: BTreeSet<QueueName>,
    /// Anything may have changed.
    pub all: bool,
}

/// Workers for whom somebody watches.
type Watched = HashMap<WorkerId, (Arc<Notify>, usize)>;

/// Everybody who waits in this process, and what is to be told to others.
pub(crate) struct Hub {
    pace: Arc<dyn Clock>,
    told: Mutex<Told>,
    /// When time brings something about in the store, as far as this process knows.
    alarm: Mutex<Option<Duration>>,
    claimer: Notify,
    watched: Mutex<Watched>,
    finishes: watch::Sender<u64>,
    pub(super) outbox: Outbox,
    listens: AtomicBool,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("listens", &self.listens).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    pub(crate) fn new(pace: Arc<dyn Clock>) -> Self {
        Self {
            pace,
            told: Mutex::default(),
            alarm: Mutex::default(),
            claimer: Notify::new(),
            watched: Mutex::default(),
            finishes: watch::Sender::new(0),
            outbox: Outbox::default(),
            listens: AtomicBool::new(false),
        }
    }

    /// Something may be had in a queue now.
    pub(crate) fn in_line(&self, queue: &QueueName) {
        self.tell_queue(queue);
        self.outbox.put(Item::Queue(queue.clone()));
    }

    /// There is something that a worker should know before its next beat.
    pub(crate) fn news(&self, worker: &WorkerId) {
        self.wake_watcher(worker.as_str());
        self.outbox.put(Item::Worker(worker.clone()));
    }

    /// Tasks became final.
    pub(crate) fn finished(&self) {
        self.tell_finished();
        self.outbox.put(Item::Finished);
    }

    /// Time brings something about after this long.
    pub(crate) fn due_in(&self, span: Duration) {
        let at = self.pace.monotonic().saturating_add(span);
        let mut alarm = lock(&self.alarm);
        if alarm.is_none_or(|set| at < set) {
            *alarm = Some(at);
            self.claimer.notify_one();
        }
    }

    /// When something is due next.
    pub(crate) fn alarm(&self) -> Option<Duration> {
        *lock(&self.alarm)
    }

    /// Whether something is due now; it is asked again only when it is told again.
    pub(crate) fn take_alarm(&self, now: Duration) -> bool {
        lock(&self.alarm).take_if(|at| *at <= now).is_some()
    }

    /// Changes whenever tasks became final, as far as this process knows.
    pub(crate) fn finishes(&self) -> watch::Receiver<u64> {
        self.finishes.subscribe()
    }

    pub(super) fn tell_finished(&self) {
        self.finishes.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(super) fn tell_queue(&self, queue: &QueueName) {
        let mut told = lock(&self.told);
        if told.queues.len() >= QUEUES_MAX {
            told.all = true;
        } else if !told.queues.contains(queue) {
            told.queues.insert(queue.clone());
        }
        drop(told);
        self.claimer.notify_one();
    }

    /// Everybody should look: news may have been missed.
    pub(crate) fn tell_all(&self) {
        lock(&self.told).all = true;
        self.claimer.notify_one();
        lock(&self.watched).values().for_each(|(notify, _)| notify.notify_waiters());
        self.tell_finished();
    }

    /// Wakes the claimer, which has something to do that nobody told it.
    pub(crate) fn wake_claimer(&self) {
        self.claimer.notify_one();
    }

    /// Is ready when the claimer has something to do.
    pub(crate) async fn claimer_woken(&self) {
        self.claimer.notified().await;
    }

    /// What was told since this was asked last.
    pub(crate) fn take_told(&self) -> Told {
        std::mem::take(&mut *lock(&self.told))
    }

    /// Whether other servers' news comes in at present.
    pub(crate) fn listens(&self) -> bool {
        self.listens.load(Ordering::Relaxed)
    }

    pub(super) fn set_listens(&self, listens: bool) {
        self.listens.store(listens, Ordering::Relaxed);
    }

    /// Watches for a worker's news until the seat is dropped.
    pub(crate) fn watch<'a>(&'a self, worker: &'a WorkerId) -> Seat<'a> {
        let mut watched = lock(&self.watched);
        let (notify, seats) = watched.entry(worker.clone()).or_default();
        *seats += 1;
        Seat { hub: self, worker, notify: Arc::clone(notify) }
    }

    /// Everybody for whom somebody watches.
    pub(crate) fn watched(&self) -> Vec<WorkerId> {
        let mut names: Vec<WorkerId> = lock(&self.watched).keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// Wakes whoever watches for a worker here.
    pub(crate) fn wake_watcher(&self, worker: &str) {
        if let Some((notify, _)) = lock(&self.watched).get(worker) {
            notify.notify_waiters();
        }
    }
}

/// A place among those who watch for a worker's news.
#[derive(Debug)]
pub(crate) struct Seat<'a> {
    hub: &'a Hub,
    worker: &'a WorkerId,
    pub(crate) notify: Arc<Notify>,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut watched = lock(&self.hub.watched);
        if let Some((_, seats)) = watched.get_mut(self.worker) {
            *seats -= 1;
            if *seats == 0 {
                watched.remove(self.worker);
            }
        }
    }
}
