//! The store's own node: it comes up, goes down in any way that machines do, and comes up again on
//! what its disk kept. Between two turns of anybody else the engine and its disk take theirs, in an
//! order that the seed decides: the engine may decide much while one write is under way.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use haulier_core::{Clock, ManualClock, Store};
use haulier_embedded::disk::{Disk, Fate, SimDisk};
use haulier_embedded::{Driver, EmbeddedStore, Options};
use haulier_memory::MemoryStore;

use super::Backend;
use super::dice::Dice;
use super::net::Port;
use crate::check::STORE;
use crate::history::{Fault, Recorder};

/// Small, so that segments are sealed, cleaned and used again while a seed runs.
const SEGMENT_BYTES: usize = 64 * 1024;
const CACHE_BYTES: usize = 16 * 1024;
/// Calls of the disk within which a start goes down, if chance has it so.
const START_CALLS: u64 = 40;

/// The store and what it stands on. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Site {
    seed: u64,
    clock: ManualClock,
    port: Port,
    recorder: Recorder,
    ground: Arc<Mutex<Ground>>,
    /// One thing at a time is done to it.
    busy: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
enum Ground {
    Memory(MemoryStore),
    Machine(Box<Machine>),
}

/// A process with its disk.
#[derive(Debug, Default)]
struct Machine {
    disk: SimDisk,
    /// `None` while the process is gone.
    driver: Option<Driver>,
    store: Option<EmbeddedStore>,
    /// When the write that is under way is done.
    written_at: Option<Duration>,
    /// How much longer a write takes at most, in milliseconds.
    slow_ms: u64,
}

impl Site {
    /// A store that is not up yet.
    pub fn new(
        backend: Backend,
        seed: u64,
        clock: ManualClock,
        port: Port,
        recorder: Recorder,
    ) -> Self {
        let ground = match backend {
            Backend::Memory => Ground::Memory(MemoryStore::new(Arc::new(clock.clone()))),
            Backend::Embedded => Ground::Machine(Box::default()),
        };
        let ground = Arc::new(Mutex::new(ground));
        Self { seed, clock, port, recorder, ground, busy: Arc::default() }
    }

    fn ground(&self) -> MutexGuard<'_, Ground> {
        self.ground.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is done to the machine, if there is one.
    fn machine<R>(&self, act: impl FnOnce(&mut Machine) -> R) -> Option<R> {
        match &mut *self.ground() {
            Ground::Memory(_) => None,
            Ground::Machine(machine) => Some(act(machine)),
        }
    }

    /// Brings the store up.
    pub async fn start(&self) {
        let _busy = self.busy.lock().await;
        self.open();
    }

    /// Stops it in good order, and brings it up again.
    pub async fn restart(&self) {
        let _busy = self.busy.lock().await;
        self.port.set(None);
        if let Some(store) = self.machine(|machine| machine.store.take()).flatten() {
            // One that had to stop meanwhile has nothing more to put in order.
            let _closed = store.close().await.is_ok();
        }
        self.machine(|machine| {
            machine.driver = None;
            machine.written_at = None;
        });
        if self.try_open().is_err() {
            // The machine had gone down already, or does now.
            self.recorder.fault(STORE, Fault::Crash);
            self.open_after(self.seed);
            self.recorder.heal(STORE, Fault::Crash);
        }
    }

    /// The machine goes down, for a while. `luck` decides what its disk keeps.
    pub async fn crash(&self, luck: u64, span: Duration) {
        let _busy = self.busy.lock().await;
        self.recorder.fault(STORE, Fault::Crash);
        self.port.set(None);
        self.lose_power(luck);
        self.clock.sleep(span).await;
        if luck.is_multiple_of(3) {
            // It goes down again while it starts, or soon after.
            self.machine(|machine| machine.disk.stop_at(1 + luck % START_CALLS));
        }
        if self.try_open().is_err() {
            self.open_after(luck);
        }
        self.recorder.heal(STORE, Fault::Crash);
    }

    fn lose_power(&self, luck: u64) {
        let dice = Dice::new(luck, "what is left");
        let fates = [Fate::All, Fate::Nothing, Fate::Some, Fate::Torn];
        let fate = dice.one_of(&fates).copied().unwrap_or(Fate::All);
        self.machine(|machine| {
            machine.store = None;
            machine.driver = None;
            machine.written_at = None;
            machine.disk = machine.disk.after_crash(fate, &dice);
        });
    }

    fn open(&self) {
        if let Err(why) = self.try_open() {
            panic!("L4, I16: seed {}: the store does not come up again: {why}", self.seed);
        }
    }

    /// Loses power once more, and comes up. Only then every fault that was waiting has happened.
    fn open_after(&self, luck: u64) {
        self.lose_power(luck.rotate_left(7));
        if self.try_open().is_err() {
            self.lose_power(luck.rotate_left(11));
            self.open();
        }
    }

    fn try_open(&self) -> Result<(), String> {
        let store: Arc<dyn Store> = match &mut *self.ground() {
            Ground::Memory(store) => {
                store.restart();
                Arc::new(store.clone())
            }
            Ground::Machine(machine) => {
                let mut options = Options::new(Arc::new(self.clock.clone()));
                (options.segment_bytes, options.cache_bytes_max) = (SEGMENT_BYTES, CACHE_BYTES);
                let disk: Arc<dyn Disk> = Arc::new(machine.disk.clone());
                let opened = EmbeddedStore::open_driven(&disk, options);
                let (store, driver) = opened.map_err(|error| error.to_string())?;
                (machine.driver, machine.store) = (Some(driver), Some(store.clone()));
                tokio::spawn(self.clone().come_back(store.clone()));
                Arc::new(store)
            }
        };
        self.port.set(Some(store));
        Ok(())
    }

    /// A store that had to stop ends its process, and is started again.
    async fn come_back(self, store: EmbeddedStore) {
        let _fatal = store.failed().await;
        drop(store);
        let luck = self.clock.monotonic().as_micros();
        self.crash(u64::try_from(luck).unwrap_or(0), Duration::from_millis(500)).await;
    }

    /// The next sync fails.
    pub fn fail_sync(&self) {
        self.machine(|machine| machine.disk.fail_sync_at(machine.disk.calls() + 1));
    }

    /// Every write takes long, for a while.
    pub async fn slow_down(&self, span: Duration) {
        self.recorder.fault(STORE, Fault::Slow);
        self.machine(|machine| machine.slow_ms = 400);
        self.clock.sleep(span).await;
        self.machine(|machine| machine.slow_ms = 0);
        self.recorder.heal(STORE, Fault::Slow);
    }

    /// The disk is full, for a while.
    pub async fn fill(&self, span: Duration) {
        let full = || Fault::Other { name: "disk full".to_owned() };
        self.recorder.fault(STORE, full());
        self.machine(|machine| machine.disk.set_bytes_max(Some(machine.disk.reserved())));
        self.clock.sleep(span).await;
        self.machine(|machine| machine.disk.set_bytes_max(None));
        self.recorder.heal(STORE, full());
    }

    /// Takes back every fault of the disk that has not happened yet, and waits until the store is up.
    pub async fn mend(&self) {
        self.machine(|machine| {
            machine.disk.stop_at(u64::MAX);
            machine.disk.fail_sync_at(u64::MAX);
            machine.disk.set_bytes_max(None);
        });
        // What failed just now is noticed within a second.
        self.clock.sleep(Duration::from_secs(5)).await;
        let _busy = self.busy.lock().await;
        assert!(self.port.store().is_some(), "L4: seed {}: the store stays down", self.seed);
    }

    /// Lets the store's engine or its disk do one thing, if there is something to do.
    pub fn turn(&self, dice: &Dice) -> bool {
        let now = self.clock.monotonic();
        self.machine(|machine| machine.turn(now, dice)).unwrap_or(false)
    }

    /// When the engine or the disk can go on.
    pub fn next_wake(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        let alarm = |machine: &mut Machine| machine.driver.as_ref().and_then(Driver::next_alarm);
        let next =
            |machine: &mut Machine| alarm(machine).into_iter().chain(machine.written_at).min();
        self.machine(next).flatten().map(|at| at.saturating_sub(now))
    }
}

impl Machine {
    fn turn(&mut self, now: Duration, dice: &Dice) -> bool {
        let Some(driver) = &mut self.driver else { return false };
        let engine = driver.wants_engine();
        let write = if driver.wants_writer() {
            let took = || now + dice.span(0, 3 + self.slow_ms);
            *self.written_at.get_or_insert_with(took) <= now
        } else {
            false
        };
        if write && (!engine || dice.permille(500)) {
            self.written_at = None;
            return driver.writer_turn();
        }
        engine && driver.engine_turn()
    }
}

/// Sweeps the store that is up, as its own process does.
pub async fn keep_house(clock: ManualClock, port: Port) {
    loop {
        let pause = match port.store() {
            Some(store) => store.sweep(1_000).await.map(|swept| swept.next).unwrap_or_default(),
            None => Duration::ZERO,
        };
        let pause = pause.clamp(Duration::from_millis(5), Duration::from_millis(250));
        clock.sleep(pause).await;
    }
}
