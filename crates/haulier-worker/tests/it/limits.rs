//! How much runs at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use haulier_core::{QueueName, State};
use haulier_worker::{Ctx, TaskError};

use crate::Job;
use crate::world::World;

/// Counts what runs, by queue, and the most that ever ran.
#[derive(Clone, Default)]
struct Gauge(Arc<Mutex<BTreeMap<String, (u32, u32)>>>);

impl Gauge {
    fn add(&self, queue: &str) {
        let mut counts = self.0.lock().unwrap();
        for name in [queue, "all"] {
            let (now, most) = counts.entry(name.to_owned()).or_default();
            *now += 1;
            *most = (*now).max(*most);
        }
    }

    fn subtract(&self, queue: &str) {
        let mut counts = self.0.lock().unwrap();
        for name in [queue, "all"] {
            counts.get_mut(name).unwrap().0 -= 1;
        }
    }

    fn most(&self, queue: &str) -> u32 {
        self.0.lock().unwrap().get(queue).map_or(0, |(_, most)| *most)
    }
}

async fn counted(
    _: Job,
    haulier_worker::State(gauge): haulier_worker::State<Gauge>,
    ctx: Ctx,
) -> Result<String, TaskError> {
    let queue = ctx.task().queue.as_str();
    gauge.add(queue);
    ctx.clock().sleep(Duration::from_secs(1)).await;
    gauge.subtract(queue);
    Ok(String::new())
}

#[tokio::test]
async fn no_more_tasks_run_at_a_time_than_the_worker_has_slots() {
    let world = World::new();
    let mut ids = Vec::new();
    for number in 0..10 {
        ids.push(world.enqueue(number, |_| ()).await);
    }
    let gauge = Gauge::default();
    let worker = world.worker().concurrency(3).state(gauge.clone()).register(counted);
    let running = world.start(worker).await;
    world.elapse(Duration::from_secs(4)).await;
    assert_eq!(gauge.most("all"), 3);
    for id in ids {
        assert_eq!(world.state(id).await, State::Completed, "ten in four rounds of three");
    }
    running.crash().await;
}

#[tokio::test]
async fn a_queues_limit_holds_beside_the_worker_s_and_neither_queue_waits_for_the_other() {
    let world = World::new();
    let gauge = Gauge::default();
    let worker = world
        .worker()
        .queue("mail")
        .queue("bulk")
        .concurrency(5)
        .limit("bulk", 2)
        .state(gauge.clone())
        .register(counted);
    let mut ids = Vec::new();
    for number in 0..8 {
        for queue in ["mail", "bulk"] {
            let queue = QueueName::new(queue).unwrap();
            ids.push(world.enqueue(number, |task| task.queue = queue).await);
        }
    }
    let running = world.start(worker).await;
    world.elapse(Duration::from_secs(6)).await;
    assert_eq!((gauge.most("bulk"), gauge.most("mail")), (2, 3));
    assert_eq!(gauge.most("all"), 5);
    for id in ids {
        assert_eq!(world.state(id).await, State::Completed);
    }
    running.crash().await;
}

#[tokio::test]
async fn a_limited_queue_is_served_again_as_soon_as_it_has_room() {
    let world = World::new();
    let gauge = Gauge::default();
    let worker = world
        .worker()
        .queue("mail")
        .queue("bulk")
        .concurrency(8)
        .limit("bulk", 1)
        .state(gauge.clone())
        .register(counted);
    let running = world.start(worker).await;
    let bulk = QueueName::new("bulk").unwrap();
    let first = world.enqueue(0, |task| task.queue = bulk.clone()).await;
    let second = world.enqueue(1, |task| task.queue = bulk.clone()).await;
    world.settle().await;
    assert_eq!(world.state(second).await, State::Available);
    world.elapse(Duration::from_secs(1)).await;
    assert_eq!(world.state(first).await, State::Completed);
    assert_eq!(world.state(second).await, State::Running, "although a call for mail still waits");
    running.crash().await;
}
