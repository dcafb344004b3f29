//! Virtual time. Every node has a clock of its own: it may go a little faster or slower than the
//! store's, show another calendar, and stand still while its node does. When nobody has anything to
//! do, time passes: that is the whole scheduler.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use haulier_core::clock::Sleep;
use haulier_core::{Clock, ManualClock, Reading, Timestamp};
use tokio::sync::Notify;

/// Whether a node goes on. Clones are the same gate. Who waited first passes first: a `watch` would
/// wake them in an order that no seed decides.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Way>);

#[derive(Debug)]
struct Way {
    open: AtomicBool,
    opened: Notify,
}

impl Gate {
    /// An open gate.
    pub fn new() -> Self {
        Self(Arc::new(Way { open: AtomicBool::new(true), opened: Notify::new() }))
    }

    /// Opens or shuts it.
    pub fn set(&self, open: bool) {
        self.0.open.store(open, Ordering::Relaxed);
        if open {
            self.0.opened.notify_waiters();
        }
    }

    /// Waits until it is open.
    pub async fn pass(&self) {
        loop {
            let opened = self.0.opened.notified();
            if self.0.open.load(Ordering::Relaxed) {
                return;
            }
            opened.await;
        }
    }
}

/// A node's clock.
#[derive(Clone)]
pub struct NodeClock {
    world: ManualClock,
    gate: Gate,
    /// What it shows while the world's shows a million.
    rate: u32,
    /// By how much its calendar is ahead.
    ahead: Duration,
}

/// What the world's clock counts while a node's counts its rate.
const MILLION: u32 = 1_000_000;

impl NodeClock {
    /// A clock that shows `rate` microseconds while a second passes.
    pub fn new(world: ManualClock, gate: Gate, rate: u32, ahead: Duration) -> Self {
        Self { world, gate, rate, ahead }
    }
}

impl fmt::Debug for NodeClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeClock({} ppm)", self.rate)
    }
}

impl Clock for NodeClock {
    fn read(&self) -> Reading {
        let Reading { monotonic, wall } = self.world.read();
        let monotonic = monotonic * self.rate / MILLION;
        Reading { monotonic, wall: Timestamp(wall.0).after(self.ahead) }
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        // Rounded up: whoever wakes finds that its time has come.
        let world = duration.saturating_mul(MILLION) / self.rate + Duration::from_nanos(2);
        let (sleep, gate) = (self.world.sleep(world), self.gate.clone());
        Box::pin(async move {
            sleep.await;
            gate.pass().await;
        })
    }
}
