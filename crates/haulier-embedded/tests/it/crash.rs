//! Crashes at every call of the disk: whatever survives of the writes that were not synced,
//! everything that was acknowledged is there, nothing that was refused is, and the store works on.

use std::sync::Arc;
use std::time::Duration;

use haulier_conformance::prelude::Must;
use haulier_core::{
    Control, Enqueued, Include, Inspect, Kind, Lease, Maintain, ManualClock, NewTask, Outcome,
    Payload, Queue, QueueName, Result, SeededEntropy, Settled, Settlement, State, TaskId, TaskView,
    Want, WorkerId,
};
use haulier_embedded::disk::{Disk, Fate, SimDisk};
use haulier_embedded::{EmbeddedStore, OpenError, Options};

use crate::rig::small;

/// Tasks of the workload; their payloads fill several small segments.
const TASKS: u64 = 24;

fn options(clock: &ManualClock) -> Options {
    Options { segment_bytes: 16 * 1024, cache_bytes_max: 4 * 1024, ..small(clock) }
}

fn open(disk: &SimDisk, clock: &ManualClock) -> std::result::Result<EmbeddedStore, OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    EmbeddedStore::open_on(&disk, options(clock))
}

fn id(number: u64) -> TaskId {
    let mut bytes = [7; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    TaskId::from_bytes(bytes)
}

fn payload(number: u64) -> Payload {
    let byte = u8::try_from(number % 251).must();
    Payload::new(vec![byte; 700 + usize::from(byte)], Payload::BINARY)
}

fn task(number: u64) -> NewTask {
    NewTask::new(id(number), Kind::new("work").must(), payload(number))
}

/// What was acknowledged.
#[derive(Default)]
struct Ledger {
    enqueued: Vec<u64>,
    asked: Vec<u64>,
    completed: Vec<TaskId>,
    cancelled: Vec<TaskId>,
    deleted: Vec<TaskId>,
    newest_epochs: Vec<(TaskId, u64)>,
}

/// A little of everything, until the disk says no.
async fn work(store: &EmbeddedStore, clock: &ManualClock, ledger: &mut Ledger) -> Result<()> {
    let queue = QueueName::default();
    for number in 0..TASKS {
        ledger.asked.push(number);
        let answer = store.enqueue(vec![task(number)]).await?.remove(0);
        assert!(matches!(answer, Enqueued::Inserted { .. }), "{answer:?}");
        ledger.enqueued.push(number);
        if number % 3 == 1 {
            let want = Want::new(WorkerId::new("w").must(), queue.clone(), 2);
            for lease in store.lease(vec![want], Duration::ZERO).await?.remove(0) {
                take(store, &lease, ledger).await?;
            }
        }
        if number % 8 == 7 {
            store.cancel(vec![id(number)]).await?;
            ledger.cancelled.push(id(number));
        }
        if number == 20 {
            let gone = ledger.completed[0];
            ledger.deleted.push(gone);
            store.delete(vec![gone]).await?;
        }
        clock.advance(Duration::from_millis(10));
        store.sweep(100).await?;
    }
    store.close().await
}

async fn take(store: &EmbeddedStore, lease: &Lease, ledger: &mut Ledger) -> Result<()> {
    let key = lease.key;
    ledger.newest_epochs.push((key.task, key.epoch.0));
    let outcome = Outcome::Complete { result: Some(lease.task.payload.clone()) };
    if key.epoch.0.is_multiple_of(5) {
        store.settle(vec![Settlement { key, outcome: Outcome::Release }]).await?;
        return Ok(());
    }
    let settled = store.settle(vec![Settlement { key, outcome }]).await?;
    assert!(matches!(settled[0], Settled::Applied { .. }), "{settled:?}");
    ledger.completed.push(key.task);
    Ok(())
}

async fn see(store: &EmbeddedStore, id: TaskId) -> Option<TaskView> {
    store.get(vec![id], Include::ALL, Duration::ZERO).await.must().remove(0)
}

/// Everything that was acknowledged holds.
async fn check(store: &EmbeddedStore, ledger: &Ledger) {
    for number in &ledger.enqueued {
        let view = see(store, id(*number)).await;
        if ledger.deleted.contains(&id(*number)) {
            continue;
        }
        let view = view.unwrap_or_else(|| panic!("I1: task {number} is lost"));
        assert_eq!(view.task.payload, payload(*number), "I9");
    }
    for number in TASKS..TASKS + 4 {
        assert!(see(store, id(number)).await.is_none(), "I10");
    }
    for done in ledger.completed.iter().filter(|id| !ledger.deleted.contains(id)) {
        let view = see(store, *done).await.must();
        assert_eq!(view.state(), State::Completed, "I7");
        assert_eq!(view.result.must(), view.task.payload, "I9");
    }
    for called_off in &ledger.cancelled {
        let view = see(store, *called_off).await.must();
        assert!(view.state().is_final() || view.standing.cancel_requested, "I15");
    }
    let stats = store.queues().await.must();
    for queue in stats {
        assert_eq!(queue.accepted, queue.counts.total() + queue.removed, "I14");
    }
}

/// After the crash the store works on, with larger epochs.
async fn work_on(store: &EmbeddedStore, clock: &ManualClock, ledger: &Ledger) {
    clock.advance(Duration::from_mins(1));
    while store.sweep(100).await.must().next.is_zero() {}
    let want = Want::new(WorkerId::new("later").must(), QueueName::default(), 100);
    for lease in store.lease(vec![want], Duration::ZERO).await.must().remove(0) {
        let key = lease.key;
        assert!(!ledger.completed.contains(&key.task), "I7: a completed task runs again");
        let earlier = ledger.newest_epochs.iter().filter(|(task, _)| *task == key.task);
        assert!(earlier.map(|(_, epoch)| *epoch).all(|epoch| epoch < key.epoch.0), "I2");
        let outcome = Outcome::Complete { result: None };
        let settled = store.settle(vec![Settlement { key, outcome }]).await.must();
        assert!(matches!(settled[0], Settled::Applied { .. }), "{settled:?}");
    }
    let again = store.enqueue(vec![task(0)]).await.must().remove(0);
    let known = matches!(again, Enqueued::Existing { .. });
    assert!(known || ledger.enqueued.is_empty(), "I4: {again:?}");
}

async fn crash_at(call: Option<u64>, fate: Fate, seed: u64) -> u64 {
    let (disk, clock) = (SimDisk::new(), ManualClock::new());
    if let Some(call) = call {
        disk.stop_at(call);
    }
    let mut ledger = Ledger::default();
    if let Ok(store) = open(&disk, &clock) {
        let worked = work(&store, &clock, &mut ledger).await;
        assert_eq!(worked.is_err(), call.is_some() && worked.is_err(), "{worked:?}");
    }
    let entropy = SeededEntropy::from_u64(seed);
    let survivor = disk.after_crash(fate, &entropy);
    let context = format!("call {call:?}, {fate:?}, seed {seed}");
    let store = open(&survivor, &clock).unwrap_or_else(|error| panic!("{context}: {error}"));
    check(&store, &ledger).await;
    work_on(&store, &clock, &ledger).await;
    store.close().await.must();
    drop(store);
    let store = open(&survivor, &clock).unwrap_or_else(|error| panic!("{context}: {error}"));
    check(&store, &ledger).await;
    disk.calls()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_call_of_the_disk_loses_nothing_that_was_acknowledged() {
    let calls = crash_at(None, Fate::All, 0).await;
    assert!(calls > 100, "the workload makes {calls} calls");
    for call in 1..=calls {
        for (fate, seed) in [
            (Fate::Nothing, 0),
            (Fate::All, 0),
            (Fate::Some, call),
            (Fate::Some, call + 1_000_000),
            (Fate::Torn, call),
        ] {
            crash_at(Some(call), fate, seed).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_sync_stops_the_store_and_the_next_start_finds_what_is_durable() {
    let calls = crash_at(None, Fate::All, 0).await;
    let mut failures = 0;
    for call in (1..calls).step_by(3) {
        let (disk, clock) = (SimDisk::new(), ManualClock::new());
        disk.fail_sync_at(call);
        let mut ledger = Ledger::default();
        if let Ok(store) = open(&disk, &clock) {
            let failed = store.failed();
            match work(&store, &clock, &mut ledger).await {
                Err(_) => {
                    failures += 1;
                    let fatal = failed.await;
                    assert!(matches!(fatal, haulier_embedded::Fatal::Write(_)), "{fatal:?}");
                    let refused = store.enqueue(vec![task(99)]).await.unwrap_err();
                    assert_eq!(refused.code(), haulier_core::Code::Unavailable, "{refused:?}");
                }
                // There was no sync any more: what comes last, hints, needs none.
                Ok(()) => break,
            }
        }
        // The system shows what the disk does not have: the next start must not believe it.
        let entropy = SeededEntropy::from_u64(call);
        let after = disk.after_crash(Fate::Nothing, &entropy);
        let store = open(&after, &clock).must();
        check(&store, &ledger).await;
        drop(store);
        let store = open(&disk, &clock).must();
        check(&store, &ledger).await;
        work_on(&store, &clock, &ledger).await;
        drop(store);
        let survivor = disk.after_crash(Fate::Nothing, &entropy);
        check(&open(&survivor, &clock).must(), &ledger).await;
    }
    assert!(failures > calls / 4, "{failures} syncs of {calls} calls failed");
}
