//! The helpers that users test with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use haulier::testing::{self, TestWorld};
use haulier::{Client, Ctx, Drained, State, TaskError};

use crate::{Receipt, SendEmail, mail};

type Sends = Arc<AtomicU32>;

async fn send(_: SendEmail, State(sends): State<Sends>, ctx: Ctx) -> Result<Receipt, TaskError> {
    let number = sends.fetch_add(1, Ordering::Relaxed);
    match ctx.attempt() {
        1 => Err(TaskError::fail("busy").after(Duration::from_mins(1))),
        _ => Ok(Receipt { number }),
    }
}

#[tokio::test]
async fn a_world_runs_what_is_due_and_tries_again_when_its_time_has_come() {
    let world = TestWorld::new().state(Sends::default()).register(send);
    world.client().enqueue(mail("a@b.c")).await.unwrap();
    world.assert_enqueued::<SendEmail>(|task| task.to == "a@b.c");
    assert_eq!(world.drain().await, Drained { failed: 1, ..Drained::default() });
    assert_eq!(world.drain().await, Drained::default(), "not before its time");
    world.elapse(Duration::from_mins(1)).await;
    assert_eq!(world.drain().await, Drained { completed: 1, ..Drained::default() });
    assert!(world.enqueued::<SendEmail>().is_empty());
}

#[tokio::test]
#[should_panic(
    expected = "no task email.send is enqueued that satisfies the condition; 1 others are"
)]
async fn an_assertion_that_does_not_hold_says_what_is_there() {
    let world = TestWorld::new();
    world.client().enqueue(mail("a@b.c")).await.unwrap();
    world.assert_enqueued::<SendEmail>(|task| task.to == "x@y.z");
}

#[tokio::test]
async fn tasks_that_handlers_enqueue_are_run_too_whatever_their_queue() {
    let fan_out = async |task: SendEmail, State(client): State<Client>| -> Result<_, TaskError> {
        if task.to == "all" {
            for to in ["a", "b", "c"] {
                client.enqueue(mail(to)).queue("other").await?;
            }
        }
        Ok(Receipt { number: 0 })
    };
    let world = TestWorld::new();
    let client = world.client().clone();
    let world = world.state(client).register(fan_out);
    world.client().enqueue(mail("all")).await.unwrap();
    assert_eq!(world.drain().await.completed, 4);
}

#[tokio::test]
async fn one_handler_can_be_run_alone_at_any_attempt() {
    let sends = Sends::default();
    let run = |attempt| testing::run(send, mail("a")).state(sends.clone()).attempt(attempt);
    assert!(run(1).await.unwrap_err().to_string().contains("busy"));
    assert_eq!(run(3).await.unwrap(), Receipt { number: 1 });
}

#[tokio::test]
async fn a_step_that_an_earlier_attempt_did_is_not_done_again_when_run_alone() {
    let handler = async |_: SendEmail, ctx: Ctx| -> Result<Receipt, TaskError> {
        let number =
            ctx.step("send", async { Err::<u32, _>(TaskError::fail("done twice")) }).await?;
        Ok(Receipt { number })
    };
    let receipt = testing::run(handler, mail("a")).step("send", "7").await.unwrap();
    assert_eq!(receipt, Receipt { number: 7 });
}
