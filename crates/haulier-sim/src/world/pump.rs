//! Who runs next. While some node can go on, it does; when none can, the store's engine or its disk
//! takes a turn, as chance has it; when they have nothing to do either, time passes until somebody
//! wakes. So nothing ever waits for real, and nothing but the seed decides the order.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use haulier_core::ManualClock;

use super::dice::Dice;
use super::site::Site;

/// What the runtime calls when no task can go on.
struct Pump {
    clock: ManualClock,
    site: Site,
    dice: Dice,
    /// The world's own future. It is woken every time, so that the thread never sleeps.
    world: Mutex<Option<Waker>>,
    stuck: AtomicBool,
}

impl Pump {
    fn turn(&self) {
        if !self.site.turn(&self.dice) {
            let next = [self.clock.next_wake(), self.site.next_wake()].into_iter().flatten().min();
            match next {
                Some(span) => self.clock.advance(span.max(Duration::from_nanos(1))),
                None => self.stuck.store(true, Ordering::Relaxed),
            }
        }
        let world = self.world.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(world) = world {
            world.wake();
        }
    }
}

/// Runs a world to its end.
///
/// # Panics
/// If nobody will ever go on: a wait without an end is a defect that must not hang the test.
pub fn run(
    clock: &ManualClock,
    site: &Site,
    seed: u64,
    world: impl Future<Output = ()> + Send + 'static,
) {
    let pump = Arc::new(Pump {
        clock: clock.clone(),
        site: site.clone(),
        dice: Dice::new(seed, "pump"),
        world: Mutex::default(),
        stuck: AtomicBool::new(false),
    });
    // Weak: who sleeps keeps the runtime, which keeps this. A world must end with its seed.
    let parked = Arc::downgrade(&pump);
    let turn = move || {
        if let Some(pump) = parked.upgrade() {
            pump.turn();
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().on_thread_park(turn).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => panic!("no runtime can be made: {error}"),
    };
    runtime.block_on(async move {
        let mut world = pin!(tokio::spawn(world));
        let ended = poll_fn(|context| {
            if let Poll::Ready(ended) = Pin::new(&mut world).poll(context) {
                return Poll::Ready(ended);
            }
            assert!(!pump.stuck.load(Ordering::Relaxed), "L1: seed {seed}: nobody goes on");
            *pump.world.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(context.waker().clone());
            Poll::Pending
        });
        if let Err(error) = ended.await {
            std::panic::resume_unwind(error.into_panic());
        }
    });
}

#[cfg(test)]
mod tests {
    use haulier_core::{Clock, Store};
    use haulier_memory::MemoryStore;

    use super::*;
    use crate::history::Recorder;
    use crate::world::Backend;
    use crate::world::net::Port;

    #[test]
    fn a_world_takes_no_memory_when_it_has_ended() {
        let clock = ManualClock::new();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
        let kept = Arc::downgrade(&store);
        let port = Port::default();
        port.set(Some(store));
        let recorder = Recorder::new(Arc::new(clock.clone()));
        let site = Site::new(Backend::Memory, 0, clock.clone(), port, recorder);
        let sleeper = clock.clone();
        run(&clock, &site, 0, async move {
            tokio::spawn(async move { sleeper.sleep(Duration::from_hours(1)).await });
            tokio::task::yield_now().await;
        });
        drop((site, clock));
        assert!(kept.upgrade().is_none(), "what still slept keeps its world");
    }
}
