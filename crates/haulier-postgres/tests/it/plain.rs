//! What makes the store fast, seen from inside the database: it is a promise of the tables, which
//! no answer of a verb shows.

use haulier_conformance::prelude::{Must, kind, queue};
use haulier_core::{
    Enqueued, Inspect, NewTask, Payload, Queue, SeededEntropy, State, SystemClock, TaskId,
};
use haulier_postgres::{Options, PgStore};
use tokio_postgres::{Client, NoTls};

use crate::server;

async fn open() -> (PgStore, Options, Client) {
    let options = server::options("").await;
    let store = PgStore::migrate_and_open(options.clone()).await.must();
    let url = server::shared().await.url();
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.must();
    tokio::spawn(connection);
    client.batch_execute(&format!("SET search_path = {}", options.schema)).await.must();
    (store, options, client)
}

fn tasks(count: usize, payload: usize) -> Vec<NewTask> {
    let (clock, chance) = (SystemClock::new(), SeededEntropy::from_u64(3));
    let task = |_| {
        let id = TaskId::generate(&clock, &chance);
        let bytes = vec![7; payload];
        let mut task = NewTask::new(id, kind("work"), Payload::new(bytes, Payload::BINARY));
        task.queue = queue("plain");
        task
    };
    (0..count).map(task).collect()
}

/// A statement of the crate, in the words of a schema.
fn text(sql: &str, options: &Options) -> String {
    sql.replace("{schema}", &format!("\"{}\"", options.schema))
}

#[tokio::test]
async fn a_completion_writes_no_index_of_tasks() {
    let (store, options, client) = open().await;
    for payload in [0, 200, 3_000] {
        let stored = store.enqueue(tasks(300, payload)).await.must();
        let available = |answer: &Enqueued| {
            matches!(answer, Enqueued::Inserted { state: State::Available, .. })
        };
        assert!(stored.iter().all(available), "{stored:?}");
        client
            .batch_execute(
                "INSERT INTO lease (id, epoch, deadline, ends, ttl, leased_at, queue, attempt,
                                    place, worker)
                 SELECT id, 1, 0, 0, 1000, 0, queue, 1, place, 'w' FROM task WHERE state = 1;
                 BEGIN",
            )
            .await
            .must();
        let complete = text(include_str!("../../sql/complete.sql"), &options);
        let complete = client.prepare(&complete).await.must();
        let rows = client.query("SELECT id FROM lease ORDER BY id", &[]).await.must();
        let ids: Vec<uuid::Uuid> = rows.iter().map(|row| row.get(0)).collect();
        let places: Vec<i64> = (0..).take(ids.len()).collect();
        let row = client.query_one(&complete, &[&ids, &vec![1_i64; ids.len()], &places]).await;
        assert_eq!(row.must().get::<_, i64>("completed"), 300);
        let row = client
            .query_one(
                "SELECT pg_stat_get_xact_tuples_updated('task'::regclass),
                        pg_stat_get_xact_tuples_hot_updated('task'::regclass)",
                &[],
            )
            .await
            .must();
        let (updated, hot): (i64, i64) = (row.get(0), row.get(1));
        assert_eq!(updated, hot, "with {payload} bytes");
        client.batch_execute("COMMIT").await.must();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_store_the_same_tasks_at_once_store_each_of_them_once() {
    let (one, options, _client) = open().await;
    let other = PgStore::open(options).await.must();
    for round in 0..20 {
        let tasks = tasks(50, round);
        // The other one comes from the other end, so that they meet in the middle.
        let turned: Vec<NewTask> = tasks.iter().rev().cloned().collect();
        let (first, second) = tokio::join!(one.enqueue(tasks), other.enqueue(turned));
        for (first, second) in first.must().into_iter().zip(second.must().into_iter().rev()) {
            let inserted = |answer: &Enqueued| matches!(answer, Enqueued::Inserted { .. });
            let existing = |answer: &Enqueued| {
                matches!(answer, Enqueued::Existing { state: Some(State::Available), .. })
            };
            assert!(
                inserted(&first) && existing(&second) || existing(&first) && inserted(&second),
                "{first:?} {second:?}"
            );
        }
    }
    let queues = one.queues().await.must();
    assert_eq!(queues.iter().map(|queue| queue.accepted).sum::<u64>(), 1_000);
}
