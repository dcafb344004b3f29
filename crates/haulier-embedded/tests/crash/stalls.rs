//! A disk that stands still: nobody loses a lease by it.

use std::time::Duration;

use haulier_conformance::prelude::{Must, only, want_of};
use haulier_core::{
    Beat, Held, Include, Inspect, Lease, LeaseBeat, ManualClock, Outcome, Queue, Result,
    SeededEntropy, Settled, Settlement, TaskView,
};
use haulier_embedded::EmbeddedStore;
use haulier_embedded::disk::{Fate, SimDisk};

use crate::machine::Machine;
use crate::work::{id, task};

const TTL: Duration = haulier_core::limits::LEASE_TTL_DEFAULT;

async fn take(store: EmbeddedStore) -> Result<Vec<Vec<Lease>>> {
    store.lease(vec![want_of("w", 1)], Duration::ZERO).await
}

fn view(machine: &mut Machine, number: u64) -> TaskView {
    let look = move |store: EmbeddedStore| async move {
        store.get(vec![id(number)], Include::default(), Duration::ZERO).await
    };
    only(machine.call(look).must()).must()
}

#[test]
fn a_lease_that_is_held_back_until_its_task_is_durable_lasts_from_when_it_is_handed_over() {
    let (disk, clock) = (SimDisk::new(), ManualClock::new());
    let mut machine = Machine::start(&disk, &clock, 1).must();
    let mut enqueue = machine.ask(|store| async move { store.enqueue(vec![task(1, 10)]).await });
    assert!(machine.poll(&mut enqueue).is_none());
    let mut lease = machine.ask(take);
    assert!(machine.poll(&mut lease).is_none(), "the task is not durable");
    for _ in 0..10 {
        machine.stall(TTL / 2);
        assert!(machine.poll(&mut lease).is_none());
    }
    let granted = machine.all(vec![lease]).remove(0).must();
    let lease = only(only(granted));
    assert_eq!((lease.attempt, lease.losses), (1, 0), "I11: nobody had it, so nobody lost it");
    machine.pass(Duration::from_millis(29_999));
    assert_eq!(view(&mut machine, 1).standing.losses, 0, "I11");
    machine.pass(Duration::from_secs(1));
    assert_eq!(view(&mut machine, 1).standing.losses, 1, "L2");
}

#[test]
fn a_task_that_was_handed_out_before_is_handed_out_again_only_when_that_is_durable() {
    let (disk, clock) = (SimDisk::new(), ManualClock::new());
    let mut machine = Machine::start(&disk, &clock, 3).must();
    machine.call(|store| async move { store.enqueue(vec![task(1, 10)]).await }).must();
    let mut first = machine.ask(take);
    let first = only(only(machine.poll(&mut first).must().must()));
    machine.pass(TTL);
    let mut second = machine.ask(take);
    assert!(machine.poll(&mut second).is_none(), "I3: a crash would make the first key good again");
    let second = only(only(machine.all(vec![second]).remove(0).must()));
    assert!(second.key.epoch > first.key.epoch);
    drop(machine);
    let after = disk.after_crash(Fate::Nothing, &SeededEntropy::from_u64(3));
    let mut machine = Machine::start(&after, &clock, 4).must();
    let end = Settlement { key: first.key, outcome: Outcome::Complete { result: None } };
    let settle = |store: EmbeddedStore| async move { store.settle(vec![end]).await };
    assert_eq!(only(machine.call(settle).must()), Settled::Stale, "I3");
}

#[test]
fn a_beat_that_waited_behind_a_full_writer_still_renews_its_lease() {
    let (disk, clock) = (SimDisk::new(), ManualClock::new());
    let mut machine = Machine::start(&disk, &clock, 2).must();
    machine.call(|store| async move { store.enqueue(vec![task(1, 10)]).await }).must();
    let key = only(only(machine.call(take).must())).key;
    // More than may gather behind the writer.
    let put = |number| {
        machine.ask(move |store| async move { store.enqueue(vec![task(number, 900_000)]).await })
    };
    let mut puts: Vec<_> = (2..40).map(put).collect();
    for put in &mut puts {
        assert!(machine.poll(put).is_none());
    }
    machine.stall(Duration::from_secs(29));
    let beat = Beat { worker: want_of("w", 1).worker, about: None, ttl: TTL, leases: Vec::new() };
    let beat = Beat { leases: vec![LeaseBeat::renew(key)], ..beat };
    let mut beat = machine.ask(|store| async move { store.beat(vec![beat]).await });
    assert!(machine.poll(&mut beat).is_none(), "it was not heard");
    machine.stall(Duration::from_secs(5));
    let held = only(machine.all(vec![beat]).remove(0).must()).held;
    assert_eq!(held, [Held::Yes], "I11: it came in time");
    assert_eq!(view(&mut machine, 1).standing.losses, 0, "I11");
}
