//! A start that reads hints finds what a start finds that reads every segment: whatever came and
//! went, whoever held a key, and in the same order.

use std::sync::Arc;
use std::time::Duration;

use haulier_conformance::prelude::Must;
use haulier_core::{
    Control, Enqueued, Entropy, Include, Inspect, Kind, Maintain, ManualClock, NewTask, OnConflict,
    Outcome, PageRequest, Payload, Queue, QueueName, SeededEntropy, SettingsPatch, Settlement,
    TaskId, Unique, Want, WorkerId,
};
use haulier_embedded::disk::{Disk, Fate, SimDisk};
use haulier_embedded::{EmbeddedStore, Options};

use crate::rig::small;

const IDS: u64 = 120;
const KEYS: u64 = 6;

fn open(disk: &SimDisk, clock: &ManualClock) -> EmbeddedStore {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let options = Options { segment_bytes: 16 * 1024, ..small(clock) };
    EmbeddedStore::open_on(&disk, options).must()
}

fn id(number: u64) -> TaskId {
    let mut bytes = [3; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    TaskId::from_bytes(bytes)
}

fn task(number: u64, key: Option<u64>) -> NewTask {
    let byte = u8::try_from(number % 251).must();
    let payload = Payload::new(vec![byte; 700], Payload::BINARY);
    let mut task = NewTask::new(id(number), Kind::new("work").must(), payload);
    task.unique = key.map(|key| Unique {
        window: Duration::from_mins(5),
        on_conflict: OnConflict::Replace,
        ..Unique::new(format!("key-{key}").as_str())
    });
    task
}

fn want(max: u32) -> Want {
    Want::new(WorkerId::new("w").must(), QueueName::default(), max)
}

/// A few hundred steps in which much comes and goes.
async fn live(store: &EmbeddedStore, clock: &ManualClock, dice: &SeededEntropy) {
    let few = SettingsPatch { retain_completed_count: Some(5), ..SettingsPatch::default() };
    store.configure(QueueName::default(), few).await.must();
    // What waits beside it keeps the log long.
    for number in 0..100 {
        let mut waiting = task(20_000 + number, None);
        waiting.queue = QueueName::new("waiting").must();
        store.enqueue(vec![waiting]).await.must();
    }
    for _ in 0..600 {
        let some = id(dice.up_to(IDS - 1));
        match dice.up_to(9) {
            0..=3 => {
                let key = (dice.up_to(1) == 0).then(|| dice.up_to(KEYS - 1));
                store.enqueue(vec![task(dice.up_to(IDS - 1), key)]).await.must();
            }
            4..=6 => {
                let leases = store.lease(vec![want(3)], Duration::ZERO).await.must().remove(0);
                let outcome = || match dice.up_to(4) {
                    0 => Outcome::Release,
                    _ => Outcome::Complete { result: None },
                };
                let end = |key| Settlement { key, outcome: outcome() };
                store.settle(leases.iter().map(|it| end(it.key)).collect()).await.must();
            }
            7 => drop(store.cancel(vec![some]).await.must()),
            8 => drop(store.delete(vec![some]).await.must()),
            _ => drop(store.rerun(vec![some]).await.must()),
        }
        clock.advance(Duration::from_millis(dice.up_to(900)));
        store.sweep(100).await.must();
    }
}

/// Everything that can be seen of a store, and what it answers to everything that came before.
async fn seen(store: &EmbeddedStore) -> Vec<String> {
    let mut seen = Vec::new();
    let page = PageRequest { size: 500, include: Include::ALL, ..PageRequest::default() };
    let tasks = store.list("".parse().must(), page).await.must();
    seen.extend(tasks.tasks.iter().map(|task| format!("{task:?}")));
    seen.extend(store.queues().await.must().iter().map(|queue| format!("{queue:?}")));
    for number in 0..IDS {
        seen.push(format!("{number}: {:?}", store.enqueue(vec![task(number, None)]).await.must()));
    }
    for key in 0..KEYS {
        let new = task(10_000 + key, Some(key));
        seen.push(format!("key {key}: {:?}", store.enqueue(vec![new]).await.must()));
    }
    loop {
        let leases = store.lease(vec![want(50)], Duration::ZERO).await.must().remove(0);
        if leases.is_empty() {
            return seen;
        }
        seen.extend(leases.iter().map(|lease| format!("{}: {}", lease.key.task, lease.attempt)));
    }
}

/// I4: a key that was passed on is free when its last holder is gone, also if that one came and
/// went within a segment of which the start reads a hint.
#[tokio::test]
async fn a_hint_tells_of_everybody_who_held_a_key() {
    let (disk, clock) = (SimDisk::new(), ManualClock::new());
    let store = open(&disk, &clock);
    store.enqueue(vec![task(1, Some(1)), task(2, Some(1))]).await.must();
    store.delete(vec![id(2)]).await.must();
    for number in 10..60 {
        store.enqueue(vec![task(number, None)]).await.must();
    }
    store.close().await.must();
    drop(store);
    assert!(disk.list().must().contains(&"0000000001.hint".to_owned()));
    let store = open(&disk, &clock);
    let mut next = task(3, Some(1));
    next.unique = next.unique.map(|key| Unique { on_conflict: OnConflict::Return, ..key });
    let answer = store.enqueue(vec![next]).await.must().remove(0);
    assert!(matches!(answer, Enqueued::Inserted { .. }), "{answer:?}");
}

#[tokio::test]
async fn a_start_with_hints_finds_what_one_without_them_finds() {
    for seed in 0..12 {
        let (disk, clock) = (SimDisk::new(), ManualClock::new());
        let dice = SeededEntropy::from_u64(seed);
        let store = open(&disk, &clock);
        live(&store, &clock, &dice).await;
        store.close().await.must();
        drop(store);
        let hinted = disk.after_crash(Fate::All, &dice);
        let whole = disk.after_crash(Fate::All, &dice);
        let hints: Vec<String> = whole
            .list()
            .must()
            .into_iter()
            .filter(|name| name.rsplit('.').next() == Some("hint"))
            .collect();
        assert!(hints.len() >= 2, "seed {seed}: {hints:?}");
        for hint in hints {
            whole.remove(&hint).must();
        }
        let (hinted, whole) = (open(&hinted, &clock), open(&whole, &clock));
        let (with, without) = (seen(&hinted).await, seen(&whole).await);
        for (with, without) in with.iter().zip(&without) {
            assert_eq!(with, without, "seed {seed}");
        }
        assert_eq!(with.len(), without.len(), "seed {seed}");
    }
}
