//! Handing tasks over: what is stored, what meets its double, what is refused.

use bytes::Bytes;
use haulier_core::{Code, Enqueued, Payload, State};

use crate::Rig;
use crate::kit::*;

/// I1, I9: payloads are bytes, not text.
pub async fn an_enqueued_task_is_stored_and_delivered_byte_for_byte(rig: &mut impl Rig) {
    let every_byte: Bytes = (0..=255u8).cycle().take(70_000).collect();
    let new = task_with(|task| {
        task.payload = Payload::new(every_byte.clone(), "application/x-thing; v=\"1\"");
        task.headers = [("traceparent", "00-aa-bb-01"), ("x", "ü")].into_iter().collect();
        task.labels = [("tenant", "acme")].into_iter().collect();
    });
    let id = put(rig, new.clone()).await;
    let lease = take_one(rig).await;
    assert_eq!(lease.key.task, id);
    assert_eq!(*lease.task, new.task);
    assert_eq!(lease.task.payload.bytes, every_byte);
    assert_eq!(*view(rig, id).await.task, new.task);
}

/// I4: an enqueue whose answer was lost can be repeated.
pub async fn a_repeated_enqueue_gives_the_same_task(rig: &mut impl Rig) {
    let new = task();
    let id = put(rig, new.clone()).await;
    match offer(rig, new).await {
        Enqueued::Existing { id: same, state, .. } => {
            assert_eq!((same, state), (id, Some(State::Available)));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(take(rig, 2).await.len(), 1, "it is there once");
}

/// I4: an id names one task for ever.
pub async fn the_same_id_with_other_work_is_a_conflict(rig: &mut impl Rig) {
    let first = task();
    let id = put(rig, first.clone()).await;
    let mut payload = first.clone();
    payload.payload = Payload::json("[]");
    let mut kind_differs = first.clone();
    kind_differs.kind = kind("other");
    let mut queue_differs = first.clone();
    queue_differs.queue = queue("other");
    for other in [payload, kind_differs, queue_differs] {
        match offer(rig, other).await {
            Enqueued::Refused(refusal) => assert_eq!(refusal.code, Code::IdConflict),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(*view(rig, id).await.task, first.task);
}
