//! What the network does, and what the worker makes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use haulier_core::State as TaskState;
use haulier_core::limits::BEAT_IDLE;
use haulier_worker::{Ctx, State, TaskError};

use crate::Job;
use crate::world::World;

/// How many of something.
type Count = Arc<AtomicU32>;

#[tokio::test]
async fn a_handler_whose_beats_do_not_arrive_is_stopped_before_somebody_else_may_have_its_task() {
    struct Alive(Count);
    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
    async fn forever(_: Job, State(count): State<Count>) -> Result<String, TaskError> {
        count.fetch_add(1, Ordering::Relaxed);
        let _alive = Alive(count);
        std::future::pending().await
    }
    let world = World::new();
    let id = world.enqueue(0, |_| ()).await;
    let alive = Count::default();
    world.faults.no_beats.store(true, Ordering::Relaxed);
    let worker = world.worker().state(alive.clone()).register(forever).ttl(Duration::from_secs(30));
    let running = world.start(worker).await;
    world.elapse(Duration::from_millis(26_999)).await;
    assert_eq!(alive.load(Ordering::Relaxed), 1);
    world.elapse(Duration::from_millis(1)).await;
    assert_eq!(alive.load(Ordering::Relaxed), 0, "a tenth of the ttl before the lease runs out");
    assert_eq!(world.state(id).await, TaskState::Running, "the store does not know yet");
    world.faults.no_beats.store(false, Ordering::Relaxed);
    world.elapse(Duration::from_secs(3)).await;
    let view = world.view(id).await;
    assert_eq!((view.standing.losses, view.deliveries.len()), (1, 2), "and it is delivered again");
    running.crash().await;
}

#[tokio::test]
async fn beats_keep_a_lease_for_as_long_as_its_handler_runs() {
    let world = World::new();
    let id = world.enqueue(0, |_| ()).await;
    let handler = async |_: Job, ctx: Ctx| {
        ctx.clock().sleep(Duration::from_mins(10)).await;
        Ok::<_, TaskError>(String::new())
    };
    let running = world.start(world.worker().register(handler)).await;
    world.elapse(Duration::from_mins(10)).await;
    let view = world.view(id).await;
    assert_eq!((view.state(), view.deliveries.len()), (TaskState::Completed, 1));
    running.crash().await;
}

#[tokio::test]
async fn a_lease_that_comes_to_an_idle_worker_is_renewed_before_its_next_idle_beat() {
    let world = World::new();
    let handler = async |_: Job, ctx: Ctx| {
        ctx.clock().sleep(Duration::from_mins(1)).await;
        Ok::<_, TaskError>(String::new())
    };
    let running = world.start(world.worker().register(handler)).await;
    world.elapse(BEAT_IDLE).await;
    let id = world.enqueue(0, |_| ()).await;
    world.elapse(Duration::from_mins(1)).await;
    let view = world.view(id).await;
    assert_eq!((view.state(), view.deliveries.len()), (TaskState::Completed, 1));
    running.crash().await;
}

#[tokio::test]
async fn a_settlement_whose_answer_is_lost_is_repeated_and_applied_once() {
    let world = World::new();
    let id = world.enqueue(0, |_| ()).await;
    world.faults.lose_settled.store(3, Ordering::Relaxed);
    let runs = Count::default();
    let handler = async |_: Job, State(runs): State<Count>| {
        runs.fetch_add(1, Ordering::Relaxed);
        Ok::<_, TaskError>(String::new())
    };
    let running = world.start(world.worker().state(runs.clone()).register(handler)).await;
    world.elapse(Duration::from_secs(10)).await;
    let view = world.view(id).await;
    assert_eq!((view.state(), view.deliveries.len()), (TaskState::Completed, 1));
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    assert_eq!(world.faults.count.load(Ordering::Relaxed), 3);
    running.crash().await;
}

#[tokio::test]
async fn a_settlement_that_cannot_be_told_keeps_its_lease_until_it_can() {
    let world = World::new();
    let id = world.enqueue(0, |_| ()).await;
    world.faults.lose_settled.store(0, Ordering::Relaxed);
    let handler = async |_: Job, ctx: Ctx| {
        ctx.clock().sleep(Duration::from_secs(1)).await;
        Ok::<_, TaskError>("done".to_owned())
    };
    let running = world.start(world.worker().register(handler)).await;
    world.faults.down.store(true, Ordering::Relaxed);
    world.elapse(Duration::from_secs(20)).await;
    assert_eq!(world.state(id).await, TaskState::Running);
    world.faults.down.store(false, Ordering::Relaxed);
    world.elapse(Duration::from_secs(10)).await;
    let view = world.view(id).await;
    assert_eq!((view.state(), view.deliveries.len()), (TaskState::Completed, 1));
    running.crash().await;
}

#[tokio::test]
async fn a_worker_outlives_an_outage_of_the_store() {
    let world = World::new();
    world.faults.down.store(true, Ordering::Relaxed);
    let handler = async |_: Job| Ok::<_, TaskError>(String::new());
    let running = world.start(world.worker().register(handler)).await;
    let id = world.enqueue(0, |_| ()).await;
    world.elapse(Duration::from_mins(5)).await;
    assert_eq!(world.state(id).await, TaskState::Available);
    world.faults.down.store(false, Ordering::Relaxed);
    world.elapse(Duration::from_secs(10)).await;
    assert_eq!(world.state(id).await, TaskState::Completed);
    running.crash().await;
}

#[tokio::test]
async fn with_calls_and_answers_lost_at_random_every_task_is_completed_once() {
    let world = World::new();
    world.faults.unsent_permille.store(100, Ordering::Relaxed);
    world.faults.lost_permille.store(50, Ordering::Relaxed);
    let mut ids = Vec::new();
    for number in 0..200 {
        ids.push(world.enqueue(number, |_| ()).await);
    }
    let handler = async |_: Job| Ok::<_, TaskError>(String::new());
    let running = world.start(world.worker().register(handler)).await;
    world.elapse(Duration::from_mins(5)).await;
    for id in ids {
        let view = world.view(id).await;
        assert_eq!(view.state(), TaskState::Completed, "{view:?}");
    }
    assert!(world.faults.count.load(Ordering::Relaxed) > 0);
    running.crash().await;
}
