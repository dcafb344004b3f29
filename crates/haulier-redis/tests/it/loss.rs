//! A Redis that is killed, emptied, full, or cut off.

use std::time::Duration;

use haulier_conformance::Rig;
use haulier_conformance::prelude::*;
use haulier_core::{
    Clock as _, Code, Durability, Enqueued, Inspect, Maintain, Outcome, Queue, QueueName, Settled,
    Settlement, State, SystemClock, Want,
};
use haulier_redis::{Fatal, RedisStore};
use haulier_sim::nemesis::RedisServer;
use tempfile::TempDir;

use crate::patience::until_it_answers;
use crate::redis_server as server;
use crate::rig::RedisRig;

/// A Redis that syncs every command, and a store in it.
async fn synced() -> (RedisServer, TempDir, RedisStore) {
    let place = TempDir::new().must();
    let redis = RedisServer::create(place.path(), "").await.must();
    let store = RedisStore::open(server::on(&redis)).await.must();
    (redis, place, store)
}

async fn take_one_from(store: &RedisStore) -> haulier_core::Lease {
    let wants = vec![Want::new(worker("w"), QueueName::default(), 1)];
    only(only(store.lease(wants, Duration::ZERO).await.must()))
}

/// I1, I2: at `appendfsync always` nothing that was acknowledged is lost with the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_after_redis_was_killed() {
    let (mut redis, _place, store) = synced().await;
    assert_eq!(store.capabilities().durability, Durability::D2);
    let tasks: Vec<_> = (0..50).map(|_| task()).collect();
    let ids: Vec<_> = tasks.iter().map(|task| task.id).collect();
    store.enqueue(tasks).await.must();
    let held = take_one_from(&store).await;
    let end = Settlement { key: held.key, outcome: Outcome::Complete { result: None } };
    store.settle(vec![end.clone()]).await.must();
    redis.crash().await.must();
    until_it_answers(&store).await;
    let views = store.get(ids, haulier_core::Include::ALL, Duration::ZERO).await.must();
    let states: Vec<State> = views.into_iter().map(|view| view.must().state()).collect();
    assert_eq!(states.iter().filter(|state| **state == State::Available).count(), 49);
    assert_eq!(states.iter().filter(|state| **state == State::Completed).count(), 1);
    let again = only(store.settle(vec![end]).await.must());
    assert_eq!(again, Settled::Applied { state: State::Completed, late: false }, "I8");
}

/// I16: keys that are gone are told of, and nothing is acknowledged any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_was_emptied_stops_the_store_with_a_reason() {
    let (redis, _place, store) = synced().await;
    store.enqueue(vec![task()]).await.must();
    let failed = store.failed();
    redis.ask("FLUSHALL").must();
    let error = store.enqueue(vec![task()]).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(matches!(failed.await, Fatal::Damaged(_)));
    assert!(store.sweep(10).await.unwrap_err().to_string().contains("has stopped"));
}

/// L5, I13: what is new is refused, and refused whole; what has begun is ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_without_memory_takes_no_task_and_still_drains() {
    let (redis, _place, store) = synced().await;
    let tasks: Vec<_> = (0..3).map(|_| task()).collect();
    let deleted = tasks[2].id;
    store.enqueue(tasks).await.must();
    redis.ask("CONFIG SET maxmemory 1").must();
    let refused = task();
    let error = store.enqueue(vec![refused.clone()]).await.unwrap_err();
    assert_eq!(error.code(), Code::StorageFull, "{error:?}");
    for _ in 0..2 {
        let held = take_one_from(&store).await;
        let end = Settlement { key: held.key, outcome: Outcome::Complete { result: None } };
        assert!(matches!(only(store.settle(vec![end]).await.must()), Settled::Applied { .. }));
    }
    haulier_core::Control::delete(&store, vec![deleted]).await.must();
    store.sweep(100).await.must();
    redis.ask("CONFIG SET maxmemory 0").must();
    let answer = only(store.enqueue(vec![refused]).await.must());
    assert!(matches!(answer, Enqueued::Inserted { .. }), "it was not stored in part");
}

/// L1: what was told while nobody heard is made good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_worker_gets_its_task_although_news_was_cut_off() {
    let place = TempDir::new().must();
    let redis = RedisServer::create(place.path(), "").await.must();
    let options = server::on(&redis);
    let first = RedisStore::open(options.clone()).await.must();
    let second = RedisStore::open(options).await.must();
    let call = {
        let wants = vec![Want::new(worker("waits"), QueueName::default(), 1)];
        tokio::spawn(async move { only(first.lease(wants, limits::WAIT_MAX).await.must()) })
    };
    redis.ask("CLIENT KILL TYPE pubsub").must();
    second.enqueue(vec![task()]).await.must();
    assert_eq!(answer(call).await.len(), 1);
}

/// I11: also of more leases than are renewed in one step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_leases_lasts_its_full_ttl_after_a_time_without_a_server() {
    let mut rig = RedisRig::fresh().await;
    let store = rig.store();
    store.enqueue((0..1_000).map(|_| task()).collect()).await.must();
    let wants = vec![Want::new(worker("w"), QueueName::default(), 1_000)];
    let held = only(store.lease(wants, Duration::ZERO).await.must());
    assert_eq!(held.len(), 1_000);
    // Nobody sweeps meanwhile.
    rig.clock().advance(TTL + TTL);
    rig.reopen().await;
    rig.elapse(TTL.saturating_sub(ms(1))).await;
    let running =
        async |rig: &RedisRig| rig.store().queues().await.must()[0].counts.get(State::Running);
    assert_eq!(running(&rig).await, 1_000);
    rig.elapse(ms(1)).await;
    assert_eq!(running(&rig).await, 0, "L2");
}

/// I11: what a clock does takes no lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_of_redis_that_jumps_ends_no_lease() {
    let options = server::options().await;
    let redis = server::shared().await;
    let store = RedisStore::open(options.clone()).await.must();
    store.enqueue(vec![task()]).await.must();
    let held = take_one_from(&store).await;
    // The same for whoever looks at it: the clock has gone on by an hour.
    let jump = format!("HINCRBY {{{}:0}}:meta slip -3600000", options.prefix);
    assert!(redis.ask(&jump).must().starts_with(':'));
    for _ in 0..2 {
        let wants = vec![Want::new(worker("other"), QueueName::default(), 1)];
        assert!(only(store.lease(wants, Duration::ZERO).await.must()).is_empty(), "I11");
        store.sweep(100).await.must();
    }
    let end = Settlement { key: held.key, outcome: Outcome::Complete { result: None } };
    let settled = only(store.settle(vec![end]).await.must());
    assert_eq!(settled, Settled::Applied { state: State::Completed, late: false });
}

/// I5: however often the time is written down, the calendar is no further than the clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_calendar_does_not_run_ahead_while_the_time_is_kept() {
    let options = server::options().await;
    let redis = server::shared().await;
    let store = RedisStore::open(options.clone()).await.must();
    for _ in 0..20 {
        // So long has nobody written down what time it is, for whoever looks.
        let passed = format!("HINCRBY {{{}:0}}:meta slip -900", options.prefix);
        assert!(redis.ask(&passed).must().starts_with(':'));
        store.sweep(100).await.must();
    }
    let task = task();
    let id = task.id;
    store.enqueue(vec![task]).await.must();
    let include = haulier_core::Include::default();
    let seen = only(store.get(vec![id], include, Duration::ZERO).await.must()).must();
    // By the clock of this machine, which is Redis's.
    let now = SystemClock::new().wall();
    assert!(seen.enqueued_at <= now, "{:?} is later than {now:?}", seen.enqueued_at);
}
