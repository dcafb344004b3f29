//! What an attempt can lead to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use haulier_core::{Backoff, Cause, DeadReason, Payload, State as TaskState};
use haulier_worker::{Ctx, Drained, Raw, State, TaskError};

use crate::Job;
use crate::world::{World, text};

/// How often something ran.
type Runs = Arc<AtomicU32>;

#[tokio::test]
async fn a_task_is_done_and_its_result_is_kept() {
    let world = World::new();
    let id = world.enqueue(7, |_| ()).await;
    let worker =
        world.worker().register(async |job: Job| Ok::<_, TaskError>(format!("did {}", job.number)));
    let drained = worker.run_until_idle().await.unwrap();
    assert_eq!(drained, Drained { completed: 1, ..Drained::default() });
    assert_eq!(text(world.view(id).await.result.as_ref()), "\"did 7\"");
}

#[tokio::test]
async fn a_failing_task_is_tried_again_after_its_backoff_until_its_attempts_are_used_up() {
    let world = World::new();
    let id = world
        .enqueue(1, |task| {
            task.policy.max_attempts = 3;
            task.policy.backoff = Backoff::fixed(Duration::from_secs(10));
        })
        .await;
    let handler =
        async |_: Job| -> Result<String, TaskError> { Ok("x".parse::<u32>()?.to_string()) };
    let running = world.start(world.worker().register(handler)).await;
    assert_eq!(world.state(id).await, TaskState::Retryable);
    world.elapse(Duration::from_millis(9_999)).await;
    assert_eq!(world.view(id).await.standing.attempt, 1, "not before its time");
    world.elapse(Duration::from_millis(1)).await;
    assert_eq!(world.view(id).await.standing.attempt, 2);
    world.elapse(Duration::from_secs(10)).await;
    let view = world.view(id).await;
    assert_eq!(
        (view.state(), view.standing.reason),
        (TaskState::Dead, Some(DeadReason::Exhausted))
    );
    let failure = view.last_failure().unwrap();
    assert_eq!((failure.cause, &*failure.message), (Cause::Error, "invalid digit found in string"));
    assert!(failure.class.contains("ParseIntError"));
    running.crash().await;
}

#[tokio::test]
async fn a_handler_may_propose_when_to_try_again() {
    let world = World::new();
    let id = world.enqueue(1, |_| ()).await;
    let handler = async |_: Job| -> Result<String, TaskError> {
        Err(TaskError::fail("busy").after(Duration::from_mins(7)))
    };
    world.worker().register(handler).run_until_idle().await.unwrap();
    let view = world.view(id).await;
    assert_eq!(view.due_at.since(view.deliveries[0].ended_at.unwrap()), Duration::from_mins(7));
}

#[tokio::test]
async fn a_handler_may_reject_snooze_or_release() {
    let world = World::new();
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(world.enqueue(number, |_| ()).await);
    }
    let handler = async |job: Job, State(runs): State<Runs>| -> Result<String, TaskError> {
        match job.number {
            0 => Err(TaskError::reject("never")),
            1 => Err(TaskError::snooze(Duration::from_mins(1))),
            _ if runs.fetch_add(1, Ordering::Relaxed) == 0 => Err(TaskError::release()),
            _ => Ok("the second time".to_owned()),
        }
    };
    let worker = world.worker().state(Runs::default()).register(handler);
    let drained = worker.run_until_idle().await.unwrap();
    let expected = Drained { completed: 1, dead: 1, snoozed: 1, released: 1, ..Drained::default() };
    assert_eq!(drained, expected);
    assert_eq!(world.view(ids[0]).await.standing.reason, Some(DeadReason::Rejected));
    assert_eq!(world.view(ids[1]).await.standing.attempt, 0, "a snooze counts no attempt");
    assert_eq!(world.view(ids[2]).await.standing.attempt, 1, "a release counts no attempt");
}

#[tokio::test]
async fn a_panic_is_a_failure_with_its_message_and_the_worker_goes_on() {
    let world = World::new();
    let id = world.enqueue(0, |_| ()).await;
    let other = world.enqueue(1, |_| ()).await;
    let handler = async |job: Job| -> Result<String, TaskError> {
        assert!(job.number > 0, "number {} is not above zero", job.number);
        Ok(String::new())
    };
    world.worker().register(handler).run_until_idle().await.unwrap();
    let view = world.view(id).await;
    let failure = view.last_failure().unwrap();
    assert_eq!((view.state(), failure.cause), (TaskState::Retryable, Cause::Panic));
    assert_eq!(&*failure.message, "number 0 is not above zero");
    assert_eq!(world.state(other).await, TaskState::Completed);
}

#[tokio::test]
async fn a_handler_that_panics_while_it_is_dropped_takes_no_other_with_it() {
    struct Trap;
    impl Drop for Trap {
        fn drop(&mut self) {
            assert!(std::thread::panicking(), "dropped");
        }
    }
    let world = World::new();
    let id = world.enqueue(0, |task| task.policy.timeout = Duration::from_secs(1)).await;
    let handler = async |job: Job| -> Result<String, TaskError> {
        if job.number == 0 {
            let _trap = Trap;
            std::future::pending::<()>().await;
        }
        Ok(String::new())
    };
    let running = world.start(world.worker().register(handler)).await;
    world.elapse(Duration::from_secs(1)).await;
    assert_eq!(world.view(id).await.last_failure().unwrap().cause, Cause::Timeout);
    let other = world.enqueue(1, |_| ()).await;
    world.elapse(Duration::from_secs(1)).await;
    assert_eq!(world.state(other).await, TaskState::Completed);
    running.crash().await;
}

#[tokio::test]
async fn a_payload_that_cannot_be_read_fails_so_that_a_newer_worker_may_read_it() {
    let world = World::new();
    let id = world.enqueue(0, |task| task.payload = Payload::json(r#"{"nr": 1}"#)).await;
    let handler = async |_: Job| Ok::<_, TaskError>(String::new());
    world.worker().register(handler).run_until_idle().await.unwrap();
    let view = world.view(id).await;
    let failure = view.last_failure().unwrap();
    assert_eq!((view.state(), failure.cause), (TaskState::Retryable, Cause::Decode));
    assert!(failure.message.contains("missing field `number`"), "{}", failure.message);
}

#[tokio::test]
async fn a_result_that_is_too_large_is_rejected_with_the_reason() {
    let world = World::new();
    let id = world.enqueue(0, |_| ()).await;
    let handler = async |_: Job| Ok::<_, TaskError>("x".repeat(2 * 1024 * 1024));
    world.worker().register(handler).run_until_idle().await.unwrap();
    let view = world.view(id).await;
    assert_eq!(view.standing.reason, Some(DeadReason::Rejected));
    assert!(view.last_failure().unwrap().message.contains("result has 2097154 bytes"));
}

#[tokio::test]
async fn a_step_that_is_done_is_not_done_again_however_often_its_task_is_delivered() {
    let world = World::new();
    let id =
        world.enqueue(0, |task| task.policy.backoff = Backoff::fixed(Duration::from_secs(1))).await;
    let charged = Runs::default();
    let handler = async |_: Job, State(runs): State<Runs>, ctx: Ctx| -> Result<_, TaskError> {
        let charge = async { Ok::<_, TaskError>(runs.fetch_add(1, Ordering::Relaxed) + 40) };
        let receipt: u32 = ctx.step("charge", charge).await?;
        match ctx.attempt() {
            1 => panic!("after the step"),
            2 => Err(TaskError::fail("after the step")),
            attempt => Ok(format!("receipt {receipt} at attempt {attempt}")),
        }
    };
    let worker = world.worker().state(charged.clone()).register(handler);
    let running = world.start(worker).await;
    world.elapse(Duration::from_secs(3)).await;
    let view = world.view(id).await;
    assert_eq!(view.deliveries.len(), 3);
    assert_eq!(text(view.result.as_ref()), "\"receipt 40 at attempt 3\"");
    assert_eq!(charged.load(Ordering::Relaxed), 1);
    running.crash().await;
}

#[tokio::test]
async fn progress_is_seen_while_the_handler_runs() {
    let world = World::new();
    let id = world.enqueue(0, |_| ()).await;
    let handler = async |_: Job, ctx: Ctx| -> Result<String, TaskError> {
        ctx.progress(0.5, "half").await?;
        ctx.cancelled().await;
        Err(TaskError::cancelled())
    };
    let running = world.start(world.worker().register(handler)).await;
    world.elapse(Duration::from_secs(1)).await;
    let progress = world.view(id).await.progress.unwrap();
    assert_eq!((progress.fraction, &*progress.note), (0.5, "half"));
    running.crash().await;
}

#[tokio::test]
async fn a_plain_function_runs_beside_the_runtime() {
    let world = World::new();
    let id = world.enqueue(3, |_| ()).await;
    let broken = world.enqueue(0, |_| ()).await;
    let handler = |job: Job, ctx: Ctx| -> Result<String, TaskError> {
        Ok(format!("{} at {}", 12 / job.number, ctx.attempt()))
    };
    world.worker().register_blocking(handler).run_until_idle().await.unwrap();
    assert_eq!(text(world.view(id).await.result.as_ref()), "\"4 at 1\"");
    let view = world.view(broken).await;
    assert_eq!(view.last_failure().unwrap().cause, Cause::Panic);
}

#[tokio::test]
async fn a_handler_of_bytes_may_serve_every_kind_that_has_no_handler_of_its_own() {
    let world = World::new();
    let other = world.enqueue(1, |task| task.kind = "other".parse().unwrap()).await;
    let job = world.enqueue(2, |_| ()).await;
    let raw = async |raw: Raw, ctx: Ctx| -> Result<Option<Payload>, TaskError> {
        let kind = ctx.task().kind.as_str().to_owned();
        Ok(Some(Payload::new([kind.as_bytes(), &raw.payload.bytes].concat(), "text/plain")))
    };
    let worker = world
        .worker()
        .register_raw(None, raw)
        .register(async |_: Job| Ok::<_, TaskError>("typed".to_owned()));
    worker.run_until_idle().await.unwrap();
    assert_eq!(text(world.view(other).await.result.as_ref()), r#"other{"number":1}"#);
    assert_eq!(text(world.view(job).await.result.as_ref()), "\"typed\"");
}
