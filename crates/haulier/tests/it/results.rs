//! What comes back.

use std::time::Duration;

use haulier::testing::TestWorld;
use haulier::{DeadReason, Payload, Raw, ResultError, TaskError, TaskState};

use crate::{Receipt, SendEmail, mail};

async fn send(task: SendEmail) -> Result<Receipt, TaskError> {
    match task.to.as_str() {
        "nobody" => Err(TaskError::reject("there is nobody")),
        to => Ok(Receipt { number: u32::try_from(to.len())? }),
    }
}

#[tokio::test]
async fn a_result_has_the_type_that_the_task_says() {
    let world = TestWorld::new().register(send);
    let sent = world.client().enqueue(mail("seven77")).await.unwrap();
    world.drain().await;
    assert_eq!(sent.result(Duration::ZERO).await.unwrap(), Receipt { number: 7 });
}

#[tokio::test]
async fn a_dead_task_says_why_instead_of_a_result() {
    let world = TestWorld::new().register(send);
    let sent = world.client().enqueue(mail("nobody")).await.unwrap();
    world.drain().await;
    let error = sent.result(Duration::ZERO).await.unwrap_err();
    assert_eq!(error.to_string(), "the task is dead (rejected): there is nobody");
    assert!(matches!(error, ResultError::Dead { reason: DeadReason::Rejected, .. }));
}

#[tokio::test]
async fn a_cancelled_task_and_one_that_is_not_finished_in_time_are_told_apart() {
    let world = TestWorld::new().register(send);
    let sent = world.client().enqueue(mail("a")).await.unwrap();
    let late = sent.result(Duration::ZERO).await.unwrap_err();
    assert!(matches!(late, ResultError::TimedOut { state: TaskState::Available }), "{late}");
    world.client().control().unwrap().cancel(vec![sent.id()]).await.unwrap();
    let cancelled = sent.result(Duration::ZERO).await.unwrap_err();
    assert!(matches!(cancelled, ResultError::Cancelled), "{cancelled}");
    world.client().control().unwrap().delete(vec![sent.id()]).await.unwrap();
    let gone = sent.result(Duration::ZERO).await.unwrap_err();
    assert!(matches!(gone, ResultError::Gone), "{gone}");
}

#[tokio::test]
async fn bytes_come_back_as_they_were_returned() {
    let upper = async |raw: Raw| -> Result<Option<Payload>, TaskError> {
        Ok(Some(Payload::new(raw.payload.bytes.to_ascii_uppercase(), "text/plain")))
    };
    let world = TestWorld::new().register_raw(Some("shout"), upper);
    let sent =
        world.client().enqueue_raw("shout", Payload::new("hey", "text/plain")).await.unwrap();
    world.drain().await;
    let result = sent.result(Duration::ZERO).await.unwrap();
    assert_eq!(result, Some(Payload::new("HEY", "text/plain")));
}
