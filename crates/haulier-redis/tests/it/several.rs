//! Several servers on one Redis, by its own clock.

use std::time::Duration;

use haulier_conformance::prelude::*;
use haulier_core::{
    Beat, BeatReply, Control, Directive, Enqueued, Held, Inspect, Lease, LeaseBeat, Outcome, Queue,
    QueueName, Settled, Settlement, State,
};
use haulier_redis::{Options, RedisStore};

use crate::redis_server as server;

/// Two servers that look for news once in a while only: whoever is woken in time was told.
async fn two() -> (RedisStore, RedisStore, Options) {
    let mut options = server::options().await;
    options.poll = Some(Duration::from_secs(20));
    let first = RedisStore::open(options.clone()).await.must();
    let second = RedisStore::open(options.clone()).await.must();
    (first, second, options)
}

async fn put_in(store: &RedisStore, task: haulier_core::NewTask) -> haulier_core::TaskId {
    only(store.enqueue(vec![task]).await.must()).accepted().must()
}

async fn take_from(store: &RedisStore, name: &str) -> Vec<Lease> {
    let wants = vec![haulier_core::Want::new(worker(name), QueueName::default(), 10)];
    only(store.lease(wants, Duration::ZERO).await.must())
}

fn waiting(store: &RedisStore, name: &str) -> tokio::task::JoinHandle<Vec<Lease>> {
    let (store, name) = (store.clone(), worker(name));
    tokio::spawn(async move {
        let wants = vec![haulier_core::Want::new(name, QueueName::default(), 1)];
        only(store.lease(wants, limits::WAIT_MAX).await.must())
    })
}

/// Until both hear what others tell, and a worker is known to wait.
async fn until_known_to(store: &RedisStore, name: &str) {
    let name = worker(name);
    while !store.workers().await.must().iter().any(|view| view.worker == name) {
        tokio::task::yield_now().await;
    }
}

/// L1: across servers, without waiting for anybody to look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_waits_at_another_server_gets_a_task_as_soon_as_it_is_there() {
    let (first, second, _) = two().await;
    let call = waiting(&second, "waits");
    until_known_to(&first, "waits").await;
    let id = put_in(&first, task()).await;
    assert_eq!(only(answer(call).await).key.task, id);
}

/// I5, L1: by Redis's clock, which nobody has to tell anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delayed_task_is_given_out_when_it_is_due_although_nobody_sweeps() {
    let (first, second, _) = two().await;
    let call = waiting(&second, "waits");
    until_known_to(&first, "waits").await;
    let soon = task_with(|task| task.start = haulier_core::Start::After(ms(200)));
    let id = put_in(&second, soon).await;
    assert_eq!(only(answer(call).await).key.task, id);
}

/// I2, I3: what one server gave out the other one knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_from_one_server_is_beaten_and_settled_at_another() {
    let (first, second, _) = two().await;
    let id = put_in(&first, task()).await;
    let held = only(take_from(&first, "w").await);
    assert!(take_from(&second, "other").await.is_empty());
    let beat = Beat {
        worker: worker("w"),
        about: None,
        ttl: TTL,
        leases: vec![LeaseBeat::renew(held.key)],
    };
    let reply = only(second.beat(vec![beat]).await.must());
    assert_eq!(reply, BeatReply { directive: Directive::Run, held: vec![Held::Yes] });
    let end = Settlement { key: held.key, outcome: Outcome::Complete { result: None } };
    let answer = only(second.settle(vec![end]).await.must());
    assert_eq!(answer, Settled::Applied { state: State::Completed, late: false });
    let view = only(first.get(vec![id], haulier_core::Include::ALL, Duration::ZERO).await.must());
    assert_eq!(view.must().state(), State::Completed);
}

/// I15: a watching worker is told, wherever the order came from.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn news_for_a_worker_comes_from_every_server() {
    let (first, second, _) = two().await;
    take_from(&second, "w").await;
    let watching = {
        let store = second.clone();
        tokio::spawn(async move { store.watch(worker("w"), limits::WAIT_MAX).await.must() })
    };
    assert_eq!(first.direct(vec![worker("w")], Directive::Quiet).await.must(), [true]);
    assert!(answer(watching).await);
}

/// A caller that waits for an end hears of it from wherever it comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_get_answers_when_another_server_settles() {
    let (first, second, _) = two().await;
    let id = put_in(&first, task()).await;
    let held = only(take_from(&first, "w").await);
    let getting = {
        let store = second.clone();
        let include = haulier_core::Include::RESULT;
        tokio::spawn(
            async move { only(store.get(vec![id], include, limits::WAIT_MAX).await.must()) },
        )
    };
    let end = Settlement { key: held.key, outcome: Outcome::Complete { result: None } };
    first.settle(vec![end]).await.must();
    assert_eq!(answer(getting).await.must().state(), State::Completed);
}

/// I2: the generation is everybody's; a server that comes or goes takes no lease away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_arrives_raises_epochs_and_leaves_leases_alone() {
    let (first, second, options) = two().await;
    put_in(&first, task()).await;
    let held = only(take_from(&first, "w").await);
    let third = RedisStore::open(options).await.must();
    put_in(&first, task()).await;
    let later = only(take_from(&first, "w").await);
    assert!(later.key.epoch.0 >> 32 > held.key.epoch.0 >> 32, "{held:?} {later:?}");
    third.close().await.must();
    second.close().await.must();
    assert_eq!(first.workers().await.must().len(), 1, "workers are still known");
    let end = Settlement { key: held.key, outcome: Outcome::Release };
    assert!(matches!(only(first.settle(vec![end]).await.must()), Settled::Applied { .. }));
}

/// I4: whichever server is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_is_known_at_every_server() {
    let (first, second, _) = two().await;
    let task = task();
    put_in(&first, task.clone()).await;
    let again = only(second.enqueue(vec![task]).await.must());
    assert!(matches!(again, Enqueued::Existing { state: Some(State::Available), .. }));
}
