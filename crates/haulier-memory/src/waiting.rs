//! The async shell: it only waits. Whoever waits looks again after every change, and when the clock
//! reaches the next thing that time brings about; so no task needs a janitor to be found (L1, L2).

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use haulier_core::{Clock, StoreTime, Swept};

use crate::state::{Now, State};

/// The state behind its lock, with those who wait for it to change.
pub(crate) struct Shared {
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
}

struct Inner {
    state: State,
    time: StoreTime,
    waiting: BTreeMap<u64, Option<Waker>>,
    tickets: u64,
}

impl Inner {
    fn now(&mut self, clock: &dyn Clock) -> Now {
        let reading = clock.read();
        Now { monotonic: reading.monotonic, wall: self.time.now(reading) }
    }

    /// Brings the state up to date. `true` if time changed something.
    fn catch_up(&mut self, clock: &dyn Clock) -> (Now, bool) {
        let now = self.now(clock);
        let swept = self.state.run_timers(now, usize::MAX);
        let changed = swept != Swept::default();
        if changed {
            self.state.serve_waiters(now);
        }
        (now, changed)
    }

    fn everybody(&mut self) -> Vec<Waker> {
        self.waiting.values_mut().filter_map(Option::take).collect()
    }
}

impl Shared {
    pub fn new(clock: Arc<dyn Clock>, state: State) -> Self {
        let time = StoreTime::starting(clock.read(), haulier_core::Timestamp::default());
        let inner = Inner { state, time, waiting: BTreeMap::new(), tickets: 0 };
        Self { clock, inner: Mutex::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic in a verb is a defect; whatever it left behind is still consistent enough to look
        // at.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out a verb that changes something, and lets everybody look again.
    pub fn act<T>(&self, verb: impl FnOnce(&mut State, Now) -> T) -> T {
        let mut inner = self.lock();
        let (now, _) = inner.catch_up(&*self.clock);
        let answer = verb(&mut inner.state, now);
        inner.state.serve_waiters(now);
        self.release(inner);
        answer
    }

    /// Looks at the state as time has made it.
    pub fn look<T>(&self, look: impl FnOnce(&mut State, Now) -> T) -> T {
        let mut inner = self.lock();
        let (now, changed) = inner.catch_up(&*self.clock);
        let answer = look(&mut inner.state, now);
        if changed {
            self.release(inner);
        }
        answer
    }

    /// One sweep, which does itself what other verbs find done.
    pub fn sweep(&self, budget: usize) -> Swept {
        let mut inner = self.lock();
        let now = inner.now(&*self.clock);
        let swept = inner.state.sweep(now, budget);
        inner.state.serve_waiters(now);
        self.release(inner);
        swept
    }

    /// Wakes everybody, outside the lock: a waker may run whatever it likes.
    #[expect(clippy::unused_self, reason = "it gives the lock of self back")]
    fn release(&self, mut inner: MutexGuard<'_, Inner>) {
        let wakers = inner.everybody();
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits up to `wait` until `look` finds something; `None` if it did not.
    pub async fn until<T>(
        &self,
        wait: Duration,
        mut look: impl FnMut(&mut State, Now) -> Option<T>,
    ) -> Option<T> {
        let deadline = self.clock.monotonic().saturating_add(wait);
        let place = Place { shared: self, ticket: self.ticket() };
        let mut alarm = None;
        poll_fn(|context| {
            loop {
                let mut inner = self.lock();
                let (now, changed) = inner.catch_up(&*self.clock);
                let others = if changed { inner.everybody() } else { Vec::new() };
                let found = look(&mut inner.state, now);
                let waits = found.is_none() && now.monotonic < deadline;
                if waits {
                    inner.waiting.insert(place.ticket, Some(context.waker().clone()));
                }
                let next = inner.state.next_timer_in(now).unwrap_or(Duration::MAX);
                drop(inner);
                others.into_iter().for_each(Waker::wake);
                if !waits {
                    return Poll::Ready(found);
                }
                let at = now.monotonic.saturating_add(next).min(deadline);
                let (_, sleep) = alarm
                    .take_if(|(set, _)| *set == at)
                    .unwrap_or_else(|| (at, self.clock.sleep(at.saturating_sub(now.monotonic))));
                let (_, sleep) = alarm.insert((at, sleep));
                if sleep.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                // The time came between the two readings of the clock: look again.
                alarm = None;
            }
        })
        .await
    }

    /// A number that no other call gets.
    pub fn ticket(&self) -> u64 {
        let mut inner = self.lock();
        inner.tickets += 1;
        inner.tickets
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks = self.lock().state.tasks.len();
        f.debug_struct("MemoryStore").field("tasks", &tasks).finish_non_exhaustive()
    }
}

/// A place among those who wait, given up when the wait ends or its future is dropped.
struct Place<'a> {
    shared: &'a Shared,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.shared.lock().waiting.remove(&self.ticket);
    }
}
