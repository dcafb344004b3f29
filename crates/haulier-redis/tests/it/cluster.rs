//! A cluster: the store is wherever its slot is.

use std::sync::Arc;
use std::time::Duration;

use haulier_conformance::model::{self, Plan};
use haulier_conformance::prelude::*;
use haulier_core::{
    Enqueued, Include, Inspect, Outcome, Queue, QueueName, SeededEntropy, Settled, Settlement,
    State, Want,
};
use haulier_redis::{OpenError, Options, RedisStore};
use haulier_sim::nemesis::RedisCluster;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::patience::until_it_answers;
use crate::redis_server as server;
use crate::rig_of::rig_of;

static CLUSTER: OnceCell<(RedisCluster, TempDir)> = OnceCell::const_new();

/// The cluster that tests share which do it no harm.
async fn shared() -> &'static RedisCluster {
    let started = CLUSTER.get_or_init(|| async {
        let place = TempDir::new().must();
        (RedisCluster::create(place.path(), "appendonly no", &[]).await.must(), place)
    });
    &started.await.0
}

fn options(cluster: &RedisCluster, more: &str) -> Options {
    let url = format!("{}?{more}", cluster.url());
    Options::parse(&url, Arc::new(SeededEntropy::from_u64(7))).must()
}

rig_of!(ClusterRig, {
    // Prefixes differ, and so masters do.
    let prefix = server::on(server::shared().await).prefix;
    options(shared().await, &format!("prefix={prefix}"))
});

haulier_conformance::suite!(ClusterRig);

#[test]
fn random_histories_agree_with_the_specification() {
    model::check::<ClusterRig>(Plan { histories: 6, ..Plan::from_env() });
}

fn wants() -> Vec<Want> {
    vec![Want::new(worker("w"), QueueName::default(), 1)]
}

/// Every key of the store with this prefix.
fn keys(cluster: &RedisCluster, node: usize, prefix: &str) -> Vec<String> {
    let said = cluster.nodes[node].ask(&format!("KEYS {{{prefix}:0}}:*")).must();
    said.lines().filter(|line| line.starts_with('{')).map(str::to_owned).collect()
}

/// I1, I4, I10: calls wait while keys are on their way, and none is done in part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_is_moved_to_another_master_under_load() {
    let cluster = shared().await;
    let patient = "prefix=moves&timeout=2m";
    let store = RedisStore::open(options(cluster, patient)).await.must();
    let other = RedisStore::open(options(cluster, patient)).await.must();
    let from = cluster.owner(0, "{moves:0}:meta").must();
    let to = (from + 1) % 3;
    let sent: Vec<_> = (0..20).map(|_| task()).collect();
    let mut ids: Vec<_> = sent.iter().map(|task| task.id).collect();
    store.enqueue(sent).await.must();
    let held = only(only(store.lease(wants(), Duration::ZERO).await.must()));

    let slot = cluster.begin_to_move("{moves:0}:meta", from, to).must();
    let all = keys(cluster, from, "moves");
    cluster.move_keys(&all[..all.len() / 2], from, to).must();
    let late = task();
    ids.push(late.id);
    let waits = {
        let store = store.clone();
        tokio::spawn(async move { only(store.enqueue(vec![late]).await.must()) })
    };
    eventually("the call is put off", async || {
        let put_off = |node: usize| {
            cluster.nodes[node].ask("INFO errorstats").must().contains("errorstat_TRYAGAIN")
        };
        put_off(from) || put_off(to)
    })
    .await;
    cluster.move_keys(&all, from, to).must();
    cluster.end_to_move(slot, to).must();

    let answered = answer(waits).await;
    assert!(matches!(answered, Enqueued::Inserted { .. }), "it was not stored in part");
    assert_eq!(cluster.owner(0, "{moves:0}:meta"), Some(to));
    let end = Settlement { key: held.key, outcome: Outcome::Complete { result: None } };
    assert!(matches!(only(other.settle(vec![end]).await.must()), Settled::Applied { .. }));
    let views = store.get(ids, Include::default(), Duration::ZERO).await.must();
    assert!(views.iter().all(Option::is_some));
    // News goes on, wherever whoever hears it has stayed.
    for _ in 0..20 {
        only(only(other.lease(wants(), Duration::ZERO).await.must()));
    }
    let waiting = {
        let store = store.clone();
        tokio::spawn(async move { only(store.lease(wants(), limits::WAIT_MAX).await.must()) })
    };
    let id = only(other.enqueue(vec![task()]).await.must()).accepted().must();
    assert_eq!(only(answer(waiting).await).key.task, id);
}

/// I1, I2, L1: what was acknowledged and had been replicated is there, and work goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_goes_on_at_the_replica_that_the_cluster_promotes() {
    let place = TempDir::new().must();
    // The prefix's slot is the first master's.
    let mut cluster = RedisCluster::create(place.path(), "", &[OWNER]).await.must();
    let store = RedisStore::open(options(&cluster, "prefix=jobs")).await.must();
    assert_eq!(cluster.owner(0, "{jobs:0}:meta"), Some(OWNER));
    let first = only(store.enqueue(vec![task()]).await.must()).accepted().must();
    let held = only(only(store.lease(wants(), Duration::ZERO).await.must()));
    cluster.synced().await.must();
    cluster.nodes[OWNER].kill();
    cluster.promoted(3).await.must();
    until_it_answers(&store).await;
    let end = Settlement { key: held.key, outcome: Outcome::Complete { result: None } };
    let ended = only(store.settle(vec![end]).await.must());
    assert_eq!(ended, Settled::Applied { state: State::Completed, late: false });
    let second = only(store.enqueue(vec![task()]).await.must()).accepted().must();
    let again = RedisStore::open(options(&cluster, "prefix=jobs")).await.must();
    let views = again.get(vec![first, second], Include::default(), Duration::ZERO).await.must();
    let states: Vec<State> = views.into_iter().map(|view| view.must().state()).collect();
    assert_eq!(states, [State::Completed, State::Available]);
}

/// Where the slot of the prefix `jobs` is.
const OWNER: usize = 0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_not_taken_for_a_redis_and_must_serve_every_slot() {
    let place = TempDir::new().must();
    let more = "cluster-require-full-coverage no";
    let cluster = RedisCluster::create(place.path(), more, &[]).await.must();
    let url = format!("redis://127.0.0.1:{}", cluster.nodes[0].port());
    let single = Options::parse(&url, Arc::new(SeededEntropy::from_u64(7))).must();
    let Err(OpenError::Refused(error)) = RedisStore::open(single).await else { panic!("{url}") };
    assert!(error.message().contains("redis+cluster://"), "{error}");
    let owner = cluster.owner(0, "{jobs:0}:meta").must();
    // Somebody else's slots: all nodes have to forget them.
    let lost = (owner + 1) % 3;
    let first = [0, 5_462, 10_923][lost];
    for node in &cluster.nodes {
        node.ask(&format!("CLUSTER DELSLOTSRANGE {first} {}", first + 9)).must();
    }
    let opened = RedisStore::open(options(&cluster, "prefix=jobs")).await;
    let Err(OpenError::Refused(error)) = opened else { panic!("{opened:?}") };
    let named = format!("{first} to {}", first + 9);
    assert!(
        error.message().contains(&named) && error.message().contains("--cluster fix"),
        "{error}"
    );
}
