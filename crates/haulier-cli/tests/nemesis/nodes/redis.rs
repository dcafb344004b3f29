//! Rows of servers on Redis, by the bodies that every database is put to, and those that only a
//! Redis has. It keeps what it has acknowledged (`appendfsync always`); only a failover may lose.

use std::process::{Command, Stdio};

use haulier_core::{Code, Enqueued, Include, Payload, QueueName, Want, WorkerId};
use haulier_sim::history::Fault;
use haulier_sim::nemesis::{Break, Dice, RedisServer};

use super::{DATABASE, Fleet, OnRedis, database as new, link, servers};
use crate::kit::{alone, millis, seed, times, until};
use crate::servers::task;
use crate::site::Setup;

macro_rules! rows {
    ($($name:ident => $body:path, $nodes:expr;)*) => {$(
        #[test]
        fn $name() {
            alone(module_path!(), stringify!($name), async { $body($nodes.await).await });
        }
    )*};
}

rows! {
    f01_any_server_killed_again_and_again_under_load_loses_nothing =>
        servers::killed, OnRedis::new();
    f01_all_servers_killed_at_once_lose_nothing => servers::killed_at_once, OnRedis::new();
    f12_servers_that_cannot_reach_redis_go_on_when_they_can => link::unreachable, OnRedis::new();
    f14_a_lossy_and_slow_link_to_redis_only_makes_it_slow => link::slow, OnRedis::behind_a_proxy();
    f16_a_redis_killed_again_and_again_loses_nothing => super::database::killed, OnRedis::new();
    f17_a_redis_that_stands_still_costs_no_memory_and_no_lease =>
        super::database::still, OnRedis::new();
    f19_a_server_that_was_frozen_changes_nothing_when_it_goes_on => servers::frozen, OnRedis::new();
}

#[test]
fn f05_a_byte_that_rotted_in_the_log_is_an_error_and_never_a_delivery() {
    alone(
        module_path!(),
        "f05_a_byte_that_rotted_in_the_log_is_an_error_and_never_a_delivery",
        async {
            let (site, mut redis) = OnRedis::site().await;
            let server = site.serve(&Setup::default()).await;
            let client = site.client().await;
            let mark = "a payload whose bytes are easily found in a file";
            let queue = |name| QueueName::new(name).unwrap();
            let mut rotten = task(&client);
            rotten.task.queue = queue("rotten");
            rotten.task.payload = Payload::new(mark.as_bytes(), "text/plain");
            let id = rotten.id;
            let mut sound = task(&client);
            sound.task.queue = queue("rotten");
            client.enqueue_many(vec![rotten, sound.clone()]).await.unwrap();
            server.kill().await;
            rot(&mut redis, mark).await;
            let _server = site.serve(&Setup::default()).await;
            let client = site.client().await;
            let want = Want::new(WorkerId::new("w-1").unwrap(), queue("rotten"), 10);
            let leases = client.queue().lease(vec![want], millis(0)).await.unwrap().remove(0);
            let ids: Vec<_> = leases.iter().map(|lease| lease.key.task).collect();
            assert_eq!(ids, [sound.id], "I9, L3: the others are delivered, and it is not");
            assert!(site.text().contains(&id.to_string()), "I16: {}", site.said());
            let read = client.inspect().unwrap().get(vec![id], Include::ALL, millis(0)).await;
            assert!(read.is_err(), "I16: {read:?}");
        },
    );
}

/// Changes one byte of what stands in the log, which Redis reads all the same.
async fn rot(redis: &mut RedisServer, mark: &str) {
    redis.stop();
    let log = redis.dir().join("appendonlydir");
    for file in std::fs::read_dir(log).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(mark.len()).position(|bytes| bytes == mark.as_bytes());
        if let Some(at) = found {
            bytes[at] = b'A';
            std::fs::write(&path, bytes).unwrap();
        }
    }
    redis.start().await.unwrap();
}

#[test]
fn f06_a_sync_that_fails_in_redis_loses_nothing() {
    alone(module_path!(), "f06_a_sync_that_fails_in_redis_loses_nothing", async {
        let mut nodes = OnRedis::new().await;
        let load = nodes.load().await;
        for _ in 0..times(20, 2) {
            load.reach(load.ids().len() + 60).await;
            load.recorder.fault(DATABASE, Fault::Disk);
            let mut strace = Command::new("strace");
            strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"]);
            strace.args(["-e", "inject=fdatasync:error=EIO", "-p"]);
            strace.arg(nodes.db.pid().unwrap().to_string());
            let mut strace = strace.stderr(Stdio::null()).spawn().unwrap();
            // It does not go on without a log that is whole.
            until("a sync fails", || std::future::ready(!nodes.db.is_running())).await;
            strace.wait().unwrap();
            nodes.db.crash().await.unwrap();
            nodes.listen().await;
            load.recorder.heal(DATABASE, Fault::Disk);
        }
        load.reach(load.ids().len() + 60).await;
        nodes.finish("F6", load).await;
    });
}

#[test]
fn f07_a_redis_without_memory_refuses_new_tasks_alone_until_there_is_room() {
    alone(
        module_path!(),
        "f07_a_redis_without_memory_refuses_new_tasks_alone_until_there_is_room",
        async {
            let nodes = OnRedis::new().await;
            let load = nodes.load().await;
            load.reach(100).await;
            let client = nodes.client().await;
            let mut waiting: Vec<_> = (0..20).map(|_| task(&client)).collect();
            for task in &mut waiting {
                task.task.queue = QueueName::new("waiting").unwrap();
            }
            client.enqueue_many(waiting).await.unwrap();
            load.recorder.fault(DATABASE, Fault::Disk);
            nodes.db.ask("CONFIG SET maxmemory 1").unwrap();
            until("new tasks are refused", || async {
                let answers = client.queue().enqueue(vec![task(&client)]).await;
                match answers {
                    Err(error) => error.code() == Code::StorageFull,
                    Ok(answers) => matches!(&answers[0], Enqueued::Refused(refusal)
                        if refusal.code == Code::StorageFull),
                }
            })
            .await;
            // What has been taken in is leased and ended, and removed.
            drain(&nodes, "waiting", 20).await;
            nodes.db.ask("CONFIG SET maxmemory 0").unwrap();
            load.recorder.heal(DATABASE, Fault::Disk);
            load.reach(load.ids().len() + 50).await;
            nodes.finish("F7", load).await;
        },
    );
}

/// Leases, completes and deletes so many tasks.
async fn drain(nodes: &OnRedis, queue: &str, count: usize) {
    use haulier_core::{Changed, Outcome, Settled, Settlement};
    let client = nodes.client().await;
    let name = QueueName::new(queue).unwrap();
    let want = Want::new(WorkerId::new("drain-1").unwrap(), name, 100);
    let leases = client.queue().lease(vec![want], millis(0)).await.unwrap().remove(0);
    assert_eq!(leases.len(), count, "L5: a full Redis hands nothing out");
    let end = |key| Settlement { key, outcome: Outcome::Complete { result: None } };
    let ends = leases.iter().map(|lease| end(lease.key)).collect();
    let settled = client.queue().settle(ends).await.unwrap();
    assert!(settled.iter().all(|one| matches!(one, Settled::Applied { late: false, .. })));
    let ids = leases.iter().map(|lease| lease.key.task).collect();
    let gone = client.control().unwrap().delete(ids).await.unwrap();
    assert!(gone.iter().all(|one| matches!(one, Changed::Done(_))), "L5: {gone:?}");
}

/// How every call begins.
const CALL: &[u8] = b"EVALSHA\r\n";

#[test]
fn f15_a_link_cut_anywhere_in_a_call_or_its_answer_does_nothing_twice() {
    alone(
        module_path!(),
        "f15_a_link_cut_anywhere_in_a_call_or_its_answer_does_nothing_twice",
        async {
            let (nodes, proxy) = OnRedis::behind_a_proxy().await;
            let load = nodes.load().await;
            load.reach(60).await;
            let dice = Dice::new(seed());
            for _ in 0..times(500, 12) {
                // A call is one to two thousand bytes, most of them keys.
                let at = match dice.within(0, 2) {
                    0 => Break::Question(dice.within(0, 2_000)),
                    _ => Break::Answer(dice.within(0, 120)),
                };
                link::cut(&nodes, &load, &proxy, CALL, at).await;
            }
            nodes.finish("F15", load).await;
        },
    );
}

#[test]
fn f15_a_call_whose_answer_never_comes_is_not_waited_for_for_ever() {
    alone(
        module_path!(),
        "f15_a_call_whose_answer_never_comes_is_not_waited_for_for_ever",
        async {
            let (site, redis) = new::<RedisServer>().await;
            let proxy = super::Proxy::to(([127, 0, 0, 1], redis.port()).into()).await.unwrap();
            let url = format!("{}?timeout=1s", redis.url_at(proxy.address.port()));
            let nodes: OnRedis = Fleet::on(site, redis, &url, 3).await;
            let load = nodes.load().await;
            load.reach(60).await;
            for _ in 0..times(20, 2) {
                load.recorder.fault(DATABASE, Fault::Cut);
                link::spring(&proxy, CALL, Break::Silence).await;
                load.reach(load.ids().len() + 60).await;
                // Nobody cuts this connection: the server gives it up by itself.
                until("whoever is not answered gives up", || {
                    std::future::ready(proxy.silent() == 0)
                })
                .await;
                nodes.listen().await;
                load.recorder.heal(DATABASE, Fault::Cut);
            }
            nodes.finish("F15, silence", load).await;
        },
    );
}

#[test]
fn f21_leases_outlive_a_time_without_any_server() {
    alone(module_path!(), "f21_leases_outlive_a_time_without_any_server", async {
        let (site, _redis) = OnRedis::site().await;
        crate::servers::without_a_server(&site).await;
    });
}

#[test]
fn f23_a_redis_that_has_only_a_part_of_the_store_stops_the_start_with_78() {
    alone(
        module_path!(),
        "f23_a_redis_that_has_only_a_part_of_the_store_stops_the_start_with_78",
        async {
            let (site, redis) = OnRedis::site().await;
            let server = site.serve(&Setup::default()).await;
            let client = site.client().await;
            client.enqueue_many(vec![task(&client)]).await.unwrap();
            server.kill().await;
            for key in ["ready", "meta"] {
                assert_eq!(redis.ask(&format!("DEL {{haulier:0}}:{key}")).unwrap(), ":1\r\n");
                let ended = site.launch(&Setup::default()).ready().await;
                assert_eq!(ended, Some(Some(78)), "I1: {}", site.said());
                assert!(site.text().contains(&format!("{{haulier:0}}:{key}")), "{}", site.said());
            }
        },
    );
}

#[test]
fn f24_a_redis_that_somebody_empties_stops_the_servers_with_an_alarm() {
    alone(
        module_path!(),
        "f24_a_redis_that_somebody_empties_stops_the_servers_with_an_alarm",
        async { alarm("FLUSHALL").await },
    );
}

#[test]
fn f24_a_key_that_is_evicted_stops_the_servers_with_an_alarm() {
    alone(module_path!(), "f24_a_key_that_is_evicted_stops_the_servers_with_an_alarm", async {
        alarm("DEL {haulier:0}:key").await;
    });
}

/// Something is taken from under the servers.
async fn alarm(command: &str) {
    let (site, redis) = new::<RedisServer>().await;
    let url = format!("{}?recheck=200ms", redis.url());
    let mut nodes: OnRedis = Fleet::on(site, redis, &url, 3).await;
    let load = nodes.load().await;
    load.reach(100).await;
    nodes.db.ask(command).unwrap();
    for server in &mut nodes.servers {
        assert_eq!(server.ended().await, Some(65), "I16: {}", nodes.site.said());
    }
    println!("── F24: {}", nodes.site.said().lines().last().unwrap_or_default());
    drop(load);
}
