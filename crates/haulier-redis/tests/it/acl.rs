//! Users of Redis: the fewest rights that are enough, and what is said of each that is missing.

use std::sync::Arc;

use haulier_conformance::model::{self, Plan};
use haulier_conformance::prelude::{Must, task};
use haulier_core::{Durability, Queue, SeededEntropy};
use haulier_redis::{OpenError, Options, RedisStore};
use haulier_sim::nemesis::RedisServer;
use tempfile::TempDir;

use crate::redis_server as server;
use crate::rig_of::rig_of;

/// As the documentation of the options lists them.
const RIGHTS: &str = "+evalsha +script|load +info +config|get +publish +subscribe +select \
    +time +exists +del +hget +hset +hdel +hlen +hkeys +hvals +hmget +hgetall +hexists +hscan +hincrby +zscan \
    +zadd +zrem +zcard +zrange +zscore +zmscore +zrangebylex +zrevrangebylex +zrangebyscore \
    +zremrangebyscore +zremrangebyrank";

/// A user with these rights on everything that begins so.
fn grant(redis: &RedisServer, names: &str, rights: &str) {
    let command =
        format!("ACL SETUSER app reset on >secret ~{{{names}* &{{{names}* -@all {rights}");
    assert_eq!(redis.ask(&command).must(), "+OK\r\n");
}

fn options(redis: &RedisServer, login: &str, more: &str) -> Options {
    let url = format!("redis://{login}@127.0.0.1:{}?prefix=acl{more}", redis.port());
    Options::parse(&url, Arc::new(SeededEntropy::from_u64(7))).must()
}

async fn refusal(options: Options) -> String {
    match RedisStore::open(options).await {
        Err(OpenError::Refused(error)) => error.message().to_owned(),
        other => panic!("not refused: {other:?}"),
    }
}

async fn redis(settings: &str) -> (RedisServer, TempDir) {
    let place = TempDir::new().must();
    let redis = RedisServer::create(place.path(), settings).await.must();
    (redis, place)
}

rig_of!(LeastRig, {
    let redis = server::shared().await;
    // Rigs have prefixes of their own, that begin alike.
    grant(redis, "s", RIGHTS);
    let prefix = server::on(redis).prefix;
    let url = format!("redis://app:secret@127.0.0.1:{}?prefix={prefix}", redis.port());
    Options::parse(&url, Arc::new(SeededEntropy::from_u64(7))).must()
});

#[test]
fn a_user_with_the_rights_that_are_listed_may_do_everything() {
    model::check::<LeastRig>(Plan { histories: 4, ..Plan::from_env() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_right_that_is_missing_is_named() {
    let (redis, _place) = redis("").await;
    for missing in RIGHTS.split_whitespace() {
        // Neither is needed here: the database is 0, and a log is written.
        if missing == "+select" || missing == "+config|get" {
            continue;
        }
        let rights: Vec<&str> =
            RIGHTS.split_whitespace().filter(|right| *right != missing).collect();
        grant(&redis, "acl:", &rights.join(" "));
        redis.ask("SCRIPT FLUSH").must();
        let said = refusal(options(&redis, "app:secret", "")).await;
        let named = missing.trim_start_matches('+');
        assert!(said.contains(named) && said.contains("ACL SETUSER"), "{missing}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_channels_of_others_are_not_enough() {
    let (redis, _place) = redis("").await;
    grant(&redis, "other:", RIGHTS);
    let said = refusal(options(&redis, "app:secret", "")).await;
    assert!(said.contains("key") && said.contains("ACL SETUSER"), "{said}");
    grant(&redis, "acl:", RIGHTS);
    redis.ask("ACL SETUSER app resetchannels").must();
    let said = refusal(options(&redis, "app:secret", "")).await;
    assert!(said.contains("+publish +subscribe") && said.contains("&{acl:*"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_let_in_hears_what_to_change() {
    let (redis, _place) = redis("").await;
    redis.ask("CONFIG SET requirepass other").must();
    for login in ["app:wrong", "nobody:secret", ":wrong"] {
        let said = refusal(options(&redis, login, "")).await;
        assert!(said.contains("user or the password"), "{login}: {said}");
        assert!(!said.contains("secret"), "{said}");
    }
    let url = format!("redis://127.0.0.1:{}", redis.port());
    let none = Options::parse(&url, Arc::new(SeededEntropy::from_u64(7))).must();
    let said = refusal(none).await;
    assert!(said.contains("wants a login"), "{said}");
    let store = RedisStore::open(options(&redis, ":other", "")).await.must();
    store.enqueue(vec![task()]).await.must();
    store.close().await.must();
}

/// Where settings cannot be read, what the URL says of them counts, as far as it can be true.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_class_that_cannot_be_seen_can_be_declared() {
    let (redis, _place) = redis("").await;
    grant(&redis, "acl:", &RIGHTS.replace("+config|get", ""));
    let class = async |more: &str| {
        let store = RedisStore::open(options(&redis, "app:secret", more)).await.must();
        let class = store.capabilities().durability;
        store.close().await.must();
        class
    };
    assert_eq!(class("").await, Durability::D1, "a log is written, no more is known");
    assert_eq!(class("&keeps=D2&class=D2").await, Durability::D2);
    let said = refusal(options(&redis, "app:secret", "&class=D2")).await;
    assert!(said.contains("+config|get") && said.contains("keeps=D2"), "{said}");
    redis.ask("CONFIG SET appendonly no").must();
    let said = refusal(options(&redis, "app:secret", "&keeps=D2")).await;
    assert!(said.contains("Redis keeps D0"), "{said}");
}
