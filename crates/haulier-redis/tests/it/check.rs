//! What a Redis must be like before it is served: each refusal says what to change.

use haulier_conformance::prelude::Must;
use haulier_core::{Durability, Queue};
use haulier_redis::{OpenError, Options, RedisStore};
use haulier_sim::nemesis::RedisServer;
use tempfile::TempDir;

use crate::redis_server as server;

async fn redis(settings: &str) -> (RedisServer, TempDir) {
    let place = TempDir::new().must();
    let redis = RedisServer::create(place.path(), settings).await.must();
    (redis, place)
}

async fn refusal(options: Options) -> String {
    match RedisStore::open(options).await {
        Err(OpenError::Refused(error)) => error.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

async fn class(settings: &str) -> Durability {
    let (redis, _place) = redis(settings).await;
    RedisStore::open(server::on(&redis)).await.must().capabilities().durability
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_is_worth_what_its_log_keeps() {
    assert_eq!(class("").await, Durability::D2);
    assert_eq!(class("appendfsync everysec").await, Durability::D1);
    assert_eq!(class("appendonly no").await, Durability::D0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_below_the_class_that_is_demanded_is_refused() {
    let (redis, _place) = redis("appendfsync everysec").await;
    let mut options = server::on(&redis);
    options.class = Durability::D2;
    let said = refusal(options).await;
    assert!(said.contains("appendfsync to always"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_throws_keys_away_is_refused() {
    let (redis, _place) = redis("maxmemory 100mb\nmaxmemory-policy allkeys-lru").await;
    let said = refusal(server::on(&redis)).await;
    assert!(said.contains("noeviction"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_refused() {
    let (master, _place) = redis("").await;
    let (replica, _place) = redis(&format!("replicaof 127.0.0.1 {}", master.port())).await;
    let said = refusal(server::on(&replica)).await;
    assert!(said.contains("connect to its master"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_a_newer_version_is_refused() {
    let (redis, _place) = redis("").await;
    let options = server::on(&redis);
    RedisStore::open(options.clone()).await.must().close().await.must();
    redis.ask(&format!("HSET {{{}:0}}:meta format 2", options.prefix)).must();
    let said = refusal(options).await;
    assert!(said.contains("format 2"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_away_is_told_from_one_that_refuses() {
    let (redis, place) = redis("").await;
    let options = server::on(&redis);
    drop((redis, place));
    let away = RedisStore::open(options).await;
    assert!(matches!(away, Err(OpenError::Away(_))), "{away:?}");
}
