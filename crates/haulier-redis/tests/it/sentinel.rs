//! Sentinels: the master is found by them, followed through failovers, and nobody else is written
//! to.

use std::sync::Arc;
use std::time::Duration;

use haulier_conformance::prelude::*;
use haulier_core::{
    Code, Include, Inspect, Outcome, Queue, QueueName, SeededEntropy, Settled, Settlement, State,
    TaskId, Want,
};
use haulier_redis::{OpenError, Options, RedisStore};
use haulier_sim::nemesis::{RedisServer, RedisTrio};
use tempfile::TempDir;

use crate::patience::until_it_answers;
use crate::redis_server as server;

async fn trio() -> (RedisTrio, TempDir) {
    let place = TempDir::new().must();
    let trio = RedisTrio::create(place.path()).await.must();
    (trio, place)
}

async fn open(url: &str) -> Result<RedisStore, OpenError> {
    RedisStore::open(Options::parse(url, Arc::new(SeededEntropy::from_u64(7))).must()).await
}

fn wants() -> Vec<Want> {
    vec![Want::new(worker("w"), QueueName::default(), 1)]
}

async fn states(store: &RedisStore, ids: &[TaskId]) -> Vec<State> {
    let views = store.get(ids.to_vec(), Include::default(), Duration::ZERO).await.must();
    views.into_iter().map(|view| view.must().state()).collect()
}

/// I1, I2, L1: what was acknowledged and had been replicated is there, and work goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_goes_on_at_the_replica_that_sentinels_promote() {
    let (mut trio, _place) = trio().await;
    let first = open(&trio.url()).await.must();
    let second = open(&trio.url()).await.must();
    let tasks: Vec<_> = (0..20).map(|_| task()).collect();
    let ids: Vec<_> = tasks.iter().map(|task| task.id).collect();
    first.enqueue(tasks).await.must();
    let held = only(only(first.lease(wants(), Duration::ZERO).await.must()));
    trio.synced().await.must();
    trio.servers[0].kill();
    trio.promote(1).await.must();
    for store in [&first, &second] {
        until_it_answers(store).await;
    }
    let found = states(&first, &ids).await;
    assert_eq!(found.iter().filter(|state| **state == State::Available).count(), 19);
    let end = Settlement { key: held.key, outcome: Outcome::Complete { result: None } };
    let ended = only(second.settle(vec![end]).await.must());
    assert_eq!(ended, Settled::Applied { state: State::Completed, late: false });
    // News goes its new way, too: a worker that waits at one server hears of another's task.
    for _ in 0..19 {
        only(only(first.lease(wants(), Duration::ZERO).await.must()));
    }
    let waiting = {
        let store = first.clone();
        tokio::spawn(async move { only(store.lease(wants(), limits::WAIT_MAX).await.must()) })
    };
    let id = only(second.enqueue(vec![task()]).await.must()).accepted().must();
    assert_eq!(only(answer(waiting).await).key.task, id);
    // A server that starts now finds the way, too, although one sentinel is away.
    trio.sentinels[0].kill();
    let third = open(&trio.url()).await.must();
    assert_eq!(states(&third, &[id]).await, [State::Running]);
}

/// I1: a master that lives on as a replica is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_was_demoted_is_not_written_to() {
    let (trio, _place) = trio().await;
    let store = open(&trio.url()).await.must();
    store.enqueue(vec![task()]).await.must();
    trio.synced().await.must();
    trio.promote(1).await.must();
    // A moment later the old one is told, too: it cuts every connection then, also of who asks.
    eventually("the old master is a replica", async || {
        trio.servers[0].ask("ROLE").is_ok_and(|said| said.contains("slave"))
    })
    .await;
    until_it_answers(&store).await;
    let id = only(store.enqueue(vec![task()]).await.must()).accepted().must();
    let direct = open(&trio.servers[1].url()).await.must();
    assert_eq!(states(&direct, &[id]).await, [State::Available], "it is at the new master");
}

/// L1: sentinels say who it is, and nobody waits for an answer of the old one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_frozen_is_left_when_another_one_takes_over() {
    let (trio, _place) = trio().await;
    // Without a word of the sentinels, a call would wait for so long.
    let store = open(&format!("{}?timeout=1h", trio.url())).await.must();
    store.enqueue(vec![task()]).await.must();
    trio.synced().await.must();
    eventually("it listens to the sentinels", async || {
        trio.sentinels
            .iter()
            .all(|sentinel| sentinel.ask("CLIENT LIST TYPE pubsub").must().contains("sub=1"))
    })
    .await;
    trio.servers[0].freeze(true);
    let waits = {
        let store = store.clone();
        tokio::spawn(async move { store.enqueue(vec![task()]).await })
    };
    trio.promote(1).await.must();
    let cut = answer(waits).await;
    if let Err(error) = cut {
        assert_eq!(error.code(), Code::UnknownOutcome, "{error:?}");
    }
    until_it_answers(&store).await;
    store.enqueue(vec![task()]).await.must();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_becomes_a_replica_takes_no_tasks_any_more() {
    let place = TempDir::new().must();
    let redis = RedisServer::create(&place.path().join("redis"), "").await.must();
    let other = RedisServer::create(&place.path().join("other"), "").await.must();
    let store = RedisStore::open(server::on(&redis)).await.must();
    redis.ask(&format!("REPLICAOF 127.0.0.1 {}", other.port())).must();
    let error = store.enqueue(vec![task()]).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains(&format!("master, 127.0.0.1:{}", other.port())), "{error}");
    redis.ask("REPLICAOF NO ONE").must();
    redis.ask("FLUSHALL").must();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_sentinels_is_said() {
    let (trio, _place) = trio().await;
    let sentinel = trio.sentinels[0].port();
    let master = trio.servers[0].port();
    for (url, part) in [
        (trio.url().replace("/main", "/other"), "no sentinel knows a master"),
        (format!("redis+sentinel://127.0.0.1:{master}/main"), "is no sentinel"),
        (format!("redis://127.0.0.1:{sentinel}"), "redis+sentinel://"),
        (format!("redis+cluster://127.0.0.1:{master}"), "no node of a cluster"),
    ] {
        let Err(OpenError::Refused(error)) = open(&url).await else { panic!("{url}") };
        assert!(error.message().contains(part), "{url}: {error}");
    }
    let url = trio.url();
    drop(trio);
    assert!(matches!(open(&url).await, Err(OpenError::Away(_))));
}

/// Sentinels have users of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_are_logged_in_at_as_the_url_says() {
    let (trio, _place) = trio().await;
    for sentinel in &trio.sentinels {
        let rights =
            "-@all +sentinel|get-master-addr-by-name +sentinel|master +subscribe &+switch-master";
        sentinel.ask(&format!("ACL SETUSER app on >secret {rights}")).must();
        sentinel.ask("ACL SETUSER default off").must();
    }
    let url = trio.url();
    let store = open(&format!("{url}?sentinel_user=app&sentinel_password=secret")).await.must();
    store.enqueue(vec![task()]).await.must();
    for login in ["", "?sentinel_user=app&sentinel_password=wrong"] {
        let opened = open(&format!("{url}{login}")).await;
        assert!(matches!(opened, Err(OpenError::Refused(_))), "{opened:?}");
    }
}
