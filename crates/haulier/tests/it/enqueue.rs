//! Handing tasks over.

use std::time::Duration;

use haulier::core::{Start, limits};
use haulier::testing::TestWorld;
use haulier::{Backoff, Code, Enqueued, OnConflict, Payload, TaskState, Timestamp, Until};

use crate::mail;

#[tokio::test]
async fn every_option_of_a_kind_and_of_an_enqueue_reaches_the_task() {
    let world = TestWorld::new();
    let client = world.client();
    let kind = client.enqueue(mail("a")).into_task().unwrap();
    assert_eq!((kind.queue.as_str(), kind.policy.max_attempts), ("mail", 3));
    assert_eq!(kind.policy.timeout, Duration::from_secs(30));
    let id = client.new_id();
    let task = client
        .enqueue(mail("a"))
        .id(id)
        .queue("bulk")
        .priority(7)
        .run_at(Timestamp(5))
        .max_attempts(9)
        .timeout(Duration::from_secs(1))
        .backoff(Backoff::fixed(Duration::from_secs(2)))
        .expires_in(Duration::from_secs(3))
        .retain(Duration::from_secs(4))
        .unique("order-17")
        .unique_for(Duration::from_hours(1))
        .unique_until(Until::Start)
        .on_conflict(OnConflict::Reject)
        .label("tenant", "acme")
        .header("traceparent", "00")
        .into_task()
        .unwrap();
    let unique = task.unique.as_ref().unwrap();
    assert_eq!((task.id, task.queue.as_str(), task.priority.get()), (id, "bulk", 7));
    assert_eq!((task.start, task.policy.max_attempts), (Start::At(Timestamp(5)), 9));
    assert_eq!(task.policy.timeout, Duration::from_secs(1));
    assert_eq!(task.policy.backoff, Backoff::fixed(Duration::from_secs(2)));
    assert_eq!(task.expires_in, Some(Duration::from_secs(3)));
    assert_eq!(task.policy.retain, Some(Duration::from_secs(4)));
    assert_eq!((&*unique.key, unique.window), ("order-17", Duration::from_hours(1)));
    assert_eq!((unique.until, unique.on_conflict), (Until::Start, OnConflict::Reject));
    assert_eq!(
        (task.labels.get("tenant"), task.headers.get("traceparent")),
        (Some("acme"), Some("00"))
    );
}

#[tokio::test]
async fn what_is_wrong_with_an_option_is_told_when_the_task_is_sent() {
    let world = TestWorld::new();
    let client = world.client();
    for (enqueue, hint) in [
        (client.enqueue(mail("a")).queue("a/b"), "not a name"),
        (client.enqueue(mail("a")).priority(10), "0 to 9"),
        (client.enqueue(mail("a")).max_attempts(0), "1 to 1000"),
        (client.enqueue(mail("a")).unique_for(Duration::from_secs(1)), "add .unique"),
    ] {
        let error = enqueue.await.unwrap_err();
        assert_eq!(error.code(), Code::Invalid);
        assert!(error.message().contains(hint), "{error} does not say {hint}");
    }
    let kind = client.enqueue_raw("no kind", Payload::json("1")).await.unwrap_err();
    assert_eq!(kind.code(), Code::Invalid);
}

#[tokio::test]
async fn a_repeated_id_and_a_taken_unique_key_meet_the_task_that_was_there() {
    let world = TestWorld::new();
    let client = world.client();
    let first = client.enqueue(mail("a")).unique("k").await.unwrap();
    assert!(!first.is_existing());
    let again = client.enqueue(mail("a")).id(first.id()).await.unwrap();
    assert!(again.is_existing() && again.id() == first.id());
    let same = client.enqueue(mail("b")).unique("k").await.unwrap();
    assert!(same.is_existing() && same.id() == first.id());
    let other = client.enqueue(mail("b")).id(first.id()).await.unwrap_err();
    assert_eq!(other.code(), Code::IdConflict);
    let rejected = client.enqueue(mail("b")).unique("k").on_conflict(OnConflict::Reject);
    assert_eq!(rejected.await.unwrap_err().code(), Code::UniqueConflict);
}

#[tokio::test]
async fn a_delayed_task_waits_for_its_time() {
    let world = TestWorld::new();
    let sent = world.client().enqueue(mail("a")).delay(Duration::from_mins(5)).await.unwrap();
    assert_eq!(sent.state_then(), Some(TaskState::Scheduled));
    world.elapse(Duration::from_millis(299_999)).await;
    assert_eq!(sent.state().await.unwrap(), TaskState::Scheduled);
    world.elapse(Duration::from_millis(1)).await;
    assert_eq!(sent.state().await.unwrap(), TaskState::Available);
}

#[tokio::test]
async fn more_tasks_than_a_call_may_carry_are_answered_one_by_one_in_order() {
    let world = TestWorld::new();
    let client = world.client();
    let mut tasks: Vec<_> =
        (0..=2 * limits::ITEMS_MAX).map(|_| client.task(&mail("a")).unwrap()).collect();
    tasks[1_500].policy.max_attempts = 0;
    let ids: Vec<_> = tasks.iter().map(|task| task.id).collect();
    let answers = client.enqueue_many(tasks).await.unwrap();
    assert_eq!(answers.len(), ids.len());
    for (at, answer) in answers.into_iter().enumerate() {
        let inserted = matches!(answer, Enqueued::Inserted { id, .. } if id == ids[at]);
        let refused = matches!(answer, Enqueued::Refused(_));
        assert!(if at == 1_500 { refused } else { inserted }, "{at}: {answer:?}");
    }
}
