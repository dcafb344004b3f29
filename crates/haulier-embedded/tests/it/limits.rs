//! At a limit, and one above it, with limits that are small.

use std::time::Duration;

use haulier_conformance::prelude::Must;
use haulier_core::{
    Code, Control, Enqueued, Kind, ManualClock, NewTask, Payload, Queue, QueueName, SettingsPatch,
    TaskId,
};
use haulier_embedded::{EmbeddedStore, Options};

use crate::rig::small;

fn task(number: u8, queue: &str, kind: &str) -> NewTask {
    let id = TaskId::from_bytes([number; 16]);
    let mut new = NewTask::new(id, Kind::new(kind).must(), Payload::json("1"));
    new.queue = QueueName::new(queue).must();
    new
}

async fn refused(store: &EmbeddedStore, new: NewTask) -> Option<Code> {
    match store.enqueue(vec![new]).await.must().remove(0) {
        Enqueued::Refused(refusal) => Some(refusal.code),
        Enqueued::Inserted { .. } | Enqueued::Existing { .. } => None,
    }
}

async fn configure(store: &EmbeddedStore, queue: &str) -> Option<Code> {
    let patch = SettingsPatch { paused: Some(true), ..SettingsPatch::default() };
    let configured = store.configure(QueueName::new(queue).must(), patch).await;
    configured.err().map(|error| error.code())
}

#[tokio::test]
async fn a_store_knows_as_many_queues_as_the_limit_and_no_more_after_a_restart_too() {
    let (clock, directory) = (ManualClock::new(), tempfile::TempDir::new().must());
    let options = || Options { queues_max: 3, ..small(&clock) };
    let store = EmbeddedStore::open(directory.path(), options()).must();
    assert_eq!(refused(&store, task(1, "a", "k")).await, None);
    assert_eq!(refused(&store, task(2, "b", "k")).await, None);
    assert_eq!(configure(&store, "c").await, None, "at the limit");
    for reopened in [false, true] {
        let store = if reopened {
            store.close().await.must();
            EmbeddedStore::open(directory.path(), options()).must()
        } else {
            store.clone()
        };
        let number = 10 * (1 + u8::from(reopened));
        assert_eq!(refused(&store, task(number, "d", "k")).await, Some(Code::StorageFull), "L5");
        assert_eq!(configure(&store, "d").await, Some(Code::StorageFull), "L5");
        assert_eq!(refused(&store, task(number + 1, "c", "k")).await, None, "L6: the others go on");
        assert_eq!(configure(&store, "c").await, None);
        let views = haulier_core::Inspect::queues(&store).await.must();
        assert_eq!(views.len(), 3, "I10: {views:?}");
        clock.advance(Duration::from_millis(1));
    }
}

#[tokio::test]
async fn a_store_knows_as_many_kinds_as_the_limit_and_no_more() {
    let (clock, directory) = (ManualClock::new(), tempfile::TempDir::new().must());
    let options = Options { queues_max: 2, ..small(&clock) };
    let store = EmbeddedStore::open(directory.path(), options).must();
    assert_eq!(refused(&store, task(1, "a", "k-1")).await, None);
    assert_eq!(refused(&store, task(2, "a", "k-2")).await, None);
    assert_eq!(refused(&store, task(3, "a", "k-3")).await, Some(Code::StorageFull), "L5");
    assert_eq!(refused(&store, task(4, "a", "k-2")).await, None);
}
