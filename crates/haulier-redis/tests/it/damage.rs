//! Keys that somebody deletes, or Redis evicts: found, and told by name. A store that has lost one
//! never goes on as if nothing had been.

use std::time::Duration;

use haulier_conformance::prelude::*;
use haulier_core::{
    Code, Control, Durability, Include, Inspect, Outcome, Payload, Queue, QueueName, Settlement,
    Start, State, Unique, Want,
};
use haulier_redis::{Fatal, OpenError, Options, RedisStore};
use haulier_sim::nemesis::RedisServer;
use tempfile::TempDir;

use crate::redis_server as server;

/// Keys without which tasks, or what is promised of them, are lost. The others are of workers and
/// servers, who say again soon that they are there.
const KEYS: [&str; 18] = [
    "meta", "task", "body", "extra", "ready", "due", "lease", "expire", "age", "done", "keep",
    "held", "queue", "key", "gone", "holds", "jobs", "stand",
];

async fn emptied(options: &Options) -> RedisStore {
    let mut options = options.clone();
    options.recheck = ms(20);
    let store = RedisStore::open(options).await.must();
    let mut tasks: Vec<_> = (0..4).map(|_| task()).collect();
    tasks.push(task_with(|task| task.start = Start::After(TTL)));
    tasks.push(task_with(|task| task.unique = Some(Unique::new("key"))));
    store.enqueue(tasks).await.must();
    let wants = vec![Want::new(worker("w"), QueueName::default(), 2)];
    let held = only(store.lease(wants, Duration::ZERO).await.must());
    let outcome = Outcome::Complete { result: None };
    store.settle(vec![Settlement { key: held[0].key, outcome }]).await.must();
    store
}

async fn why(store: RedisStore) -> String {
    match store.failed().await {
        Fatal::Damaged(why) => why,
        other @ Fatal::Refused(_) => panic!("not damaged: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_key_is_gone_stops_the_store_and_is_named() {
    let redis = server::shared().await;
    for key in KEYS {
        let options = server::options().await;
        let store = emptied(&options).await;
        let failed = why(store.clone());
        let name = format!("{{{}:0}}:{key}", options.prefix);
        assert_eq!(redis.ask(&format!("DEL {name}")).must(), ":1\r\n", "{key} was there");
        let why = failed.await;
        assert!(key == "meta" || why.contains(&name), "I16: {key}: {why}");
        let error = store.enqueue(vec![task()]).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable, "{key}: {error:?}");
        // Nor does another server begin with what is left.
        let refused = RedisStore::open(options).await;
        let Err(OpenError::Refused(error)) = refused else { panic!("{key}: {refused:?}") };
        assert!(error.to_string().contains(&name), "{key}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_task_that_is_gone_stops_the_store() {
    let redis = server::shared().await;
    let options = server::options().await;
    let store = emptied(&options).await;
    let failed = why(store.clone());
    let name = format!("{{{}:0}}:age", options.prefix);
    assert_eq!(redis.ask(&format!("ZPOPMIN {name} 1")).must().get(..2), Some("*2"));
    let why = failed.await;
    assert!(why.contains(&format!("the key {name} holds 5 instead of 6")), "I14, I16: {why}");
}

/// I16: a store that was made anew in the place of the old one is not taken for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_made_anew_after_a_flush_is_not_served_by_those_who_had_the_old_one() {
    let place = TempDir::new().must();
    let redis = RedisServer::create(place.path(), "").await.must();
    let options = server::on(&redis);
    let old = RedisStore::open(options.clone()).await.must();
    old.enqueue(vec![task()]).await.must();
    redis.ask("FLUSHALL").must();
    let new = RedisStore::open(options).await.must();
    let error = old.enqueue(vec![task()]).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error:?}");
    assert!(matches!(old.failed().await, Fatal::Damaged(_)));
    new.enqueue(vec![task()]).await.must();
    new.delete(Vec::new()).await.must();
}

async fn changed(setting: &str, class: Durability) -> (RedisServer, TempDir, RedisStore) {
    let place = TempDir::new().must();
    let redis = RedisServer::create(place.path(), "").await.must();
    let mut options = server::on(&redis);
    options.recheck = ms(20);
    options.class = class;
    let store = RedisStore::open(options).await.must();
    assert_eq!(redis.ask(&format!("CONFIG SET {setting}")).must(), "+OK\r\n");
    (redis, place, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_would_lose_tasks_stop_an_open_store() {
    for (setting, hint) in [
        ("maxmemory-policy allkeys-lru maxmemory 100mb", "noeviction"),
        ("appendfsync everysec", "appendfsync to always"),
    ] {
        let (_redis, _place, store) = changed(setting, Durability::D2).await;
        let Fatal::Refused(why) = store.failed().await else { panic!("not refused") };
        assert!(why.contains(hint), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_says_what_it_is_worth_now() {
    let (_redis, _place, store) = changed("appendfsync everysec", Durability::D0).await;
    while store.capabilities().durability != Durability::D1 {
        tokio::task::yield_now().await;
    }
}

/// Changes the last byte of every value of a hash, but of its mark.
fn rot(redis: &RedisServer, key: &str) {
    let change = "for _, id in ipairs(redis.call('HKEYS', KEYS[1])) do if id ~= '' then local v = \
                  redis.call('HGET', KEYS[1], id) redis.call('HSET', KEYS[1], id, \
                  string.sub(v, 1, -2) .. '~') end end return 1";
    assert_eq!(redis.ask(&format!("EVAL \"{change}\" 1 {key}")).must(), ":1\r\n");
}

/// I9, I16, L3: it is never delivered, and stands in nobody's way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_that_has_changed_in_redis_is_an_error_and_never_a_delivery() {
    let redis = server::shared().await;
    for (key, bytes) in [("task", 10), ("body", 10_000)] {
        let options = server::options().await;
        let store = RedisStore::open(options.clone()).await.must();
        let rotten = task_with(|task| {
            task.payload = Payload::new(vec![b'x'; bytes], "text/plain");
        });
        let id = rotten.id;
        store.enqueue(vec![rotten]).await.must();
        rot(redis, &format!("{{{}:0}}:{key}", options.prefix));
        let sound = task();
        store.enqueue(vec![sound.clone()]).await.must();
        let wants = vec![Want::new(worker("w"), QueueName::default(), 10)];
        let held = only(store.lease(wants, Duration::ZERO).await.must());
        let ids: Vec<_> = held.iter().map(|lease| lease.key.task).collect();
        assert_eq!(ids, [sound.id], "{key}");
        let read = store.get(vec![id], Include::ALL, Duration::ZERO).await.unwrap_err();
        assert!(read.to_string().contains(&id.to_string()), "{key}: {read}");
        let seen = only(store.get(vec![id], Include::RESULT, Duration::ZERO).await.must()).must();
        let failure = seen.deliveries[0].failure.as_ref().must();
        assert_eq!(seen.state(), State::Dead, "{key}");
        assert!(failure.message.contains("checksum"), "{key}: {failure:?}");
    }
}
