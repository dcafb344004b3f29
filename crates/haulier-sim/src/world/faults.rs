//! What breaks, and when. Every fault ends by itself, so that in the end all can be finished.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use haulier_core::Clock;

use super::World;
use super::dice::Dice;
use super::work::{Crew, Hand};
use crate::check::STORE;
use crate::history::Fault;

/// What may break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    StoreDown,
    StoreStops,
    SyncFails,
    DiskSlow,
    DiskFull,
    WorkerDies,
    WorkerStandsStill,
    CutOut,
    CutIn,
    CutBoth,
    Slow,
    Lossy,
    Jump,
}

const SORTS: [Sort; 13] = [
    Sort::StoreDown,
    Sort::StoreStops,
    Sort::SyncFails,
    Sort::DiskSlow,
    Sort::DiskFull,
    Sort::WorkerDies,
    Sort::WorkerStandsStill,
    Sort::CutOut,
    Sort::CutIn,
    Sort::CutBoth,
    Sort::Slow,
    Sort::Lossy,
    Sort::Jump,
];

/// Breaks what the seed wants broken, and returns when all of it is whole again. One seed in ten
/// has no faults: what goes wrong there needs none.
pub async fn run(world: &Arc<World>, crew: &Crew) {
    let dice = Dice::new(world.seed, "faults");
    let count = if dice.permille(100) { 0 } else { dice.within(1, 8) };
    let all = (0..count).filter_map(|_| {
        let sort = *dice.one_of(&SORTS)?;
        let (at, hand) = (dice.span(0, 25_000), crew.any(&dice)?);
        let span =
            hand.ttl.mul_f64(f64::from(u32::try_from(dice.within(1, 30)).unwrap_or(1)) / 10.0);
        Some(strike(world, hand, sort, at, span, dice.within(0, u64::MAX - 1)))
    });
    join(all.collect()).await;
}

/// Waits for all of them, side by side.
async fn join(all: Vec<impl Future<Output = ()>>) {
    let mut all: Vec<_> = all.into_iter().map(Box::pin).collect();
    std::future::poll_fn(|context| {
        all.retain_mut(|one| one.as_mut().poll(context).is_pending());
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

async fn strike(
    world: &Arc<World>,
    hand: &Hand,
    sort: Sort,
    at: Duration,
    span: Duration,
    luck: u64,
) {
    let clock = &world.clock;
    clock.sleep(at).await;
    let (ways, name, recorder) = (hand.node.net.ways(), &*hand.node.name, &world.recorder);
    match sort {
        Sort::StoreDown => world.site.crash(luck, span / 4).await,
        Sort::StoreStops => world.site.restart().await,
        Sort::SyncFails => world.site.fail_sync(),
        Sort::DiskSlow => world.site.slow_down(span).await,
        Sort::DiskFull => world.site.fill(span).await,
        Sort::WorkerDies => hand.die(clock, span).await,
        Sort::WorkerStandsStill => {
            recorder.fault(name, Fault::Pause);
            hand.node.gate.set(false);
            clock.sleep(span).await;
            hand.node.gate.set(true);
            recorder.heal(name, Fault::Pause);
        }
        Sort::CutOut | Sort::CutIn | Sort::CutBoth => {
            recorder.fault(name, Fault::Cut);
            ways.cut_out.store(sort != Sort::CutIn, Ordering::Relaxed);
            ways.cut_in.store(sort != Sort::CutOut, Ordering::Relaxed);
            clock.sleep(span).await;
            ways.cut_out.store(false, Ordering::Relaxed);
            ways.cut_in.store(false, Ordering::Relaxed);
            recorder.heal(name, Fault::Cut);
        }
        Sort::Slow => {
            recorder.fault(name, Fault::Slow);
            ways.slow_ms.store(luck % 1_500, Ordering::Relaxed);
            clock.sleep(span * 4).await;
            ways.slow_ms.store(0, Ordering::Relaxed);
            recorder.heal(name, Fault::Slow);
        }
        Sort::Lossy => {
            recorder.fault(name, Fault::Slow);
            ways.lost_out.store(luck % 300, Ordering::Relaxed);
            ways.lost_in.store(luck / 7 % 300, Ordering::Relaxed);
            clock.sleep(span * 4).await;
            ways.lost_out.store(0, Ordering::Relaxed);
            ways.lost_in.store(0, Ordering::Relaxed);
            recorder.heal(name, Fault::Slow);
        }
        Sort::Jump => {
            let hour = 3_600_000;
            let by = i64::try_from(luck % (2 * hour)).unwrap_or(0) - 3_600_000;
            recorder.fault(STORE, Fault::Jump { ms: by });
            let wall = clock.wall().0;
            clock.set_wall(haulier_core::Timestamp(wall.saturating_add_signed(by)));
        }
    }
}
