//! Random histories against the specification, over machines that go down: what was answered, and
//! what was seen, is what it was, whatever became of the writes that were not synced.

use std::sync::Arc;
use std::time::Duration;

use haulier_conformance::Rig;
use haulier_conformance::model::{Plan, check};
use haulier_conformance::prelude::Must;
use haulier_core::{
    Control, Entropy as _, Inspect, Maintain as _, ManualClock, Queue, SeededEntropy,
};
use haulier_embedded::disk::{Disk, Fate, SimDisk};
use haulier_embedded::{EmbeddedStore, OpenError, Options};

use crate::machine::SEGMENT;

/// Calls of the disk within which a recovery may go down again.
const RECOVERY_CALLS: u64 = 40;

/// A store on a disk that loses what it may; to reopen it is to go down.
struct CrashRig {
    clock: ManualClock,
    disk: SimDisk,
    store: EmbeddedStore,
    dice: SeededEntropy,
}

fn open(disk: &SimDisk, clock: &ManualClock) -> Result<EmbeddedStore, OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut options = Options::new(Arc::new(clock.clone()));
    options.segment_bytes = SEGMENT;
    options.cache_bytes_max = 2 * 1024;
    EmbeddedStore::open_on(&disk, options)
}

impl CrashRig {
    fn fate(&self) -> Fate {
        match self.dice.up_to(3) {
            0 => Fate::All,
            1 => Fate::Nothing,
            2 => Fate::Some,
            _ => Fate::Torn,
        }
    }
}

impl Rig for CrashRig {
    async fn fresh() -> Self {
        let (clock, disk) = (ManualClock::new(), SimDisk::new());
        let store = open(&disk, &clock).must();
        Self { clock, disk, store, dice: SeededEntropy::from_u64(1) }
    }

    fn queue(&self) -> Arc<dyn Queue> {
        Arc::new(self.store.clone())
    }

    fn inspect(&self) -> Arc<dyn Inspect> {
        Arc::new(self.store.clone())
    }

    fn control(&self) -> Arc<dyn Control> {
        Arc::new(self.store.clone())
    }

    fn clock(&self) -> ManualClock {
        self.clock.clone()
    }

    async fn elapse(&mut self, by: Duration) {
        self.clock.advance(by);
        while self.store.sweep(1_000).await.must().next.is_zero() {}
    }

    /// The machine goes down between two calls, and every other time once more while it starts.
    async fn reopen(&mut self) {
        let mut survivor = self.disk.after_crash(self.fate(), &self.dice);
        if self.dice.up_to(1) == 1 {
            survivor.stop_at(1 + self.dice.up_to(RECOVERY_CALLS - 1));
            // It may come far enough to serve, or may not.
            drop(open(&survivor, &self.clock));
            survivor = survivor.after_crash(self.fate(), &self.dice);
        }
        self.store = open(&survivor, &self.clock).must();
        self.disk = survivor;
    }
}

#[test]
fn random_histories_agree_with_the_specification_although_machines_go_down() {
    check::<CrashRig>(Plan::from_env());
}

#[test]
fn random_histories_agree_although_the_machine_goes_down_after_every_step() {
    let Plan { histories, length, .. } = Plan::from_env();
    let plan = Plan { histories: histories.div_ceil(2), length: length / 2, ..Plan::from_env() };
    check::<CrashRig>(plan.reopening());
}
