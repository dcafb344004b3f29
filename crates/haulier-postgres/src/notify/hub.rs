//! Where news meets those who wait for it in this process.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use haulier_core::{Clock, WorkerId};
use tokio::sync::{Notify, watch};

use super::outbox::{Item, Outbox};

/// Queues of which something was told; beyond it, anything may have changed.
const QUEUES_MAX: usize = 16_384;
/// How long somebody is told of room in a queue after having waited for it.
const WAITED_FOR: Duration = Duration::from_mins(1);

/// What was told since somebody looked.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Queues in which something changed, with the smallest place at which a task came into line.
    pub queues: BTreeMap<i32, i64>,
    /// Anything may have changed.
    pub all: bool,
    /// Something is due that does not stand in line yet.
    pub due: bool,
}

impl Told {
    fn queue(&mut self, queue: i32, place: i64) {
        if self.queues.len() >= QUEUES_MAX && !self.queues.contains_key(&queue) {
            self.all = true;
            return;
        }
        let smallest = self.queues.entry(queue).or_insert(place);
        *smallest = place.min(*smallest);
    }
}

/// Workers for whom somebody watches.
type Watched = HashMap<WorkerId, (Arc<Notify>, usize)>;

/// Everybody who waits in this process, and what is to be told to others.
pub(crate) struct Hub {
    pace: Arc<dyn Clock>,
    told: Mutex<Told>,
    claimer: Notify,
    watched: Mutex<Watched>,
    finishes: watch::Sender<u64>,
    /// Queues whose limit somebody waits at, and until when that is believed.
    full: Mutex<HashMap<i32, Duration>>,
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
    /// A hub that tells others only if they may be told by `NOTIFY`.
    pub(crate) fn new(pace: Arc<dyn Clock>, notify: bool) -> Self {
        Self {
            pace,
            told: Mutex::default(),
            claimer: Notify::new(),
            watched: Mutex::default(),
            finishes: watch::Sender::new(0),
            full: Mutex::default(),
            outbox: Outbox::new(notify),
            listens: AtomicBool::new(false),
        }
    }

    /// Tasks of a queue have come into line, the first of them at this place.
    pub(crate) fn in_line(&self, queue: i32, smallest_place: i64) {
        self.tell_queue(queue, smallest_place);
        self.outbox.put(Item::Queue(queue, smallest_place));
    }

    /// A queue's settings have changed.
    pub(crate) fn changed(&self, queue: i32) {
        self.in_line(queue, i64::MAX);
    }

    /// Tasks of a queue run no more. That matters only to whoever waits at the queue's limit.
    pub(crate) fn freed(&self, queue: i32) {
        let waited_for = {
            let mut full = lock(&self.full);
            let until = full.get(&queue).copied();
            let is_past = until.is_some_and(|until| until < self.pace.monotonic());
            if is_past {
                full.remove(&queue);
            }
            until.is_some() && !is_past
        };
        if waited_for {
            self.changed(queue);
        }
    }

    /// Somebody here waits for room in a queue: all servers should tell when there is some.
    pub(crate) fn await_room(&self, queue: i32) {
        let now = self.pace.monotonic();
        let news = self.note_full(queue, now);
        if news {
            self.outbox.put(Item::Full(queue));
        }
    }

    /// Notes that somebody waits; `true` if that was not known, or not for much longer.
    pub(super) fn note_full(&self, queue: i32, now: Duration) -> bool {
        let mut full = lock(&self.full);
        if full.len() >= QUEUES_MAX {
            full.retain(|_, until| *until >= now);
        }
        let known = full.get(&queue).copied().unwrap_or_default();
        let news = known < now + WAITED_FOR / 2;
        if news && full.len() < QUEUES_MAX {
            full.insert(queue, now + WAITED_FOR);
        }
        news
    }

    /// Something is due that stands out of line: somebody should bring it in.
    pub(crate) fn due(&self) {
        lock(&self.told).due = true;
        self.claimer.notify_one();
    }

    /// There is something that a worker should know before its next beat.
    pub(crate) fn news(&self, worker: &WorkerId) {
        self.tell_worker(worker);
        self.outbox.put(Item::Worker(worker.clone()));
    }

    /// Tasks became final.
    pub(crate) fn finished(&self) {
        self.finishes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Changes whenever tasks became final, as far as this process knows.
    pub(crate) fn finishes(&self) -> watch::Receiver<u64> {
        self.finishes.subscribe()
    }

    pub(super) fn tell_queue(&self, queue: i32, place: i64) {
        lock(&self.told).queue(queue, place);
        self.claimer.notify_one();
    }

    pub(super) fn tell_worker(&self, worker: &WorkerId) {
        if let Some((notify, _)) = lock(&self.watched).get(worker) {
            notify.notify_waiters();
        }
    }

    /// Everybody should look: news may have been missed.
    pub(crate) fn tell_all(&self) {
        lock(&self.told).all = true;
        self.claimer.notify_one();
        lock(&self.watched).values().for_each(|(notify, _)| notify.notify_waiters());
        self.finished();
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
        lock(&self.watched).keys().cloned().collect()
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
