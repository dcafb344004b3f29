//! Several servers on one database: who gets what, who is woken by whom, and what comes late.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::poll_immediate;
use haulier_conformance::prelude::{
    CALLERS, COMPLETE, PATIENCE, answer, eventually, ids, only, task, want_of, worker,
};
use haulier_core::{
    Control as _, Directive, Enqueued, Include, Inspect as _, Lease, NewTask, Queue as _,
    SeededEntropy, Settled, Settlement, State, TaskId, limits,
};
use haulier_postgres::{Options, PgStore};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

use crate::server;

/// So rarely that whoever is served in time was woken.
const ALMOST_NEVER: &str = "&poll=600s";

/// Stores of as many servers, on one schema.
async fn servers(count: u64, more: &str) -> (Vec<PgStore>, Options) {
    let mut options = server::options(more).await;
    let mut stores = Vec::new();
    for number in 0..count {
        options.entropy = Arc::new(SeededEntropy::from_u64(number));
        stores.push(PgStore::migrate_and_open(options.clone()).await.unwrap());
    }
    (stores, options)
}

async fn sql(options: &Options) -> Client {
    let url = server::shared().await.url();
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(&format!("SET search_path = {}", options.schema)).await.unwrap();
    client
}

async fn put(store: &PgStore, tasks: Vec<NewTask>) -> Vec<TaskId> {
    let answers = store.enqueue(tasks).await.unwrap();
    answers.into_iter().map(|answer| Enqueued::accepted(answer).unwrap()).collect()
}

async fn take(store: &PgStore, name: &str, max: u32) -> Vec<Lease> {
    only(store.lease(vec![want_of(name, max)], Duration::ZERO).await.unwrap())
}

fn wait_at(store: &PgStore, name: &str, max: u32) -> JoinHandle<Vec<Lease>> {
    let (store, want) = (store.clone(), want_of(name, max));
    tokio::spawn(async move { only(store.lease(vec![want], limits::WAIT_MAX).await.unwrap()) })
}

async fn until_known(store: &PgStore, name: &str) {
    let wanted = worker(name);
    let is_known = async || {
        let workers = store.workers().await.unwrap();
        workers.iter().any(|view| view.worker == wanted)
    };
    eventually("the worker is known", is_known).await;
}

/// What a call that waits for it gets in the end.
async fn woken(waiting: JoinHandle<Vec<Lease>>) -> Vec<TaskId> {
    let answered = tokio::time::timeout(PATIENCE / 3, waiting).await;
    ids(&answered.unwrap_or_else(|_| panic!("L1: it waits, and nobody tells it")).unwrap())
}

async fn until_listening(client: &Client, servers: i64) {
    let all = async || {
        let text = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%LISTEN \"' \
                    || current_schema() || '\"'";
        client.query_one(text, &[]).await.unwrap().get::<_, i64>(0) == servers
    };
    eventually("all servers listen", all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_waiting_at_one_server_is_woken_by_a_task_enqueued_at_another() {
    let (stores, options) = servers(2, ALMOST_NEVER).await;
    until_listening(&sql(&options).await, 2).await;
    for round in ["first", "second", "third"] {
        let waiting = wait_at(&stores[1], round, 1);
        until_known(&stores[0], round).await;
        let id = only(put(&stores[0], vec![task()]).await);
        assert_eq!(woken(waiting).await, [id]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_worker_finds_what_others_enqueued_without_any_notification() {
    let (stores, _) = servers(2, "&notify=off").await;
    let waiting = wait_at(&stores[1], "w", 1);
    until_known(&stores[0], "w").await;
    let id = only(put(&stores[0], vec![task()]).await);
    assert_eq!(ids(&answer(waiting).await), [id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_for_notifications_is_made_anew_and_what_was_missed_is_found() {
    let (stores, options) = servers(2, ALMOST_NEVER).await;
    let client = sql(&options).await;
    until_listening(&client, 2).await;
    let waiting = wait_at(&stores[1], "w", 1);
    until_known(&stores[0], "w").await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE query LIKE '%LISTEN \"' || current_schema() || '\"'";
    client.execute(cut, &[]).await.unwrap();
    let id = only(put(&stores[0], vec![task()]).await);
    assert_eq!(ids(&answer(waiting).await), [id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_watching_at_one_server_is_told_what_an_operator_said_at_another() {
    for more in [ALMOST_NEVER, "&notify=off"] {
        let (stores, options) = servers(2, more).await;
        if more == ALMOST_NEVER {
            until_listening(&sql(&options).await, 2).await;
        }
        take(&stores[1], "w", 1).await;
        let (store, name) = (stores[1].clone(), worker("w"));
        let watching =
            tokio::spawn(async move { store.watch(name, limits::WAIT_MAX).await.unwrap() });
        let known = stores[0].direct(vec![worker("w")], Directive::Quiet).await.unwrap();
        assert_eq!(known, [true]);
        assert!(answer(watching).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_came_into_line_late_and_was_told_by_nobody_is_found() {
    let (stores, options) = servers(1, "&notify=off").await;
    let store = &stores[0];
    let first = only(put(store, vec![task()]).await);
    assert_eq!(ids(&take(store, "w", 1).await), [first]);
    let mut client = sql(&options).await;
    let late = task();
    let transaction = client.transaction().await.unwrap();
    let text = "INSERT INTO task (id, enqueued_at, due_at, place, epoch, queue, line, state, \
                priority, kind, payload) \
                SELECT $1::text::uuid, enqueued_at, due_at, nextval('place'), 0, queue, line, 1, \
                priority, kind, payload FROM task";
    transaction.execute(text, &[&late.id.to_string()]).await.unwrap();
    // These get later places, and a claim passes the one that nobody can see yet.
    let more = put(store, vec![task(), task()]).await;
    assert_eq!(ids(&take(store, "w", 9).await), more);
    transaction.commit().await.unwrap();
    assert_eq!(woken(wait_at(store, "w", 9)).await, [late.id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_at_two_servers_never_get_the_same_task() {
    let (stores, _) = servers(2, "").await;
    for _ in 0..5 {
        put(&stores[0], (0..100).map(|_| task()).collect()).await;
    }
    let calls: Vec<JoinHandle<Vec<TaskId>>> = (0..CALLERS)
        .map(|number| {
            let store = stores[number % 2].clone();
            tokio::spawn(async move {
                let mut got = Vec::new();
                loop {
                    let leases = take(&store, &format!("w{number}"), 3).await;
                    if leases.is_empty() {
                        return got;
                    }
                    got.extend(ids(&leases));
                }
            })
        })
        .collect();
    let mut got = Vec::new();
    for call in calls {
        got.extend(answer(call).await);
    }
    let distinct: BTreeSet<TaskId> = got.iter().copied().collect();
    assert_eq!((got.len(), distinct.len()), (500, 500));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_claimed_for_a_call_that_is_given_up_is_given_back_at_once() {
    let (stores, _) = servers(1, ALMOST_NEVER).await;
    let store = &stores[0];
    let mut gone = Box::pin(store.lease(vec![want_of("gone", 1)], limits::WAIT_MAX));
    // It begins to wait, and is never asked again whether it is ready.
    assert!(poll_immediate(gone.as_mut()).await.is_none());
    until_known(store, "gone").await;
    let id = only(put(store, vec![task()]).await);
    let runs = async || {
        let views = store.get(vec![id], Include::default(), Duration::ZERO).await.unwrap();
        views[0].as_ref().unwrap().state() == State::Running
    };
    eventually("it is claimed", runs).await;
    let waiting = wait_at(store, "w", 1);
    until_known(store, "w").await;
    drop(gone);
    let lease = only(answer(waiting).await);
    assert_eq!((lease.key.task, lease.attempt, lease.losses), (id, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_with_equally_many_workers_get_their_shares_of_a_limited_queue() {
    let (stores, options) = servers(2, "").await;
    until_listening(&sql(&options).await, 2).await;
    let patch = haulier_core::SettingsPatch { concurrency: Some(Some(1)), ..Default::default() };
    stores[0].configure(task().queue.clone(), patch).await.unwrap();
    put(&stores[0], (0..40).map(|_| task()).collect()).await;
    let workers: Vec<JoinHandle<usize>> = (0..4)
        .map(|number: usize| {
            let store = stores[number % 2].clone();
            tokio::spawn(async move {
                for done in 0.. {
                    let waiting = wait_at(&store, &format!("w{number}"), 1);
                    let lease = only(answer(waiting).await);
                    let running = store.queues().await.unwrap()[0].counts.get(State::Running);
                    assert_eq!(running, 1, "one at a time over both servers");
                    let end = Settlement { key: lease.key, outcome: COMPLETE };
                    let settled = only(store.settle(vec![end]).await.unwrap());
                    assert!(matches!(settled, Settled::Applied { .. }), "{settled:?}");
                    if done == 9 {
                        return done + 1;
                    }
                }
                0
            })
        })
        .collect();
    for worker in workers {
        assert_eq!(tokio::time::timeout(2 * PATIENCE, worker).await.unwrap().unwrap(), 10);
    }
}
