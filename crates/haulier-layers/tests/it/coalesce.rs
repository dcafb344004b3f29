//! Calls made at the same time become few, and every caller gets its own answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use haulier_core::limits::ITEMS_MAX;
use haulier_core::{
    Beat, BeatReply, Capabilities, Enqueued, Error, Include, Inspect, Lease, NewTask, Queue,
    Result, Settled, Settlement, Want, WorkerId,
};
use haulier_layers::Coalesce;
use haulier_memory::MemoryStore;
use tokio::sync::Semaphore;

/// A store whose enqueue calls wait for the test, and are counted.
#[derive(Debug, Clone)]
struct Gate {
    store: MemoryStore,
    open: Arc<Semaphore>,
    calls: Arc<AtomicUsize>,
    largest: Arc<AtomicUsize>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Queue for Gate {
    async fn enqueue(&self, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.largest.fetch_max(tasks.len(), Ordering::Relaxed);
        let permit = self.open.acquire().await;
        permit.map_err(|_| Error::internal("the gate is gone"))?.forget();
        self.store.enqueue(tasks).await
    }
    async fn lease(&self, wants: Vec<Want>, wait: Duration) -> Result<Vec<Vec<Lease>>> {
        self.store.lease(wants, wait).await
    }
    async fn beat(&self, beats: Vec<Beat>) -> Result<Vec<BeatReply>> {
        self.store.beat(beats).await
    }
    async fn watch(&self, worker: WorkerId, wait: Duration) -> Result<bool> {
        self.store.watch(worker, wait).await
    }
    async fn settle(&self, ends: Vec<Settlement>) -> Result<Vec<Settled>> {
        self.store.settle(ends).await
    }
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }
}

fn gated(store: MemoryStore) -> (Gate, Coalesce) {
    let gate = Gate {
        store,
        open: Arc::new(Semaphore::new(0)),
        calls: Arc::default(),
        largest: Arc::default(),
    };
    (gate.clone(), Coalesce::new(Arc::new(gate)))
}

#[tokio::test]
async fn what_comes_while_a_call_is_out_goes_with_the_next_one() {
    let (store, clock, dice) = crate::setup();
    let (gate, queue) = gated(store);
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let (queue, task) = (queue.clone(), crate::task(&clock, &dice));
            tokio::spawn(async move { (task.id, queue.enqueue(vec![task]).await.unwrap()) })
        })
        .collect();
    while gate.calls.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    gate.open.add_permits(2);
    for caller in callers {
        let (asked, answers) = caller.await.unwrap();
        assert!(matches!(answers[..], [Enqueued::Inserted { id, .. }] if id == asked));
    }
    assert_eq!(gate.calls.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_merged_call_never_carries_more_than_the_limit() {
    let (store, clock, dice) = crate::setup();
    let (gate, queue) = gated(store);
    let callers: Vec<_> = (0..5)
        .map(|_| {
            let tasks = (0..ITEMS_MAX / 2).map(|_| crate::task(&clock, &dice)).collect();
            let queue = queue.clone();
            tokio::spawn(async move { queue.enqueue(tasks).await })
        })
        .collect();
    for _ in 0..callers.len() {
        tokio::task::yield_now().await;
    }
    gate.open.add_permits(5);
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap().len(), ITEMS_MAX / 2);
    }
    assert_eq!(gate.largest.load(Ordering::Relaxed), ITEMS_MAX);
}

#[tokio::test]
async fn a_caller_that_may_not_poll_any_more_for_now_is_not_told_that_its_call_was_lost() {
    let (store, clock, dice) = crate::setup();
    let (gate, queue) = gated(store);
    gate.open.add_permits(1_000);
    // The runtime makes a task pause after so many polls; each call begins with another number of
    // them left.
    for polls in 0..=256 {
        for _ in 0..polls {
            tokio::task::consume_budget().await;
        }
        let answers = queue.enqueue(vec![crate::task(&clock, &dice)]).await;
        assert!(answers.is_ok(), "after {polls} polls: {answers:?}");
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_its_call_to_the_others() {
    let (store, clock, dice) = crate::setup();
    let (gate, queue) = gated(store);
    let spawn = |task| {
        let queue = queue.clone();
        tokio::spawn(async move { queue.enqueue(vec![task]).await })
    };
    let first = spawn(crate::task(&clock, &dice));
    while gate.calls.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    let second = spawn(crate::task(&clock, &dice));
    tokio::task::yield_now().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    gate.open.add_permits(2);
    let answers = second.await.unwrap().unwrap();
    assert!(matches!(answers[..], [Enqueued::Inserted { .. }]));
    assert_eq!(gate.calls.load(Ordering::Relaxed), 2, "the first call was carried to its end");
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_along_what_was_not_sent() {
    let (store, clock, dice) = crate::setup();
    let (gate, queue) = gated(store.clone());
    let spawn = |task| {
        let queue = queue.clone();
        tokio::spawn(async move { queue.enqueue(vec![task]).await })
    };
    let first = spawn(crate::task(&clock, &dice));
    while gate.calls.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    let given_up = crate::task(&clock, &dice);
    let id = given_up.id;
    let second = spawn(given_up);
    tokio::task::yield_now().await;
    second.abort();
    assert!(second.await.unwrap_err().is_cancelled());
    let third = spawn(crate::task(&clock, &dice));
    gate.open.add_permits(2);
    first.await.unwrap().unwrap();
    third.await.unwrap().unwrap();
    let views = store.get(vec![id], Include::default(), Duration::ZERO).await.unwrap();
    assert_eq!(views, [None]);
}
