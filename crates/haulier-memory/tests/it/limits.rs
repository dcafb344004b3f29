//! At a limit, and one above it, with limits that are small.

use std::sync::Arc;

use haulier_conformance::prelude::Must;
use haulier_core::{
    Code, Control, Enqueued, Kind, ManualClock, NewTask, Payload, Queue, QueueName, SettingsPatch,
    TaskId,
};
use haulier_memory::MemoryStore;

async fn refused(store: &MemoryStore, number: u8, queue: &str) -> Option<Code> {
    let id = TaskId::from_bytes([number; 16]);
    let mut new = NewTask::new(id, Kind::new("k").must(), Payload::json("1"));
    new.queue = QueueName::new(queue).must();
    match store.enqueue(vec![new]).await.must().remove(0) {
        Enqueued::Refused(refusal) => Some(refusal.code),
        Enqueued::Inserted { .. } | Enqueued::Existing { .. } => None,
    }
}

async fn configure(store: &MemoryStore, queue: &str) -> Option<Code> {
    let patch = SettingsPatch { paused: Some(true), ..SettingsPatch::default() };
    let configured = store.configure(QueueName::new(queue).must(), patch).await;
    configured.err().map(|error| error.code())
}

#[tokio::test]
async fn a_store_knows_as_many_queues_as_the_limit_and_no_more() {
    let store = MemoryStore::new(Arc::new(ManualClock::new())).with_queues_max(2);
    assert_eq!(refused(&store, 1, "a").await, None);
    assert_eq!(configure(&store, "b").await, None, "at the limit");
    assert_eq!(refused(&store, 2, "c").await, Some(Code::StorageFull), "L5");
    assert_eq!(configure(&store, "c").await, Some(Code::StorageFull), "L5");
    assert_eq!(refused(&store, 3, "b").await, None, "L6: the others go on");
    assert_eq!(configure(&store, "a").await, None);
}
