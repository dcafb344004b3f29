//! Handing tasks over: what is stored, what meets its double, what is refused.

use std::time::Duration;

use bytes::Bytes;
use haulier_core::{
    Backoff, Code, Enqueued, Include, NewTask, OnConflict, Payload, Priority, Start, State, Unique,
    Until,
};

use crate::Rig;
use crate::prelude::*;

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

/// I9: whatever stands next to it, in a batch, in a log or in a cache.
pub async fn every_delivery_carries_its_own_payload(rig: &mut impl Rig) {
    let sized = |number: usize| vec![u8::try_from(number % 251).must(); number * 37 % 5_000];
    let new = |number| task_with(|task| task.payload = Payload::new(sized(number), "a/b"));
    let tasks: Vec<NewTask> = (0..100).map(new).collect();
    put_all(rig, tasks.clone()).await;
    let mut leases = take(rig, 30).await;
    rig.reopen().await;
    leases.extend(take(rig, 100).await);
    assert_eq!(leases.len(), tasks.len());
    for (lease, new) in leases.iter().zip(&tasks) {
        assert_eq!(lease.key.task, new.id);
        assert_eq!(*lease.task, new.task, "I9: what is delivered was enqueued");
    }
}

/// I4: an enqueue whose answer was lost can be repeated.
pub async fn a_repeated_enqueue_gives_the_same_task(rig: &mut impl Rig) {
    let new = task();
    let id = put(rig, new.clone()).await;
    assert_eq!(existing(offer(rig, new).await), (id, Some(State::Available)));
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
        assert_eq!(refused(offer(rig, other).await), Code::IdConflict);
    }
    assert_eq!(*view(rig, id).await.task, first.task);
}

/// I4: so a batch may be repeated with anything in it twice.
pub async fn duplicates_within_a_batch_meet_each_other_in_order(rig: &mut impl Rig) {
    let first = task();
    let mut conflict = first.clone();
    conflict.payload = Payload::json("1");
    let batch = vec![first.clone(), first.clone(), conflict];
    let mut answers = rig.queue().enqueue(batch).await.must().into_iter();
    assert_eq!(answers.next().must().accepted(), Ok(first.id));
    assert_eq!(existing(answers.next().must()), (first.id, Some(State::Available)));
    assert_eq!(refused(answers.next().must()), Code::IdConflict);
    assert_eq!(take(rig, 3).await.len(), 1);
}

/// I4: before, during and after its life.
pub async fn a_repeated_enqueue_tells_where_the_task_stands(rig: &mut impl Rig) {
    let new = task_with(|task| task.start = Start::After(SECOND));
    let id = put(rig, new.clone()).await;
    assert_eq!(existing(offer(rig, new.clone()).await), (id, Some(State::Scheduled)));
    rig.elapse(SECOND).await;
    let lease = take_one(rig).await;
    assert_eq!(existing(offer(rig, new.clone()).await), (id, Some(State::Running)));
    settle(rig, lease.key, COMPLETE).await;
    assert_eq!(existing(offer(rig, new).await), (id, Some(State::Completed)));
    assert!(take(rig, 1).await.is_empty(), "it is not done again");
}

/// I4: same work is same queue, kind and payload; how and when it is tried stays as it was said
/// first.
pub async fn the_same_work_said_differently_changes_nothing(rig: &mut impl Rig) {
    let first = task();
    let id = put(rig, first.clone()).await;
    let mut again = first.clone();
    again.priority = Priority::new(9).must();
    again.start = Start::After(SECOND);
    again.labels = [("a", "b")].into_iter().collect();
    assert_eq!(existing(offer(rig, again).await), (id, Some(State::Available)));
    assert_eq!(*view(rig, id).await.task, first.task);
}

/// I4: an id stays known after its task is gone; there is nothing left to compare with.
pub async fn the_id_of_a_removed_task_is_remembered(rig: &mut impl Rig) {
    let new = task();
    let id = put(rig, new.clone()).await;
    delete(rig, id).await;
    rig.elapse(limits::DEDUP_WINDOW - SECOND).await;
    assert_eq!(existing(offer(rig, new.clone()).await), (id, None));
    let mut other = new;
    other.payload = Payload::json("1");
    assert_eq!(existing(offer(rig, other).await), (id, None));
    assert!(take(rig, 1).await.is_empty());
}

/// I4: the window is bounded.
pub async fn the_id_of_a_removed_task_is_free_again_after_the_dedup_window(rig: &mut impl Rig) {
    let window = rig.capabilities().dedup_window;
    let new = task();
    let id = put(rig, new.clone()).await;
    delete(rig, id).await;
    rig.elapse(window).await;
    assert_eq!(put(rig, new).await, id);
    assert_eq!(take_one(rig).await.key.task, id);
}

/// I4: across a restart, for a task that is there and for one that is gone.
pub async fn ids_are_known_after_reopening(rig: &mut impl Rig) {
    let (kept, gone) = (task(), task());
    put_all(rig, vec![kept.clone(), gone.clone()]).await;
    delete(rig, gone.id).await;
    rig.reopen().await;
    let answer = offer(rig, kept.clone()).await;
    assert!(matches!(answer, Enqueued::Existing { .. }), "I4: known after reopening: {answer:?}");
    assert_eq!(existing(answer), (kept.id, Some(State::Available)));
    assert_eq!(existing(offer(rig, gone.clone()).await), (gone.id, None));
    let mut conflict = kept;
    conflict.payload = Payload::json("1");
    assert_eq!(refused(offer(rig, conflict).await), Code::IdConflict);
    assert_eq!(take(rig, 2).await.len(), 1);
}

/// I4: one is told that it inserted, all the others that it exists.
pub async fn callers_with_one_id_store_one_task(rig: &mut impl Rig) {
    let new = task();
    let answers = all_at_once(|_| {
        let (queue, new) = (rig.queue(), new.clone());
        Box::pin(async move { only(queue.enqueue(vec![new]).await.must()) })
    })
    .await;
    let inserted = |answer: &&Enqueued| matches!(answer, Enqueued::Inserted { .. });
    assert_eq!(answers.iter().filter(inserted).count(), 1, "I4: one of them stored it");
    assert!(answers.into_iter().all(|answer| answer.accepted() == Ok(new.id)));
    assert_eq!(take(rig, 2).await.len(), 1, "I4: one task");
}

/// I10: a refusal leaves nothing behind, not even the id.
pub async fn a_refused_task_never_runs_and_its_id_stays_free(rig: &mut impl Rig) {
    let mut new = task_with(|task| task.policy.max_attempts = 0);
    assert_eq!(refused(offer(rig, new.clone()).await), Code::Invalid);
    assert!(find(rig, new.id).await.is_none(), "I10: what was refused is not there");
    assert!(take(rig, 1).await.is_empty(), "I10: and never runs");
    new.policy.max_attempts = 1;
    assert_eq!(put(rig, new.clone()).await, new.id);
}

/// I10, I13: one bad item spoils nothing but itself, and every answer stands where its task stood.
pub async fn answers_stand_in_the_order_of_the_request(rig: &mut impl Rig) {
    let (first, last) = (task(), task());
    let bad = task_with(|task| task.expires_in = Some(Duration::ZERO));
    let batch = vec![first.clone(), bad.clone(), first.clone(), last.clone()];
    let mut answers = rig.queue().enqueue(batch).await.must().into_iter();
    assert_eq!(answers.next().must().accepted(), Ok(first.id));
    assert_eq!(refused(answers.next().must()), Code::Invalid);
    assert_eq!(existing(answers.next().must()).0, first.id);
    assert_eq!(answers.next().must().accepted(), Ok(last.id));
    assert_eq!(ids(&take(rig, 9).await), [first.id, last.id]);
}

/// I1: an acknowledgement says what it is worth, and it is what the store says of itself.
pub async fn an_acknowledgement_says_how_durable_the_task_is(rig: &mut impl Rig) {
    let new = task();
    let promised = rig.capabilities().durability;
    match offer(rig, new.clone()).await {
        Enqueued::Inserted { durability, .. } => assert_eq!(durability, promised),
        other => panic!("{other:?}"),
    }
    match offer(rig, new).await {
        Enqueued::Existing { durability, .. } => assert_eq!(durability, promised),
        other => panic!("{other:?}"),
    }
}

/// I1, I9: with everything that was said about it.
pub async fn acknowledged_tasks_are_there_after_reopening(rig: &mut impl Rig) {
    let full = task_with(|task| {
        task.queue = queue("mail.bulk");
        task.kind = kind("email.send");
        task.payload = Payload::new(vec![0, 159, 146, 150], "application/octet-stream");
        task.priority = Priority::new(9).must();
        task.policy.max_attempts = 3;
        task.policy.timeout = Duration::from_secs(77);
        task.policy.retain = Some(Duration::from_secs(78));
        task.policy.backoff = Backoff::fixed(Duration::from_millis(1_500));
        task.expires_in = Some(Duration::from_hours(1));
        task.headers = [("b", "2"), ("a", "1")].into_iter().collect();
        task.labels = [("tenant", "acme"), ("empty", "")].into_iter().collect();
        task.start = Start::After(Duration::from_mins(1));
        let mut unique = Unique::new("order-17");
        unique.window = Duration::from_mins(5);
        unique.until = Until::Start;
        unique.on_conflict = OnConflict::Reject;
        task.unique = Some(unique);
    });
    let plain = task();
    put_all(rig, vec![full.clone(), plain.clone()]).await;
    let before = [view(rig, full.id).await, view(rig, plain.id).await];
    assert_eq!((&*before[0].task, &before[0].unique), (&full.task, &full.unique));
    rig.reopen().await;
    assert_eq!([view(rig, full.id).await, view(rig, plain.id).await], before);
    assert_eq!(take_one(rig).await.key.task, plain.id);
}

/// Nothing asked, nothing answered.
pub async fn an_empty_call_gets_an_empty_answer(rig: &mut impl Rig) {
    assert!(rig.queue().enqueue(Vec::new()).await.must().is_empty());
    assert!(rig.queue().lease(Vec::new(), Duration::ZERO).await.must().is_empty());
    assert!(rig.queue().settle(Vec::new()).await.must().is_empty());
    assert!(rig.queue().beat(Vec::new()).await.must().is_empty());
    assert!(rig.control().cancel(Vec::new()).await.must().is_empty());
    let none = rig.inspect().get(Vec::new(), Include::ALL, Duration::ZERO).await.must();
    assert!(none.is_empty());
}
