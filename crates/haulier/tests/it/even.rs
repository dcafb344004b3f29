//! Scarce tasks are shared out evenly over the workers that wait.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use haulier::core::SystemClock;
use haulier::{Client, Ctx, Enqueued, State, Task, TaskError, Worker, connect};
use haulier_server::config::StoreUrl;
use haulier_server::{Config, Server};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

const WORKERS: u32 = 10;
const TASKS: u32 = 10_000;

#[derive(Serialize, Deserialize, Task)]
#[task(kind = "five.millis")]
struct FiveMillis;

/// Tasks run, by worker.
#[derive(Clone, Default)]
struct Tally {
    counts: Arc<Mutex<BTreeMap<u32, u32>>>,
    done: Arc<Notify>,
}

/// Which of the workers this is.
#[derive(Clone, Copy)]
struct Number(u32);

async fn run(
    _: FiveMillis,
    State(number): State<Number>,
    State(tally): State<Tally>,
    ctx: Ctx,
) -> Result<(), TaskError> {
    ctx.clock().sleep(Duration::from_millis(5)).await;
    let mut counts = tally.counts.lock().unwrap();
    *counts.entry(number.0).or_default() += 1;
    if counts.values().sum::<u32>() == TASKS {
        tally.done.notify_waiters();
    }
    Ok(())
}

/// Jain's index: 1 if everybody has the same, 1/n if one has it all.
fn jain(counts: &BTreeMap<u32, u32>) -> f64 {
    let counts: Vec<f64> = counts.values().map(|count| f64::from(*count)).collect();
    let sum: f64 = counts.iter().sum();
    let squares: f64 = counts.iter().map(|count| count * count).sum();
    sum * sum / (f64::from(WORKERS) * squares)
}

/// Ten equal workers, and tasks that come and find them waiting or busy.
async fn share(client: &Client) -> BTreeMap<u32, u32> {
    let tally = Tally::default();
    let done = tally.done.notified();
    let workers: Vec<_> = (0..WORKERS)
        .map(|number| {
            let worker = Worker::new(client).concurrency(4).state(Number(number));
            let stop = Arc::new(Notify::new());
            let told = Arc::clone(&stop);
            let worker = worker.state(tally.clone()).register(run);
            (tokio::spawn(worker.run_until(async move { told.notified().await })), stop)
        })
        .collect();
    for _ in 0..TASKS / 500 {
        let tasks = (0..500).map(|_| client.task(&FiveMillis).unwrap()).collect();
        let answers = client.enqueue_many(tasks).await.unwrap();
        assert!(answers.iter().all(|answer| matches!(answer, Enqueued::Inserted { .. })));
    }
    done.await;
    for (worker, stop) in workers {
        stop.notify_one();
        worker.await.unwrap().unwrap();
    }
    tally.counts.lock().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_equal_workers_of_a_directory_run_about_as_many_tasks_each() {
    let directory = tempfile::tempdir().unwrap();
    let client = connect(format!("file:{}", directory.path().display())).await.unwrap();
    let counts = share(&client).await;
    let index = jain(&counts);
    assert!(index >= 0.99, "{index}: {counts:?}");
    client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_equal_workers_of_a_server_run_about_as_many_tasks_each() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        store: StoreUrl::new(format!("file:{}", directory.path().display())),
        ..Config::default()
    };
    let bound = Server::open(config, Arc::new(SystemClock::new())).await.unwrap().bind().unwrap();
    let url = format!("http://{}", bound.address());
    let stop = Arc::new(Notify::new());
    let told = Arc::clone(&stop);
    let serving = tokio::spawn(bound.serve(async move { told.notified().await }));
    let counts = share(&connect(url).await.unwrap()).await;
    let index = jain(&counts);
    assert!(index >= 0.99, "{index}: {counts:?}");
    stop.notify_one();
    serving.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_equal_workers_in_memory_run_about_as_many_tasks_each() {
    let client = connect("memory:").await.unwrap();
    let counts = share(&client).await;
    let index = jain(&counts);
    assert!(index >= 0.99, "{index}: {counts:?}");
}
