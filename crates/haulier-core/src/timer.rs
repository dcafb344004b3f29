//! Sleeping without a runtime: one thread for the whole process that wakes futures when they are
//! due.
//!
//! The traits wait (`lease`, `get`, `watch`), and the crates that implement them must not choose a
//! runtime for their users. Everything frequent (a handler's deadline, a beat) is counted by one
//! loop a worker, so few sleepers stand here at a time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::clock::Sleep;

/// What a sleeper and the thread share: whom to wake, and whether it is time.
#[derive(Default)]
struct Alarm {
    state: Mutex<AlarmState>,
}

#[derive(Default)]
struct AlarmState {
    rung: bool,
    /// The sleeper was dropped: nobody is to be woken.
    waker: Option<Waker>,
}

struct Entry {
    due: Instant,
    alarm: Arc<Alarm>,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

#[derive(Default)]
struct Timer {
    queue: Mutex<BinaryHeap<Reverse<Entry>>>,
    changed: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "the system clock's own timer")]
fn now() -> Instant {
    Instant::now()
}

impl Timer {
    fn run(&self) {
        let mut queue = lock(&self.queue);
        loop {
            let now = now();
            match queue.peek() {
                None => {
                    queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
                Some(Reverse(entry)) if entry.due > now => {
                    let pause = entry.due - now;
                    let waited = self.changed.wait_timeout(queue, pause);
                    queue = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                Some(_) => {
                    let entry = queue.pop();
                    drop(queue);
                    if let Some(Reverse(entry)) = entry {
                        let waker = {
                            let mut state = lock(&entry.alarm.state);
                            state.rung = true;
                            state.waker.take()
                        };
                        if let Some(waker) = waker {
                            waker.wake();
                        }
                    }
                    queue = lock(&self.queue);
                }
            }
        }
    }

    fn add(&self, entry: Entry) {
        let mut queue = lock(&self.queue);
        let soonest = queue.peek().is_none_or(|Reverse(first)| entry.due < first.due);
        queue.push(Reverse(entry));
        // Sleepers that were dropped long before their time must not pile up.
        if queue.len() > 1024 && queue.len().is_power_of_two() {
            queue.retain(|Reverse(entry)| Arc::strong_count(&entry.alarm) > 1);
        }
        if soonest {
            self.changed.notify_one();
        }
    }
}

fn timer() -> Option<&'static Timer> {
    static TIMER: OnceLock<Option<&'static Timer>> = OnceLock::new();
    *TIMER.get_or_init(|| {
        let timer: &'static Timer = Box::leak(Box::default());
        let thread = std::thread::Builder::new().name("haulier-timer".to_owned());
        thread.spawn(|| timer.run()).ok().map(|_| timer)
    })
}

/// Is ready once `duration` has passed. Without a thread to count it (the process may not start
/// one), it is ready at once: the caller's loop then polls instead of sleeping for ever.
pub(crate) fn sleep(duration: Duration) -> Sleep {
    let due = now().checked_add(duration);
    Box::pin(SystemSleep { due, alarm: Arc::default(), added: false })
}

struct SystemSleep {
    due: Option<Instant>,
    alarm: Arc<Alarm>,
    added: bool,
}

impl Future for SystemSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.due else { return Poll::Pending };
        if due <= now() {
            return Poll::Ready(());
        }
        {
            let mut state = lock(&self.alarm.state);
            if state.rung {
                return Poll::Ready(());
            }
            state.waker = Some(cx.waker().clone());
        }
        if !self.added {
            let Some(timer) = timer() else { return Poll::Ready(()) };
            timer.add(Entry { due, alarm: Arc::clone(&self.alarm) });
            self.added = true;
        }
        Poll::Pending
    }
}
