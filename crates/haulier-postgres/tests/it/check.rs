//! What a database must be like, at the start and later; and that it is the one that it was.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use haulier_conformance::prelude::{Must, eventually, task_in};
use haulier_core::{
    Code, Durability, Include, Inspect, Kind, NewTask, Payload, Queue, SeededEntropy, TaskId,
};
use haulier_postgres::{Fatal, OpenError, Options, PgStore, migrate};
use haulier_sim::nemesis::PgServer;
use tempfile::TempDir;

use crate::server;

fn options(url: &str) -> Options {
    Options::parse(url, Arc::new(SeededEntropy::from_u64(7))).must()
}

async fn migrated(more: &str) -> Options {
    let options = server::options(more).await;
    migrate::up(&options).await.must();
    options
}

async fn refusal(options: Options) -> String {
    match PgStore::open(options).await {
        Err(OpenError::Refused(error)) => error.message().to_owned(),
        other => panic!("not refused: {other:?}"),
    }
}

async fn enqueue(store: &PgStore) {
    let kind = Kind::new("k").must();
    let task = NewTask::new(TaskId::from_bytes([1; 16]), kind, Payload::json("1"));
    store.enqueue(vec![task]).await.must().remove(0).accepted().must();
}

/// What the store says when it has to stop.
async fn fatal(store: &PgStore) -> Fatal {
    tokio::time::timeout(Duration::from_mins(1), store.failed()).await.must()
}

fn generation(server: &PgServer) -> i64 {
    server.sql("select generation from haulier.meta").must().parse().must()
}

/// Asks until the store is there again.
async fn there_again(store: &PgStore) {
    let asked = async {
        while let Err(error) = store.get(Vec::new(), Include::default(), Duration::ZERO).await {
            assert!(error.is_retryable(), "{error:?}");
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), asked).await.must();
}

async fn two(dir: &Path) -> (PgServer, PgServer) {
    let first = PgServer::create(&dir.join("first")).await.must();
    migrate::up(&options(&first.url())).await.must();
    PgStore::open(options(&first.url())).await.must().close().await.must();
    let second = first.standby(&dir.join("second")).await.must();
    (first, second)
}

#[tokio::test]
async fn a_promoted_standby_raises_the_generation_before_it_is_asked_anything() {
    let dir = TempDir::new().must();
    let (mut first, second) = two(dir.path()).await;
    let (one, other) = (first.port(), second.port());
    let both = format!(
        "postgres://postgres@127.0.0.1:{one},127.0.0.1:{other}/postgres\
         ?target_session_attrs=read-write"
    );
    let serving = PgStore::open(options(&both)).await.must();
    assert_eq!(generation(&first), 1);
    first.kill();
    second.promote().must();
    there_again(&serving).await;
    let raised = generation(&second);
    assert!(raised > 1, "I2: epochs of another database may come again");
    let newcomer = PgStore::open(options(&second.url())).await.must();
    assert_eq!(generation(&second), raised, "it is raised once");
    newcomer.close().await.must();
}

#[tokio::test]
async fn a_server_forgets_what_it_knew_of_a_database_that_another_one_has_replaced() {
    let dir = TempDir::new().must();
    let (mut first, second) = two(dir.path()).await;
    let both = format!(
        "postgres://postgres@127.0.0.1:{},127.0.0.1:{}/postgres?target_session_attrs=read-write",
        first.port(),
        second.port()
    );
    let serving = PgStore::open(options(&both)).await.must();
    // The standby never hears of this queue; the next one there has the same number.
    second.sql("alter system set primary_conninfo = ''").must();
    second.sql("select pg_reload_conf()").must();
    let is_cut = "select count(*) from pg_stat_replication";
    eventually("it is cut off", async || first.sql(is_cut).must() == "0").await;
    serving.enqueue(vec![task_in("lost")]).await.must().remove(0).accepted().must();
    first.kill();
    second.promote().must();
    there_again(&serving).await;
    let mut put = Vec::new();
    for name in ["other", "lost"] {
        let task = task_in(name);
        put.push(task.id);
        serving.enqueue(vec![task]).await.must().remove(0).accepted().must();
    }
    let there = serving.get(put, Include::default(), Duration::ZERO).await.must();
    let queues = there.iter().map(|view| view.as_ref().map(|view| view.task.queue.as_str()));
    let queues: Vec<_> = queues.collect();
    assert_eq!(queues, [Some("other"), Some("lost")], "I1: numbers of another database");
}

#[tokio::test]
async fn a_standby_is_not_served() {
    let dir = TempDir::new().must();
    let (_first, second) = two(dir.path()).await;
    let said = refusal(options(&second.url())).await;
    assert!(said.contains("connect to the primary"), "{said}");
}

#[tokio::test]
async fn a_backup_that_was_put_in_place_never_repeats_a_generation() {
    let dir = TempDir::new().must();
    let first = PgServer::create(&dir.path().join("first")).await.must();
    migrate::up(&options(&first.url())).await.must();
    PgStore::open(options(&first.url())).await.must().close().await.must();
    let mut copy = first.backup(&dir.path().join("copy")).must();
    copy.start().await.must();
    PgStore::open(options(&copy.url())).await.must().close().await.must();
    let raised = generation(&copy) > generation(&first);
    assert!(raised, "I2: epochs of another database may come again");
}

#[tokio::test]
async fn a_database_that_may_lose_everything_is_not_served_unless_it_is_thrown_away() {
    let mut options = migrated("").await;
    PgStore::open(options.clone()).await.must().close().await.must();
    options.throwaway = false;
    let said = refusal(options).await;
    assert!(said.contains("set fsync = on"), "{said}");
}

#[tokio::test]
async fn the_class_is_what_commits_wait_for_and_less_than_demanded_is_refused() {
    let options = migrated("&class=D1&options=-c%20synchronous_commit%3Doff").await;
    let store = PgStore::open(options.clone()).await.must();
    assert_eq!(store.capabilities().durability, Durability::D1);
    let mut demanding = options;
    demanding.class = Durability::D2;
    let said = refusal(demanding).await;
    assert!(said.contains("set synchronous_commit = on"), "{said}");
}

#[tokio::test]
async fn truncated_and_dropped_tables_stop_the_store() {
    let server = server::shared().await;
    for (breaks, part) in [
        ("truncate {}.task", "`task`"),
        ("truncate {}.meta", "`meta`"),
        ("drop schema {} cascade", "missing"),
    ] {
        let options = migrated("&recheck=20ms").await;
        let store = PgStore::open(options.clone()).await.must();
        enqueue(&store).await;
        server.sql(&breaks.replace("{}", &options.schema)).must();
        let Fatal::Damaged(why) = fatal(&store).await else { panic!("no damage") };
        assert!(why.contains(part), "{why}");
        let error = store.get(Vec::new(), Include::default(), Duration::ZERO).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
    }
}

#[tokio::test]
async fn a_table_that_was_emptied_is_found_out_also_when_work_goes_on() {
    let server = server::shared().await;
    let options = migrated("&recheck=20ms").await;
    let store = PgStore::open(options.clone()).await.must();
    enqueue(&store).await;
    let truncated = format!(
        "truncate {0}.task; insert into {0}.task select (json_populate_record(null::{0}.task, '{1}')).*",
        options.schema,
        r#"{"id":"00000000-0000-0000-0000-000000000009","enqueued_at":1,"due_at":1,"place":1,
            "epoch":0,"queue":1,"attempt":0,"losses":0,"state":7,"priority":0,"started":false,
            "cancel_requested":false,"late":false,"has_deliveries":false,"kind":"k","payload":""}"#
    );
    server.sql(&truncated).must();
    let Fatal::Damaged(why) = fatal(&store).await else { panic!("no damage") };
    assert!(why.contains("truncated"), "{why}");
}
