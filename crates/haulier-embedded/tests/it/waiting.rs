//! Many who wait, and much to be had at once.

use std::collections::HashSet;
use std::time::Duration;

use haulier_conformance::prelude::{Must, answer, eventually, ids, only, task, task_with, want_of};
use haulier_core::{
    Control, Inspect, Lease, ManualClock, Payload, Queue, QueueName, SettingsPatch, limits,
};
use haulier_embedded::{EmbeddedStore, Options};

use crate::rig::{complete, small};

async fn pause(store: &EmbeddedStore, paused: bool) {
    let patch = SettingsPatch { paused: Some(paused), ..SettingsPatch::default() };
    store.configure(QueueName::default(), patch).await.must();
}

#[tokio::test]
async fn more_who_wait_than_one_step_serves_all_get_what_is_there() {
    const MANY: usize = limits::ITEMS_MAX + 200;
    let (clock, directory) = (ManualClock::new(), tempfile::TempDir::new().must());
    let store = EmbeddedStore::open(directory.path(), small(&clock)).must();
    pause(&store, true).await;
    for count in [limits::ITEMS_MAX, MANY - limits::ITEMS_MAX] {
        store.enqueue((0..count).map(|_| task()).collect()).await.must();
    }
    let wait = |number: usize| {
        let (store, want) = (store.clone(), want_of(&format!("w{number}"), 1));
        tokio::spawn(async move { store.lease(vec![want], limits::WAIT_MAX).await })
    };
    let waiting: Vec<_> = (0..MANY).map(wait).collect();
    let all_wait = async || store.workers().await.must().len() == MANY;
    eventually("all of them wait", all_wait).await;
    pause(&store, false).await;
    let mut got = HashSet::new();
    for call in waiting {
        got.extend(ids(&only(answer(call).await.must())));
    }
    assert_eq!(got.len(), MANY, "L1");
}

#[tokio::test]
async fn a_call_gets_no_more_bytes_than_it_may_and_the_next_one_gets_the_rest() {
    const EACH: usize = 1024 * 1024;
    const COUNT: usize = 40;
    let (clock, directory) = (ManualClock::new(), tempfile::TempDir::new().must());
    let options = Options { segment_bytes: 8 * 1024 * 1024, ..small(&clock) };
    let store = EmbeddedStore::open(directory.path(), options).must();
    let large = || task_with(|task| task.payload = Payload::new(vec![7; EACH], Payload::BINARY));
    for _ in 0..COUNT {
        store.enqueue(vec![large()]).await.must();
    }
    let mut got = HashSet::new();
    while got.len() < COUNT {
        let all = vec![want_of("w", 1_000)];
        let leases: Vec<Lease> = only(store.lease(all, Duration::ZERO).await.must());
        let bytes: usize = leases.iter().map(|lease| lease.task.payload.bytes.len()).sum();
        assert!((EACH..=4 * limits::FRAME_BYTES_MAX + EACH).contains(&bytes), "L5: {bytes}");
        got.extend(ids(&leases));
        for lease in &leases {
            complete(&store, lease).await;
        }
    }
    assert_eq!(got.len(), COUNT);
}
