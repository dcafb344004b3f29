//! The machine goes down at every call of the disk in turn, and again while it recovers.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use haulier_conformance::prelude::Must;
use haulier_core::{Clock, ManualClock, SeededEntropy, Timestamp, probe};
use haulier_embedded::disk::{Fate, SimDisk};

use crate::ledger::Ledger;
use crate::machine::Machine;
use crate::work::{put, task, work, work_in_rings};

/// One crash, and all that chance decides in it.
#[derive(Debug, Clone, Copy)]
struct Crash {
    call: u64,
    fate: Fate,
    seed: u64,
    /// The call of the recovery at which the machine goes down again; 0: it does not.
    again: u64,
}

const FATES: [(&str, Fate); 4] =
    [("all", Fate::All), ("nothing", Fate::Nothing), ("some", Fate::Some), ("torn", Fate::Torn)];

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, fate, seed, again } = self;
        let fate = FATES.iter().find(|(_, one)| one == fate).must().0;
        write!(f, "call={call} fate={fate} seed={seed} again={again}")
    }
}

impl FromStr for Crash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let value = |name: &str| {
            let found = text.split(' ').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            found.ok_or_else(|| format!("HAULIER_CRASH={text}: no {name}"))
        };
        let number = |name: &str| value(name)?.parse().map_err(|_| format!("{name}: no number"));
        let fate = value("fate")?;
        let fate = FATES.iter().find(|(name, _)| *name == fate).ok_or("fate: unknown")?.1;
        Ok(Self { call: number("call")?, fate, seed: number("seed")?, again: number("again")? })
    }
}

/// Says how to repeat what fails.
pub struct Repeat(pub String);

impl Drop for Repeat {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("repeat it with {}", self.0);
        }
    }
}

/// Whether the long form was asked for.
pub fn is_full() -> bool {
    std::env::var("HAULIER_CAMPAIGN").is_ok_and(|campaign| campaign == "full")
}

/// How often stores were started.
#[derive(Default)]
struct Totals {
    crashes: u64,
    starts: u64,
}

fn start(disk: &SimDisk, clock: &ManualClock, seed: u64, totals: &mut Totals) -> Machine {
    totals.starts += 1;
    Machine::start(disk, clock, seed)
        .unwrap_or_else(|error| panic!("I16: what a crash leaves is no damage: {error}"))
}

/// The workload up to a crash. How many calls it made.
fn crash(crash: Crash, totals: &mut Totals) -> u64 {
    let _repeat = Repeat(format!("HAULIER_CRASH=\"{crash}\""));
    totals.crashes += 1;
    let (disk, clock) = (SimDisk::new(), ManualClock::new());
    let mut ledger = Ledger::default();
    disk.stop_at(crash.call);
    if let Ok(mut machine) = Machine::start(&disk, &clock, crash.seed) {
        let worked = work(&mut machine, &disk, &mut ledger);
        assert!(worked.is_ok() || disk.calls() >= crash.call, "{worked:?}");
    }
    let entropy = SeededEntropy::from_u64(crash.seed);
    let mut survivor = disk.after_crash(crash.fate, &entropy);
    if crash.again > 0 {
        totals.crashes += 1;
        survivor.stop_at(crash.again);
        totals.starts += 1;
        drop(Machine::start(&survivor, &clock, crash.seed));
        survivor = survivor.after_crash(crash.fate, &entropy);
    }
    // An administrator may set the calendar back while the machine is down.
    if crash.seed % 3 == 2 {
        clock.set_wall(Timestamp(clock.wall().0 - 3_600_000));
    }
    let before = ledger.tasks.len();
    let mut machine = start(&survivor, &clock, crash.seed, totals);
    ledger.check(&mut machine);
    ledger.work_on(&mut machine);
    ledger.check(&mut machine);
    drop(machine);
    let survivor = survivor.after_crash(Fate::Nothing, &entropy);
    let mut machine = start(&survivor, &clock, crash.seed, totals);
    ledger.check(&mut machine);
    assert_eq!(ledger.tasks.len(), before, "I10");
    disk.calls()
}

fn campaign(fates: &[(Fate, u64)], recoveries: u64) {
    let mut totals = Totals::default();
    let undisturbed = Crash { call: u64::MAX, fate: Fate::All, seed: 0, again: 0 };
    let calls = crash(undisturbed, &mut totals);
    assert!(calls > 200, "the workload makes {calls} calls");
    for call in 1..=calls {
        for (fate, seed) in fates {
            let seed = seed * 100_000 + call;
            crash(Crash { call, fate: *fate, seed, again: 0 }, &mut totals);
        }
        for turn in 0..recoveries {
            let again = 1 + (call * 7 + turn * 13) % 40;
            let fate = [Fate::Some, Fate::Nothing, Fate::Torn][(turn % 3) as usize];
            crash(Crash { call, fate, seed: call + turn, again }, &mut totals);
        }
    }
    let Totals { crashes, starts } = totals;
    println!("totals: {calls} calls of the disk, {crashes} crashes, {starts} starts");
}

#[test]
fn a_crash_at_any_call_of_the_disk_loses_nothing_that_was_acknowledged() {
    if let Ok(text) = std::env::var("HAULIER_CRASH") {
        crash(text.parse().must(), &mut Totals::default());
        return;
    }
    if is_full() {
        let seeds = (0..8).flat_map(|seed| [(Fate::Some, seed), (Fate::Torn, seed)]);
        let fates: Vec<_> = [(Fate::All, 0), (Fate::Nothing, 0)].into_iter().chain(seeds).collect();
        campaign(&fates, 24);
    } else {
        campaign(&[(Fate::Nothing, 0), (Fate::Some, 1), (Fate::Torn, 2)], 1);
    }
    let missing: Vec<_> = [
        "tail cut",
        "reordered tail",
        "tail rewritten",
        "ballast used",
        "record moved by the cleaner",
        "recycled segment",
        "batch of many",
        "conflict before the winner is durable",
        "clock held back",
        "generation raised",
    ]
    .into_iter()
    .filter(|name| !probe::counts().iter().any(|(it, count)| it == name && *count > 0))
    .collect();
    probe::report().must();
    assert!(missing.is_empty(), "the campaign never reached {missing:?}");
}

#[test]
fn an_enqueue_that_was_acknowledged_is_on_the_disk() {
    let (disk, clock) = (SimDisk::new(), ManualClock::new());
    let mut ledger = Ledger::default();
    let mut machine = Machine::start(&disk, &clock, 3).must();
    put(&mut machine, &mut ledger, vec![task(1, 100), task(2, 3_000)]).must();
    let survivor = disk.after_crash(Fate::Nothing, &SeededEntropy::from_u64(3));
    ledger.check(&mut start(&survivor, &clock, 3, &mut Totals::default()));
}

#[test]
fn what_a_segment_held_before_is_never_taken_for_what_it_holds_now() {
    let entropy = SeededEntropy::from_u64(1);
    let (disk, clock) = (SimDisk::new(), ManualClock::new());
    let mut ledger = Ledger::default();
    let mut machine = Machine::start(&disk, &clock, 1).must();
    work_in_rings(&mut machine, &mut ledger).must();
    drop(machine);
    let calls = disk.calls();
    for back in 0..60 {
        let _repeat = Repeat(format!("call {}", calls - back));
        let (disk, clock) = (SimDisk::new(), ManualClock::new());
        let mut ledger = Ledger::default();
        disk.stop_at(calls - back);
        let mut machine = Machine::start(&disk, &clock, 1).must();
        drop(work_in_rings(&mut machine, &mut ledger));
        drop(machine);
        let survivor = disk.after_crash(Fate::Nothing, &entropy);
        let started = Machine::start(&survivor, &clock, 1);
        let mut machine =
            started.unwrap_or_else(|error| panic!("I7: old records are heard: {error}"));
        ledger.check(&mut machine);
        ledger.work_on(&mut machine);
        machine.pass(Duration::from_secs(1));
    }
}
