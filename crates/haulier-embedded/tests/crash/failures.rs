//! Every call of the disk fails, once and for ever: the store stops or goes on, and the next start
//! finds everything that was acknowledged.

use haulier_conformance::prelude::Must;
use haulier_core::{ManualClock, SeededEntropy};
use haulier_embedded::OpenError;
use haulier_embedded::disk::{Failure, Fate, SimDisk};

use crate::crashes::{Repeat, is_full};
use crate::ledger::Ledger;
use crate::machine::Machine;
use crate::work::{put, task, work};

const HOWS: [(&str, Failure); 3] =
    [("device", Failure::Device), ("full", Failure::Full), ("short", Failure::Short)];

fn start(disk: &SimDisk, clock: &ManualClock) -> Machine {
    Machine::start(disk, clock, 5)
        .unwrap_or_else(|error| panic!("I16: a failed call is no damage: {error}"))
}

fn fail(call: u64, how: Failure, for_ever: bool) -> u64 {
    let name = HOWS.iter().find(|(_, one)| *one == how).must().0;
    let _repeat = Repeat(format!("HAULIER_FAULT=\"call={call} how={name} for_ever={for_ever}\""));
    let (disk, clock) = (SimDisk::new(), ManualClock::new());
    let mut ledger = Ledger::default();
    disk.fail_at(call, how, for_ever);
    match Machine::start(&disk, &clock, call) {
        Ok(mut machine) => drop(work(&mut machine, &disk, &mut ledger)),
        Err(error) => assert!(matches!(error, OpenError::Io { .. }), "I16: {error}"),
    }
    let calls = disk.calls();
    disk.heal();
    disk.set_bytes_max(None);
    // The power fails, too: what the system showed is gone.
    let entropy = SeededEntropy::from_u64(call);
    let after = disk.after_crash(Fate::Nothing, &entropy);
    ledger.check(&mut start(&after, &clock));
    // The process alone starts again: what it sees may not be on the disk.
    let mut machine = start(&disk, &clock);
    ledger.check(&mut machine);
    ledger.work_on(&mut machine);
    drop(machine);
    let after = disk.after_crash(Fate::Nothing, &entropy);
    ledger.check(&mut start(&after, &clock));
    calls
}

fn one(text: &str) {
    let value = |name: &str| {
        text.split(' ').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).must()
    };
    let how = HOWS.iter().find(|(name, _)| *name == value("how")).must().1;
    fail(value("call").parse().must(), how, value("for_ever") == "true");
}

#[test]
fn a_sync_that_failed_acknowledges_nothing() {
    let (disk, clock) = (SimDisk::new(), ManualClock::new());
    let mut ledger = Ledger::default();
    let mut machine = start(&disk, &clock);
    disk.fail_sync_at(disk.calls());
    drop(put(&mut machine, &mut ledger, vec![task(1, 100)]));
    drop(machine);
    let after = disk.after_crash(Fate::Nothing, &SeededEntropy::from_u64(5));
    ledger.check(&mut start(&after, &clock));
}

#[test]
fn a_call_of_the_disk_that_fails_loses_nothing_that_was_acknowledged() {
    if let Ok(text) = std::env::var("HAULIER_FAULT") {
        return one(&text);
    }
    let calls = fail(u64::MAX, Failure::Device, false);
    let step = if is_full() { 1 } else { 2 };
    let mut failures = 0;
    for call in (1..=calls).step_by(step) {
        for (_, how) in HOWS {
            for for_ever in [false, true] {
                fail(call, how, for_ever);
                failures += 1;
            }
        }
    }
    println!("totals: {calls} calls of the disk, {failures} failures");
}
