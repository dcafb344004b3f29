//! What breaks a rule is refused before it travels.

use std::sync::Arc;
use std::time::Duration;

use haulier_core::{Code, Enqueued, Queue, QueueName, Want, WorkerId};
use haulier_layers::Validate;

#[tokio::test]
async fn a_task_that_breaks_a_rule_is_refused_and_the_others_keep_their_places() {
    let (store, clock, dice) = crate::setup();
    let queue = Validate::new(Arc::new(store));
    let mut wrong = crate::task(&clock, &dice);
    wrong.policy.max_attempts = 0;
    let tasks = vec![crate::task(&clock, &dice), wrong, crate::task(&clock, &dice)];
    let ids = [tasks[0].id, tasks[2].id];
    let answers = queue.enqueue(tasks).await.unwrap();
    assert_eq!(answers.len(), 3);
    assert!(matches!(&answers[0], Enqueued::Inserted { id, .. } if *id == ids[0]));
    assert!(matches!(&answers[1], Enqueued::Refused(why) if why.code == Code::Invalid));
    assert!(matches!(&answers[2], Enqueued::Inserted { id, .. } if *id == ids[1]));
}

#[tokio::test]
async fn a_want_that_breaks_a_rule_fails_its_call_without_asking_the_store() {
    let (store, ..) = crate::setup();
    let queue = Validate::new(Arc::new(store));
    let mut want = Want::new(WorkerId::new("w").unwrap(), QueueName::default(), 1);
    want.ttl = Duration::ZERO;
    let error = queue.lease(vec![want], Duration::ZERO).await.unwrap_err();
    assert_eq!(error.code(), Code::Invalid);
}
