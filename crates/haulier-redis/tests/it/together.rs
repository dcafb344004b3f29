//! Plain tasks that came together stand in line together, more of them than one member holds.

use std::time::Duration;

use haulier_conformance::prelude::*;
use haulier_core::{Control, Queue, QueueName, TaskId, Want};
use haulier_redis::RedisStore;

use crate::redis_server as server;

const TASKS: usize = 70;

async fn take(store: &RedisStore, most: u32) -> Vec<TaskId> {
    let wants = vec![Want::new(worker("w"), QueueName::default(), most)];
    let leases = only(store.lease(wants, Duration::ZERO).await.must());
    leases.into_iter().map(|lease| lease.key.task).collect()
}

/// Whoever leaves the line early, the others keep their order, and nobody comes twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_called_off_amid_others_leaves_them_in_their_order() {
    let store = RedisStore::open(server::options().await).await.must();
    let tasks: Vec<_> = (0..TASKS).map(|_| task()).collect();
    let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
    store.enqueue(tasks).await.must();
    let mut got = take(&store, 1).await;
    // The first and the last of a member, one amid it, neighbours, and the last of all.
    let off = [1, 31, 32, 40, 41, 63, 64, TASKS - 1].map(|at| ids[at]);
    store.cancel(off.to_vec()).await.must();
    got.extend(take(&store, 3).await);
    got.extend(take(&store, 1_000).await);
    let expected: Vec<TaskId> = ids.into_iter().filter(|id| !off.contains(id)).collect();
    assert_eq!(got, expected);
}
