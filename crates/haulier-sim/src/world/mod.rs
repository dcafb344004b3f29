//! A world that a seed decides: producers, workers, an operator, a store, what lies between them,
//! and what breaks. The workers are the real ones. One thread, virtual time: the same seed gives
//! the same history, byte for byte.
//!
//! Not in it: the kernel, sockets, TLS.
//!
//! | file | what |
//! |---|---|
//! | `time.rs`, `dice.rs`, `pump.rs` | time, chance, and who runs next |
//! | `net.rs` | what lies between a node and the store |
//! | `site.rs` | the store: its disk, its crashes, its restarts |
//! | `load.rs`, `work.rs` | what producers and operators ask; what workers do |
//! | `faults.rs` | what breaks, and when |

mod dice;
mod faults;
mod load;
mod net;
mod pump;
mod site;
mod time;
mod work;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use haulier_core::{Clock, Include, Inspect, ManualClock, TaskId, limits};

use crate::check::{self, Finding, Rules};
use crate::history::{Fault, Line, Recorder};
use crate::recorded::Recorded;
use dice::Dice;
use net::{Net, Port};
use site::Site;
use time::{Gate, NodeClock};

/// What stands behind the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// The store in memory.
    Memory,
    /// The embedded store on a simulated disk.
    Embedded,
}

impl Backend {
    /// What a seed runs on, unless somebody chooses.
    pub fn of(seed: u64) -> Self {
        if seed.is_multiple_of(4) { Self::Memory } else { Self::Embedded }
    }
}

/// What a seed gave.
#[derive(Debug)]
pub struct Outcome {
    /// What happened.
    pub lines: Vec<Line>,
    /// What was wrong with it.
    pub findings: Vec<Finding>,
    /// Tasks that were handed over.
    pub tasks: usize,
    /// How long it took, in virtual time.
    pub lasted: Duration,
}

/// Everything that the parts of a world share.
#[derive(Debug)]
struct World {
    seed: u64,
    clock: ManualClock,
    recorder: Recorder,
    port: Port,
    site: Site,
    /// Every task that somebody tried to hand over.
    ids: Mutex<Vec<TaskId>>,
}

/// One that asks something of the store.
#[derive(Debug, Clone)]
struct Node {
    name: Arc<str>,
    gate: Gate,
    clock: Arc<NodeClock>,
    net: Net,
    dice: Arc<Dice>,
}

/// Runs the world of a seed from its beginning to its end.
pub fn run(seed: u64, backend: Backend) -> Outcome {
    let clock = ManualClock::new();
    let recorder = Recorder::new(Arc::new(clock.clone()));
    let port = Port::default();
    let site = Site::new(backend, seed, clock.clone(), port.clone(), recorder.clone());
    let ids = Mutex::default();
    let world = Arc::new(World { seed, clock, recorder, port, site, ids });
    let lives = || pump::run(&world.clock, &world.site, seed, live(Arc::clone(&world)));
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(lives));
    let lines = world.recorder.lines();
    let mut findings = check::check(&lines, Rules::default());
    if let Err(panic) = ended {
        findings.insert(0, defect(&*panic));
    }
    let (tasks, lasted) = (world.ids().len(), world.clock.monotonic());
    Outcome { lines, findings, tasks, lasted }
}

/// A panic of the store, of a worker or of the world itself.
fn defect(panic: &(dyn std::any::Any + Send)) -> Finding {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    let says = text.unwrap_or("a panic without words").to_owned();
    Finding { invariant: "defect", task: None, says }
}

/// Load and faults; then peace, until everything is done; then two readings with a restart between.
async fn live(world: Arc<World>) {
    world.site.start().await;
    let janitor = tokio::spawn(site::keep_house(world.clock.clone(), world.port.clone()));
    let workers = work::Crew::hire(&world);
    let load = load::begin(&world);
    faults::run(&world, &workers).await;
    for part in load {
        // A panic of a part is a defect of this crate, and ends the run.
        part.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    }
    world.site.mend().await;
    load::reopen_queues(&world).await;
    world.recorder.heal("load", Fault::Load);
    drain(&world).await;
    read_all(&world).await;
    world.site.restart().await;
    read_all(&world).await;
    workers.dismiss().await;
    janitor.abort();
}

/// How long a world may take to finish what is left, in steps of a few seconds.
const DRAIN_STEPS_MAX: usize = 600;
const DRAIN_STEP: Duration = Duration::from_secs(5);

async fn drain(world: &World) {
    for _ in 0..DRAIN_STEPS_MAX {
        world.clock.sleep(DRAIN_STEP).await;
        let Some(store) = world.port.store() else { continue };
        let ids = world.ids();
        let mut open = 0;
        for ids in ids.chunks(limits::ITEMS_MAX) {
            let found = store.get(ids.to_vec(), Include::default(), Duration::ZERO).await;
            open += match found {
                Ok(found) => found.iter().flatten().filter(|v| !v.state().is_final()).count(),
                Err(_) => 1,
            };
        }
        if open == 0 {
            return;
        }
    }
}

async fn read_all(world: &World) {
    let Some(store) = world.port.store() else { return };
    let store: Arc<dyn Inspect> = store;
    let reader = Recorded::new("reader", world.recorder.clone(), store);
    for ids in world.ids().chunks(limits::ITEMS_MAX) {
        // What is not answered is written down as such, and accuses nobody.
        let _recorded = reader.get(ids.to_vec()).await.is_ok();
    }
    let _recorded = reader.count().await.is_ok();
}

impl World {
    fn ids(&self) -> Vec<TaskId> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, ids: impl IntoIterator<Item = TaskId>) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
    }

    /// A new node. Its clock goes up to three percent wrong, less than the margin that workers keep.
    fn node(&self, name: &str) -> Node {
        let dice = Dice::new(self.seed, name);
        let gate = Gate::new();
        let rate = u32::try_from(dice.within(970_000, 1_030_000)).unwrap_or(1_000_000);
        let clock = NodeClock::new(self.clock.clone(), gate.clone(), rate, dice.span(0, 3_600_000));
        let ways = Dice::new(self.seed, &format!("the way of {name}"));
        let net = Net::new(self.clock.clone(), gate.clone(), self.port.clone(), ways);
        Node { name: name.into(), gate, clock: Arc::new(clock), net, dice: Arc::new(dice) }
    }
}
