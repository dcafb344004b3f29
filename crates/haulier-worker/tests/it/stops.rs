//! What stops a handler: its timeout, a cancellation, the end of the worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use haulier_core::{Cause, Control, Directive, Inspect, State as TaskState};
use haulier_worker::{Ctx, State, TaskError};

use crate::Job;
use crate::world::World;

/// A handler that never ends by itself.
async fn forever(_: Job) -> Result<String, TaskError> {
    std::future::pending().await
}

/// A handler that ends when it is asked to.
async fn polite(_: Job, ctx: Ctx) -> Result<String, TaskError> {
    ctx.cancelled().await;
    Err(TaskError::cancelled())
}

/// A handler that hears, and does not care.
async fn deaf(_: Job, ctx: Ctx) -> Result<String, TaskError> {
    ctx.cancelled().await;
    std::future::pending().await
}

#[tokio::test]
async fn an_attempt_that_runs_longer_than_its_timeout_fails_and_is_tried_again() {
    let world = World::new();
    let id = world.enqueue(0, |task| task.policy.timeout = Duration::from_secs(3)).await;
    let running = world.start(world.worker().register(forever)).await;
    world.elapse(Duration::from_millis(2_999)).await;
    assert_eq!(world.state(id).await, TaskState::Running);
    world.elapse(Duration::from_millis(1)).await;
    let view = world.view(id).await;
    assert_eq!(view.state(), TaskState::Retryable);
    assert_eq!(view.last_failure().unwrap().cause, Cause::Timeout);
    running.crash().await;
}

#[tokio::test]
async fn a_worker_that_has_waited_long_for_a_task_gives_it_its_whole_time() {
    let world = World::new();
    let running = world.start(world.worker().register(forever)).await;
    for seconds in [9, 19, 29] {
        world.elapse(Duration::from_secs(seconds)).await;
        let id = world.enqueue(0, |task| task.policy.timeout = Duration::from_secs(3)).await;
        world.elapse(Duration::from_millis(2_999)).await;
        assert_eq!(world.state(id).await, TaskState::Running);
        world.elapse(Duration::from_millis(1)).await;
        assert_eq!(world.view(id).await.last_failure().unwrap().cause, Cause::Timeout);
        world.cancel(id).await;
    }
    running.crash().await;
}

#[tokio::test]
async fn a_handler_that_hears_of_its_timeout_and_goes_on_is_dropped_after_its_grace() {
    let world = World::new();
    let id = world.enqueue(0, |task| task.policy.timeout = Duration::from_secs(3)).await;
    let running = world.start(world.worker().register(deaf)).await;
    world.elapse(Duration::from_secs(10)).await;
    assert_eq!(world.state(id).await, TaskState::Running);
    world.elapse(Duration::from_secs(1)).await;
    let view = world.view(id).await;
    assert_eq!((view.state(), view.standing.losses), (TaskState::Retryable, 0));
    assert_eq!(view.last_failure().unwrap().cause, Cause::Timeout);
    running.crash().await;
}

#[tokio::test]
async fn a_cancellation_reaches_the_handler_at_once() {
    let world = World::new();
    let ids = [world.enqueue(0, |_| ()).await, world.enqueue(1, |_| ()).await];
    let handler = async |job: Job, ctx: Ctx| match job.number {
        0 => polite(job, ctx).await,
        _ => forever(job).await,
    };
    let running = world.start(world.worker().register(handler)).await;
    for id in ids {
        assert_eq!(world.state(id).await, TaskState::Running);
        world.cancel(id).await;
        let view = world.view(id).await;
        assert_eq!((view.state(), view.standing.losses), (TaskState::Cancelled, 0));
    }
    running.crash().await;
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_finishes_what_runs_and_takes_nothing_more() {
    let world = World::new();
    let first = world.enqueue(0, |_| ()).await;
    let handler = async |_: Job, ctx: Ctx| {
        ctx.clock().sleep(Duration::from_secs(5)).await;
        Ok::<_, TaskError>(String::new())
    };
    let running = world.start(world.worker().concurrency(4).register(handler)).await;
    let run = running.stop();
    world.settle().await;
    let second = world.enqueue(1, |_| ()).await;
    world.elapse(Duration::from_secs(5)).await;
    assert!(run.await.unwrap().is_ok());
    assert_eq!(world.state(first).await, TaskState::Completed);
    let left = world.view(second).await;
    assert_eq!((left.state(), left.deliveries.len()), (TaskState::Available, 0));
}

#[tokio::test]
async fn what_still_runs_at_the_drain_limit_is_released_without_counting_an_attempt() {
    let world = World::new();
    let id = world.enqueue(0, |_| ()).await;
    let worker = world.worker().register(forever).drain_limit(Duration::from_secs(2));
    let run = world.start(worker).await.stop();
    world.elapse(Duration::from_millis(1_999)).await;
    assert_eq!(world.state(id).await, TaskState::Running);
    world.elapse(Duration::from_millis(1)).await;
    assert!(run.await.unwrap().is_ok());
    let view = world.view(id).await;
    assert_eq!(view.state(), TaskState::Available);
    assert_eq!((view.standing.attempt, view.standing.losses), (0, 0));
}

#[tokio::test]
async fn a_quiet_worker_takes_nothing_until_it_is_told_to_run_and_a_stopped_one_ends() {
    let world = World::new();
    let running = world.start(world.worker().register(polite)).await;
    let worker = world.store.workers().await.unwrap().remove(0).worker;
    let direct = async |directive| {
        assert_eq!(world.store.direct(vec![worker.clone()], directive).await.unwrap(), [true]);
        world.settle().await;
    };
    direct(Directive::Quiet).await;
    let id = world.enqueue(0, |_| ()).await;
    world.elapse(Duration::from_mins(1)).await;
    assert_eq!(world.state(id).await, TaskState::Available);
    direct(Directive::Run).await;
    world.settle().await;
    assert_eq!(world.state(id).await, TaskState::Running);
    world.cancel(id).await;
    direct(Directive::Stop).await;
    assert!(running.ended().await.is_ok());
}

#[tokio::test]
async fn a_worker_that_is_dropped_drops_its_handlers_and_its_tasks_are_offered_again() {
    struct Dropped(Arc<AtomicU32>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let world = World::new();
    let id = world.enqueue(0, |_| ()).await;
    let drops = Arc::new(AtomicU32::new(0));
    let handler =
        async |_: Job, State(count): State<Arc<AtomicU32>>| -> Result<String, TaskError> {
            let _dropped = Dropped(count);
            std::future::pending().await
        };
    let running = world.start(world.worker().state(drops.clone()).register(handler)).await;
    running.crash().await;
    world.settle().await;
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    assert_eq!(world.state(id).await, TaskState::Running);
    world.elapse(Duration::from_secs(30)).await;
    let view = world.view(id).await;
    assert_eq!((view.state(), view.standing.losses), (TaskState::Available, 1));
}
