//! What callers do to the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use haulier_core::{
    Code, Enqueued, Include, NewTask, OnConflict, Payload, QueueName, TaskId, Unique, Want,
    WorkerId, limits,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::disk::FaultDisk;
use crate::http;
use crate::kit::{alone, millis, rest, times, until};
use crate::servers::task;
use crate::site::{Running, Setup, Site};

/// What the server may hold whatever is done to it: its own, and what its limits allow.
const MEMORY_MAX: u64 = 400 << 20;

fn keyed(client: &haulier::Client, key: &str) -> NewTask {
    let mut unique = Unique::new(key);
    unique.on_conflict = OnConflict::Return;
    NewTask { unique: Some(unique), ..task(client) }
}

#[test]
fn f26_one_key_and_64_callers_make_one_task_although_the_winner_dies() {
    alone(
        module_path!(),
        "f26_one_key_and_64_callers_make_one_task_although_the_winner_dies",
        async {
            one_key(&Site::new()).await;
        },
    );
}

/// Everybody wants the same key, and a server is killed meanwhile.
pub async fn one_key(site: &Site) {
    let mut server = site.serve(&Setup::default()).await;
    for round in 0..times(50, 3) {
        let callers: Vec<_> = (0..64)
            .map(|_| {
                let (url, key) = (site.url(), format!("key-{round}"));
                tokio::spawn(async move { insist(&url, &key).await })
            })
            .collect();
        rest(millis(20 + 10 * round as u64 % 70)).await;
        server.kill().await;
        server = site.serve(&Setup::default()).await;
        let mut holders = Vec::new();
        for caller in callers {
            holders.push(caller.await.unwrap());
        }
        holders.dedup();
        assert_eq!(holders.len(), 1, "I4: {holders:?}");
    }
}

/// Hands its own task over until it is told which one holds the key.
async fn insist(url: &str, key: &str) -> TaskId {
    let client = loop {
        // The server may be down at this very moment.
        match haulier::Client::builder(url).connections(1).open().await {
            Ok(client) => break client,
            Err(_) => rest(millis(20)).await,
        }
    };
    let task = keyed(&client, key);
    loop {
        if let Ok(answers) = client.queue().enqueue(vec![task.clone()]).await
            && let Enqueued::Inserted { id, .. } | Enqueued::Existing { id, .. } = &answers[0]
        {
            return *id;
        }
        rest(millis(20)).await;
    }
}

/// The server answers, and holds no more than it may.
async fn serves(server: &Running, site: &Site) {
    let client = site.client().await;
    let enqueued = client.enqueue_many(vec![task(&client)]).await.unwrap();
    assert!(matches!(enqueued[0], Enqueued::Inserted { .. }), "L6: {enqueued:?}");
    let (memory, _) = server.holds();
    assert!(memory < MEMORY_MAX, "L5: {} MiB", memory >> 20);
}

#[test]
fn f27_readers_that_stop_reading_cost_neither_memory_nor_others_time() {
    alone(
        module_path!(),
        "f27_readers_that_stop_reading_cost_neither_memory_nor_others_time",
        async {
            readers(&Site::new()).await;
        },
    );
}

/// Readers ask, and read nothing.
pub async fn readers(site: &Site) {
    let server = site.serve(&Setup::default()).await;
    let client = site.client().await;
    let payload = Payload::new(vec![b'x'; 100_000], "text/plain");
    for _ in 0..20 {
        let tasks = (0..10).map(|_| {
            let mut task = task(&client);
            task.task.payload = payload.clone();
            task
        });
        client.enqueue_many(tasks.collect()).await.unwrap();
    }
    // Listings of megabytes, asked for again and again, never read.
    let mut readers = Vec::new();
    for _ in 0..times(200, 20) {
        let mut stream = http::dial().await.unwrap();
        let path = "/api/v1/tasks?limit=200&include=payload";
        let ask = http::request("GET", path, "").replace("Connection: close\r\n", "");
        stream.write_all(ask.repeat(50).as_bytes()).await.unwrap();
        readers.push(stream);
    }
    // A worker with many slots that takes nothing off its connection.
    let worker = site.start(&Setup::default(), ["work", "-c", "500", "--exec", "sleep 60"]);
    until("the worker holds something", || async {
        let queue = http::json("GET", "/api/v1/queues/default", &Value::Null).await;
        queue["tasks"]["running"].as_u64() > Some(0)
            || queue["counts"]["running"].as_u64() > Some(0)
            || queue["running"].as_u64() > Some(0)
    })
    .await;
    worker.signal(rustix::process::Signal::STOP);
    for _ in 0..20 {
        serves(&server, site).await;
    }
    drop(readers);
    println!("── F27: {} MiB", server.holds().0 >> 20);
}

#[test]
fn f28_a_flood_of_connections_names_and_resets_is_survived_within_bounds() {
    alone(
        module_path!(),
        "f28_a_flood_of_connections_names_and_resets_is_survived_within_bounds",
        async {
            let site = Site::new();
            let server = site.serve(&Setup::default()).await;
            let (_, before) = server.holds();
            let mut held = Vec::new();
            for number in 0..times(5_000, 300) {
                let Ok(mut stream) = http::dial().await else { continue };
                // Nonsense, half a request, a preface without end, nothing at all.
                let bytes: &[u8] = match number % 4 {
                    0 => &[0xff; 512],
                    1 => b"POST /api/v1/tasks HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99",
                    2 => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
                    _ => b"",
                };
                let _may_be_closed = stream.write_all(bytes).await.is_err();
                if number % 2 == 0 {
                    reset(&stream);
                } else {
                    held.push(stream);
                }
            }
            serves(&server, &site).await;
            let long = "q".repeat(limits::NAME_BYTES_MAX + 1);
            let new = json!({"kind": "work", "queue": long, "payload": 1}).to_string();
            let (status, said) = http::ask("POST", "/api/v1/tasks", &new).await.unwrap();
            assert_eq!(status, 422, "I10: {said}");
            let client = site.client().await;
            for number in 0..times(200, 5) {
                let tasks = (0..1_000).map(|each| {
                    let mut task = task(&client);
                    task.task.queue = QueueName::new(format!("q-{number}-{each}")).unwrap();
                    task
                });
                client.enqueue_many(tasks.collect()).await.unwrap();
            }
            serves(&server, &site).await;
            drop(held);
            until("the descriptors are given back", || {
                std::future::ready(server.holds().1 < before + 40)
            })
            .await;
        },
    );
}

/// Calls of a megabyte that a server has room for, at most.
pub const ROOM: usize = 110;
const FLOOD: &str = "f28_megabytes_for_a_disk_that_stands_still_are_refused_within_bounds";

#[test]
fn f28_megabytes_for_a_disk_that_stands_still_are_refused_within_bounds() {
    alone(module_path!(), FLOOD, async {
        let site = Site::new();
        let disk = FaultDisk::new(site.path(), &site.disk()).await;
        let server = site.serve(&Setup::default()).await;
        disk.stall(true);
        let calls = times(2_000, 500);
        let flood = Flood::of(calls);
        let mut most = 0;
        until("what finds no room is refused", || {
            most = most.max(server.holds().0);
            assert!(most < MEMORY_MAX, "L5: {} MiB", most >> 20);
            std::future::ready(flood.refused() >= calls - ROOM)
        })
        .await;
        let refused = flood.refused();
        disk.stall(false);
        flood.end().await;
        until("it serves again", || async {
            let client = site.client().await;
            client.enqueue_many(vec![task(&client)]).await.is_ok()
        })
        .await;
        println!("── F28: {} MiB at most, {refused} calls of a megabyte refused", most >> 20);
        drop((server, disk));
    });
}

#[test]
fn f28_a_server_that_takes_in_whatever_comes_is_caught() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([&format!("callers::{FLOOD}"), "--exact", "--nocapture"])
        .env("HAULIER_PLANT", "endless-inbox")
        .env_remove("HAULIER_CAMPAIGN")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(said.contains("running 1 test"), "there is no test {FLOOD}: {said}");
    assert!(!output.status.success(), "endless-inbox is not caught");
    assert!(said.contains("L5: "), "endless-inbox is not called L5: {said}");
}

/// Closes a connection so that the other side gets a reset.
fn reset(stream: &TcpStream) {
    stream.set_zero_linger().unwrap();
}

#[test]
fn f29_a_payload_of_the_limit_comes_back_whole_and_one_byte_more_never_runs() {
    alone(
        module_path!(),
        "f29_a_payload_of_the_limit_comes_back_whole_and_one_byte_more_never_runs",
        async {
            payloads(&Site::new()).await;
        },
    );
}

/// Payloads too large, or hostile.
pub async fn payloads(site: &Site) {
    let server = site.serve(&Setup::default()).await;
    let client = site.client().await;
    let sized = |bytes: usize| {
        let mut task = task(&client);
        task.task.payload = Payload::new(vec![0xf7; bytes], "application/octet-stream");
        task
    };
    let (fits, over) =
        (sized(limits::PAYLOAD_BYTES_DEFAULT), sized(limits::PAYLOAD_BYTES_DEFAULT + 1));
    let refused = client.queue().enqueue(vec![over.clone(), fits.clone()]).await.unwrap();
    let code = |answer: &Enqueued| match answer {
        Enqueued::Refused(refusal) => Some(refusal.code),
        _ => None,
    };
    let codes: Vec<_> = refused.iter().map(code).collect();
    assert_eq!(codes, [Some(Code::TooLarge), None], "I10, I13");
    let name = QueueName::new("default").unwrap();
    let want = Want::new(WorkerId::new("w-1").unwrap(), name, 10);
    let leases = client.queue().lease(vec![want], millis(0)).await.unwrap().remove(0);
    assert_eq!(leases.len(), 1, "I10: {leases:?}");
    assert!(leases[0].task.payload == fits.task.payload, "I9");
    let deep = "[".repeat(200_000);
    let hostile = [
        format!("{{\"kind\": \"work\", \"payload\": {deep}"),
        format!("{{\"kind\": \"work\", \"payload\": {}{}}}", deep, "]".repeat(200_000)),
        "{\"kind\": \"wo\\u0000rk\", \"payload\": 1}".to_owned(),
        "{\"kind\": \"work\", \"payload\": 1, \"payload\": 2}".to_owned(),
        format!("{{\"kind\": \"work\", \"payload\": \"{}\"}}", "x".repeat(9 << 20)),
        "\u{feff}null".to_owned(),
    ];
    for body in hostile {
        let shown: String = body.chars().take(60).collect();
        match http::ask("POST", "/api/v1/tasks", &body).await {
            // Deeply nested is still JSON, and goes through as it is.
            Ok((status, said)) => {
                assert!((400..500).contains(&status) || status == 201, "{shown}: {status} {said}");
            }
            Err(error) => println!("{shown}: {error}"),
        }
    }
    serves(&server, site).await;
}

#[test]
fn f33_a_server_without_descriptors_serves_again_when_there_are_some() {
    alone(
        module_path!(),
        "f33_a_server_without_descriptors_serves_again_when_there_are_some",
        async {
            descriptors(&Site::new()).await;
        },
    );
}

/// Connections take all descriptors that a server has.
pub async fn descriptors(site: &Site) {
    let few = Setup::under(["sh", "-c", "ulimit -n 64 && exec \"$@\"", "sh"]);
    let server = site.serve(&few).await;
    let client = site.client().await;
    let mut accepted = Vec::new();
    let mut held = Vec::new();
    for _ in 0..200 {
        held.push(http::dial().await.unwrap());
    }
    // Those who are connected are served all the while.
    for _ in 0..50 {
        let new = task(&client);
        accepted.push(new.id);
        client.enqueue_many(vec![new]).await.unwrap();
    }
    drop(held);
    until("new ones are served again", || async {
        matches!(http::ask("GET", "/readyz", "").await, Ok((200, _)))
    })
    .await;
    server.kill().await;
    let _server = site.serve(&Setup::default()).await;
    let client = site.client().await;
    let inspect = client.inspect().unwrap();
    let found = inspect.get(accepted, Include::default(), millis(0)).await.unwrap();
    assert!(found.iter().all(Option::is_some), "I1, I14");
}

/// Calls that each hand a megabyte over, each on a connection of its own: none waits for another.
pub struct Flood {
    calls: Vec<tokio::task::JoinHandle<()>>,
    refused: Arc<AtomicUsize>,
}

impl Flood {
    pub fn of(calls: usize) -> Self {
        let refused = Arc::<AtomicUsize>::default();
        let body = json!({"kind": "work", "payload": "x".repeat(1_000_000)}).to_string();
        let request: Arc<str> = http::request("POST", "/api/v1/tasks", &body).into();
        let calls = (0..calls).map(|_| {
            let (refused, request) = (Arc::clone(&refused), Arc::clone(&request));
            tokio::spawn(async move {
                let Ok(mut stream) = http::dial().await else { return };
                // A server that refuses early does not read all of it.
                let _answered = stream.write_all(request.as_bytes()).await.is_err();
                let mut answer = [0; 12];
                let answered = stream.read_exact(&mut answer).await.is_ok();
                if answered && answer.ends_with(b"429") {
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        Self { calls: calls.collect(), refused }
    }

    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// Waits until every call is answered.
    pub async fn end(self) {
        for call in self.calls {
            call.await.unwrap();
        }
    }
}
