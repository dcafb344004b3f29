//! The seam for time. Stores, workers and servers take a [`Clock`] in their constructors and never
//! ask the system themselves, so that a test or a simulation owns the time.
//!
//! Leases and waits count on the monotonic reading, which never jumps. The wall reading is for what
//! people see and for `run_at`; it may jump, so whoever keeps it keeps it from going backwards.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::timer;

/// Milliseconds since 1970-01-01 UTC: what people see, and what `run_at` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// This much later; stops at the end of time instead of wrapping.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(millis(by)))
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// A store's reading of the calendar: it never goes backwards and never stands still, whatever the
/// machine's clock does. A forward jump is followed at once (the machine may have slept); after a
/// backward one it goes on at half speed until the machine has caught up. Leases do not use it.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoreTime {
    now: Timestamp,
    read_at: Duration,
}

impl StoreTime {
    /// The time now; `floor` (the largest time that the store has ever written) is never undercut.
    pub fn starting(at: Reading, floor: Timestamp) -> Self {
        Self { now: at.wall.max(floor), read_at: at.monotonic }
    }

    /// The time at a reading that is no older than those before.
    pub fn now(&mut self, at: Reading) -> Timestamp {
        let passed = at.monotonic.saturating_sub(self.read_at);
        // Half a millisecond must not be lost at every reading.
        let crawled = self.now.after(passed / 2);
        if at.wall > self.now || crawled > self.now {
            self.now = crawled.max(at.wall);
            self.read_at = at.monotonic;
        }
        self.now
    }
}

/// A duration in whole milliseconds, rounded down, stopping at `u64::MAX`.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A future that is ready when a clock has reached a reading.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a clock shows at one moment. Both belong together: were time to pass between them, whoever
/// compares them with later ones would count it twice, or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Time since some fixed moment. It never goes back and never jumps.
    pub monotonic: Duration,
    /// The calendar's time. It may jump in either direction.
    pub wall: Timestamp,
}

/// A source of time.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Reads the clock. A clock that cannot show both at one moment reads the calendar first: a
    /// calendar that is a little old is caught up with, one that is ahead is not.
    fn read(&self) -> Reading;

    /// Time since some fixed moment; see [`Reading::monotonic`].
    fn monotonic(&self) -> Duration {
        self.read().monotonic
    }

    /// The calendar's time; see [`Reading::wall`].
    fn wall(&self) -> Timestamp {
        self.read().wall
    }

    /// Is ready once `duration` has passed on the monotonic reading.
    fn sleep(&self, duration: Duration) -> Sleep;
}

/// The machine's own clock.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose monotonic reading begins now.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
    fn read(&self) -> Reading {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Reading { wall: Timestamp(millis(since)), monotonic: self.origin.elapsed() }
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        timer::sleep(duration)
    }
}

/// A clock that stands still until it is moved. For tests and simulations.
///
/// ```
/// use std::time::Duration;
/// use haulier_core::{Clock, ManualClock};
/// let clock = ManualClock::new();
/// let before = clock.monotonic();
/// clock.advance(Duration::from_secs(5));
/// assert_eq!(clock.monotonic() - before, Duration::from_secs(5));
/// ```
#[derive(Clone, Default)]
pub struct ManualClock {
    inner: Arc<Mutex<Manual>>,
}

#[derive(Default)]
struct Manual {
    now: Duration,
    /// Where the wall stood at which monotonic reading.
    wall: (Timestamp, Duration),
    sleepers: Vec<(Duration, Waker)>,
}

impl ManualClock {
    /// A clock at 2026-01-01T00:00:00Z.
    pub fn new() -> Self {
        let clock = Self::default();
        clock.lock().wall.0 = Timestamp(1_767_225_600_000);
        clock
    }

    /// Moves time forward and wakes whoever slept until then.
    pub fn advance(&self, by: Duration) {
        let due: Vec<Waker> = {
            let mut manual = self.lock();
            manual.now += by;
            let now = manual.now;
            let (due, later) = manual.sleepers.drain(..).partition(|(until, _)| *until <= now);
            manual.sleepers = later;
            due.into_iter().map(|(_, waker)| waker).collect()
        };
        due.into_iter().for_each(Waker::wake);
    }

    /// Makes the calendar jump, as an administrator or a leap would; the monotonic reading stays.
    pub fn set_wall(&self, to: Timestamp) {
        let mut manual = self.lock();
        manual.wall = (to, manual.now);
    }

    /// When the next sleeper wants to wake, counted from now.
    pub fn next_wake(&self) -> Option<Duration> {
        let manual = self.lock();
        manual.sleepers.iter().map(|(until, _)| until.saturating_sub(manual.now)).min()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Manual> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualClock").field("now", &self.lock().now).finish_non_exhaustive()
    }
}

impl Clock for ManualClock {
    fn read(&self) -> Reading {
        let manual = self.lock();
        let (then, at) = manual.wall;
        Reading { monotonic: manual.now, wall: then.after(manual.now.saturating_sub(at)) }
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let until = self.monotonic().saturating_add(duration);
        Box::pin(ManualSleep { clock: self.clone(), until })
    }
}

struct ManualSleep {
    clock: ManualClock,
    until: Duration,
}

impl Future for ManualSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut manual = self.clock.lock();
        if manual.now >= self.until {
            return Poll::Ready(());
        }
        let entry = (self.until, cx.waker().clone());
        // A future may be polled many times before its time: one entry a waker is enough.
        if !manual.sleepers.iter().any(|(until, w)| *until == entry.0 && w.will_wake(&entry.1)) {
            manual.sleepers.push(entry);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_wall_may_jump_while_the_monotonic_reading_goes_on() {
        let clock = ManualClock::new();
        clock.advance(Duration::from_secs(10));
        clock.set_wall(Timestamp(5_000));
        assert_eq!(clock.wall(), Timestamp(5_000));
        assert_eq!(clock.monotonic(), Duration::from_secs(10));
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.wall(), Timestamp(6_000));
    }

    #[test]
    fn a_store_follows_a_jump_forward_and_crawls_after_a_jump_back() {
        let clock = ManualClock::new();
        let start = clock.wall();
        let mut time = StoreTime::starting(clock.read(), Timestamp(0));
        clock.set_wall(start.after(Duration::from_hours(1)));
        assert_eq!(time.now(clock.read()), start.after(Duration::from_hours(1)));
        clock.set_wall(start);
        assert_eq!(time.now(clock.read()), start.after(Duration::from_hours(1)));
        for _ in 0..10_000 {
            clock.advance(Duration::from_millis(1));
            time.now(clock.read());
        }
        assert_eq!(time.now(clock.read()).since(start), Duration::from_secs(3_605));
        clock.advance(Duration::from_hours(3));
        assert_eq!(time.now(clock.read()), clock.wall(), "it is caught up with");
    }

    #[test]
    fn a_reading_shows_one_moment_also_while_the_clock_goes_on() {
        let clock = ManualClock::new();
        let start = clock.read();
        std::thread::scope(|scope| {
            let hands = scope.spawn(|| (0..200_000).for_each(|_| clock.advance(SECOND)));
            while !hands.is_finished() {
                let now = clock.read();
                let passed = now.monotonic.saturating_sub(start.monotonic);
                assert_eq!(now.wall.since(start.wall), passed);
            }
        });
    }

    #[test]
    fn a_timestamp_stops_at_the_end_of_time() {
        assert_eq!(Timestamp(u64::MAX).after(Duration::from_secs(1)), Timestamp(u64::MAX));
        assert_eq!(Timestamp(1).since(Timestamp(2)), Duration::ZERO);
    }
}
