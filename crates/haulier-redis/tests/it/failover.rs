//! Another Redis in the place of the one that was there: a replica that missed the last writes, or
//! the same one without its last writes.

use std::time::Duration;

use haulier_conformance::prelude::*;
use haulier_core::{
    Control, Inspect, Lease, Maintain, Outcome, Queue, QueueName, Settled, Settlement, State, Want,
};
use haulier_redis::{Counts, Options, RedisStore};
use haulier_sim::nemesis::{Proxy, RedisServer};
use tempfile::TempDir;

use crate::patience::in_time;
use crate::redis_server as server;

/// A master with a replica, and a store that reaches the master through a proxy.
struct Pair {
    master: RedisServer,
    replica: RedisServer,
    proxy: Proxy,
    store: RedisStore,
    _places: (TempDir, TempDir),
}

impl Pair {
    async fn new() -> Self {
        let places = (TempDir::new().must(), TempDir::new().must());
        let master = RedisServer::create(places.0.path(), "repl-diskless-sync-delay 0").await;
        let master = master.must();
        let follows = format!("replicaof 127.0.0.1 {}", master.port());
        let replica = RedisServer::create(places.1.path(), &follows).await.must();
        let proxy = Proxy::to(([127, 0, 0, 1], master.port()).into()).await.must();
        let url = master.url_at(proxy.address.port());
        let entropy = std::sync::Arc::new(haulier_core::SeededEntropy::from_u64(7));
        let store = RedisStore::open(Options::parse(&url, entropy).must()).await.must();
        Self { master, replica, proxy, store, _places: places }
    }

    /// The replica has everything now, and hears of nothing from here on.
    async fn cut_off(&self) {
        let upto = offset(&self.master, "master_repl_offset");
        while offset(&self.replica, "slave_repl_offset") < upto {
            tokio::task::yield_now().await;
        }
        self.replica.ask("REPLICAOF 127.0.0.1 1").must();
    }

    /// The master dies, and the replica takes its place.
    async fn fail_over(&mut self) {
        self.master.kill();
        self.replica.ask("REPLICAOF NO ONE").must();
        self.proxy.lead_to(([127, 0, 0, 1], self.replica.port()).into());
        self.proxy.cut();
        until_it_writes(&self.store).await;
    }
}

/// How far a Redis has come in what is replicated; nothing of a replica that has not begun.
fn offset(redis: &RedisServer, field: &str) -> Option<u64> {
    let said = redis.ask("INFO replication").must();
    let value = said.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let is_up = field.starts_with("master") || said.contains("master_link_status:up");
    value.parse().ok().filter(|_| is_up)
}

/// Until the store has found the other Redis, and has changed something there.
async fn until_it_writes(store: &RedisStore) {
    let writes = async {
        while let Err(error) = store.sweep(1).await {
            assert!(error.is_retryable(), "{error:?}");
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = in_time("the store writes", writes) => {}
        why = store.failed() => panic!("the store has stopped: {why}"),
    }
}

async fn take_one(store: &RedisStore, name: &str) -> Lease {
    let wants = vec![Want::new(worker(name), QueueName::default(), 1)];
    only(only(store.lease(wants, Duration::ZERO).await.must()))
}

async fn end(store: &RedisStore, lease: &Lease, outcome: Outcome) -> Settled {
    only(store.settle(vec![Settlement { key: lease.key, outcome }]).await.must())
}

fn done() -> Outcome {
    Outcome::Complete { result: None }
}

/// I2: the new master knows nothing of a delivery, and must not hand its epoch out again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_missed_a_delivery_hands_out_a_larger_epoch() {
    let mut pair = Pair::new().await;
    pair.store.enqueue(vec![task()]).await.must();
    let before = take_one(&pair.store, "w").await;
    pair.cut_off().await;
    end(&pair.store, &before, Outcome::Release).await;
    let missed = take_one(&pair.store, "w").await;
    assert!(missed.key.epoch > before.key.epoch);
    pair.fail_over().await;
    // It still runs there, for the delivery that the replica knows of.
    end(&pair.store, &before, Outcome::Release).await;
    let after = take_one(&pair.store, "w").await;
    assert_eq!(after.key.task, missed.key.task);
    assert!(after.key.epoch > missed.key.epoch, "{:?} after {:?}", after.key, missed.key);
    // I3: whoever holds what was lost is told so, and changes nothing.
    assert_eq!(end(&pair.store, &missed, done()).await, Settled::Stale);
    let ended = end(&pair.store, &after, done()).await;
    assert_eq!(ended, Settled::Applied { state: State::Completed, late: false });
}

/// I16: what was acknowledged and is not there any more is counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_replica_missed_is_told_in_numbers() {
    let mut pair = Pair::new().await;
    pair.store.enqueue(vec![task(), task()]).await.must();
    let first = take_one(&pair.store, "w").await;
    pair.cut_off().await;
    let lost: Vec<_> = (0..3).map(|_| task()).collect();
    pair.store.enqueue(lost).await.must();
    end(&pair.store, &first, done()).await;
    take_one(&pair.store, "w").await;
    assert_eq!(pair.store.losses(), Counts::default());
    pair.fail_over().await;
    assert_eq!(pair.store.losses(), Counts { tasks: 3, leases: 1, ends: 1 });
    // Nothing is counted twice.
    pair.store.enqueue(vec![task()]).await.must();
    assert_eq!(pair.store.losses(), Counts { tasks: 3, leases: 1, ends: 1 });
    let counts = &pair.store.queues().await.must()[0].counts;
    assert_eq!((counts.get(State::Available), counts.get(State::Running)), (2, 1), "I14");
}

/// I2, I16: the epochs rise with each start of Redis, and nothing is told to be lost that is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_was_only_started_anew_has_lost_nothing() {
    let place = TempDir::new().must();
    let mut redis = RedisServer::create(place.path(), "").await.must();
    let store = RedisStore::open(server::on(&redis)).await.must();
    store.enqueue(vec![task(), task()]).await.must();
    let before = take_one(&store, "w").await;
    redis.crash().await.must();
    until_it_writes(&store).await;
    let after = take_one(&store, "w").await;
    assert!(after.key.epoch.0 >> 32 > before.key.epoch.0 >> 32, "{after:?} after {before:?}");
    assert_eq!(store.losses(), Counts::default());
    assert!(matches!(end(&store, &before, done()).await, Settled::Applied { late: false, .. }));
    store.delete(vec![before.key.task]).await.must();
}
