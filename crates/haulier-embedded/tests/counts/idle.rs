//! What idleness costs: nothing.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use haulier_core::{Queue, QueueName, Want, WorkerId};

use crate::world::World;

const QUEUES: usize = 10_000;
const WORKERS: usize = 1_000;

#[test]
fn ten_thousand_idle_queues_and_a_thousand_idle_workers_cost_neither_turns_nor_syncs() {
    let mut world = World::new();
    let store = world.store.clone();
    let queue = |number: usize| format!("queue-{number}");
    for begin in (0..QUEUES).step_by(1_000) {
        let tasks = (begin..begin + 1_000).map(|number| world.task(&queue(number))).collect();
        world.ask(store.enqueue(tasks)).unwrap();
    }
    let ids: Vec<_> = (0..QUEUES / 1_000)
        .flat_map(|_| {
            let page = haulier_core::PageRequest { size: 1_000, ..Default::default() };
            let listed = world.ask(haulier_core::Inspect::list(&store, pending(), page)).unwrap();
            let ids: Vec<_> = listed.tasks.iter().map(|view| view.task.id).collect();
            world.ask(haulier_core::Control::cancel(&store, ids.clone())).unwrap();
            ids
        })
        .collect();
    assert_eq!(ids.len(), QUEUES, "every queue had its task");
    let wait = Duration::from_secs(30);
    let mut calls: Vec<_> = (0..WORKERS)
        .map(|number| {
            let worker = WorkerId::new(format!("worker-{number}")).unwrap();
            let mut want = Want::new(worker, QueueName::new(queue(number)).unwrap(), 10);
            let ten = (0..10).map(|more| haulier_core::WantedQueue {
                queue: QueueName::new(queue(number * 10 + more)).unwrap(),
                max: 10,
            });
            want.queues = ten.collect();
            Box::pin(store.lease(vec![want], wait))
        })
        .collect();
    let mut poll = |world: &mut World| {
        world.settle_down();
        let mut context = Context::from_waker(Waker::noop());
        let ready = calls.iter_mut().map(|call| call.as_mut().poll(&mut context));
        ready.filter(Poll::is_ready).count()
    };
    assert_eq!(poll(&mut world), 0);
    assert_eq!(poll(&mut world), 0, "all of them wait");
    let (turns, syncs, bytes) = (world.turns, world.counts.syncs(), world.counts.bytes());
    for _ in 0..290 {
        world.clock.advance(Duration::from_millis(100));
        assert_eq!(poll(&mut world), 0, "nobody is woken");
    }
    assert_eq!(world.turns - turns, 0, "the engine sleeps");
    assert_eq!(world.counts.syncs() - syncs, 0, "nothing is synced");
    assert_eq!(world.counts.bytes() - bytes, 0, "nothing is written");
}

fn pending() -> haulier_core::Filter {
    haulier_core::Filter::states([haulier_core::State::Available])
}
