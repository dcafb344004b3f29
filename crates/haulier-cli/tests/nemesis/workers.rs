//! What happens to workers: real processes with programs as handlers.

use std::path::PathBuf;
use std::time::Duration;

use haulier_sim::nemesis::{Load, Shape};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::http;
use crate::kit::{alone, full, millis, rest, seed, times, until};
use crate::site::{Running, Setup, Site};

/// A worker that runs a shell line for each task.
fn work(site: &Site, setup: &Setup, ttl: &str, line: &str) -> Running {
    site.start(setup, ["work", "--exec", line, "--ttl", ttl])
}

async fn enqueue(site: &Site, more: &[&str]) -> String {
    let args = [&["enqueue", "work", "1", "-o", "name"], more].concat();
    let (code, said) = site.run(&args).await;
    assert_eq!(code, Some(0), "{said}");
    said.trim().to_owned()
}

async fn task(id: &str) -> Value {
    http::json("GET", &format!("/api/v1/tasks/{id}"), &Value::Null).await
}

async fn becomes(id: &str, state: &str) -> Value {
    until(&format!("{id} becomes {state}"), || async { task(id).await["state"] == state }).await;
    task(id).await
}

#[test]
fn f09_the_tasks_of_a_killed_worker_go_to_another_long_before_their_ttl() {
    alone(
        module_path!(),
        "f09_the_tasks_of_a_killed_worker_go_to_another_long_before_their_ttl",
        async {
            killed(&Site::new()).await;
        },
    );
}

/// A worker is killed, again and again.
pub async fn killed(site: &Site) {
    let _server = site.serve(&Setup::default()).await;
    for _ in 0..times(20, 2) {
        // An hour: it is the end of the connection that tells, or nothing does in time.
        let first = work(site, &Setup::default(), "1h", "sleep 3600");
        let id = enqueue(site, &[]).await;
        becomes(&id, "running").await;
        first.kill().await;
        let second = work(site, &Setup::default(), "1h", "true");
        let task = becomes(&id, "completed").await;
        assert_eq!(task["losses"], 1, "I6: {task}");
        second.kill().await;
    }
}

#[test]
fn f09_the_tasks_of_a_vanished_http_worker_are_offered_again_after_their_ttl() {
    alone(
        module_path!(),
        "f09_the_tasks_of_a_vanished_http_worker_are_offered_again_after_their_ttl",
        async {
            vanished(&Site::new()).await;
        },
    );
}

/// A worker without a stream is heard of no more.
pub async fn vanished(site: &Site) {
    let _server = site.serve(&Setup::default()).await;
    let id = enqueue(site, &[]).await;
    let want = |worker: &str| json!({"worker": worker, "ttl": "1s", "wait": "20s"});
    let first = http::json("POST", "/api/v1/leases", &want("gone-1")).await;
    assert_eq!(first["leases"][0]["task"], *id);
    // The wait is over as soon as the lease has run out.
    let second = http::json("POST", "/api/v1/leases", &want("other-1")).await;
    let lease = &second["leases"][0];
    assert_eq!((&lease["task"], &lease["losses"]), (&json!(id), &json!(1)), "L2: {second}");
    let epoch = |lease: &Value| lease["epoch"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(epoch(lease) > epoch(&first["leases"][0]), "I2");
    let late = json!({"worker": "gone-1", "settlements": [
            {"task": id, "epoch": first["leases"][0]["epoch"], "outcome": "complete"}]});
    let answer = http::json("POST", "/api/v1/settlements", &late).await;
    assert_eq!(answer["answers"][0]["answer"], "stale", "I3: {answer}");
}

/// A group of processes that can be frozen, or kept from memory (cgroup v1); gone when dropped.
struct Group(PathBuf);

impl Group {
    fn new(kind: &str) -> Self {
        let dir = PathBuf::from(format!("/sys/fs/cgroup/{kind}/haulier-{}", unique()));
        std::fs::create_dir(&dir).unwrap_or_else(|error| {
            panic!("{}: {error}; the tests need the cgroup v1 hierarchy `{kind}`", dir.display())
        });
        Self(dir)
    }

    fn set(&self, file: &str, value: &str) {
        std::fs::write(self.0.join(file), value).unwrap();
    }

    /// Whoever is started like this is in the group from its first instruction on.
    fn setup(&self) -> Setup {
        let join = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.0.display());
        Setup::under(["sh", "-c", &join, "sh"])
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.0.starts_with("/sys/fs/cgroup/freezer") {
            self.set("freezer.state", "THAWED");
        }
        let members = std::fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        for member in members.lines() {
            crate::kit::output("kill", &["-9", member]);
        }
        // The last member is gone when it was waited for; a few tries are enough.
        let _left = (0..1_000).all(|_| std::fs::remove_dir(&self.0).is_err());
    }
}

/// A name that no other test has: process ids are the namespace's own.
fn unique() -> String {
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap();
    namespace.to_str().unwrap().chars().filter(char::is_ascii_digit).collect()
}

#[test]
fn f10_a_worker_that_was_frozen_changes_nothing_when_it_wakes() {
    alone(module_path!(), "f10_a_worker_that_was_frozen_changes_nothing_when_it_wakes", async {
        frozen(&Site::new()).await;
    });
}

/// A worker stands still for three times its ttl.
pub async fn frozen(site: &Site) {
    let _server = site.serve(&Setup::default()).await;
    let ledger = site.path().join("ledger");
    std::fs::write(&ledger, "").unwrap();
    let write = |word: &str| {
        format!("echo {word} $HAULIER_EPOCH >> {}; echo '\"{word}\"'", ledger.display())
    };
    for _ in 0..times(10, 1) {
        std::fs::write(&ledger, "").unwrap();
        let group = Group::new("freezer");
        let began = site.path().join("began");
        let line = format!("touch {}; sleep 1; {}", began.display(), write("old"));
        let old = work(site, &group.setup(), "1s", &line);
        let id = enqueue(site, &[]).await;
        until("the handler runs", || std::future::ready(began.exists())).await;
        group.set("freezer.state", "FROZEN");
        rest(millis(3_000)).await;
        let new = work(site, &Setup::default(), "1s", &write("new"));
        let task = becomes(&id, "completed").await;
        assert!(task["losses"] == 1 && task["attempt"] == 1, "I6: {task}");
        group.set("freezer.state", "THAWED");
        // It finds out, goes on, and takes the next task: it did not end of it.
        new.kill().await;
        let next = enqueue(site, &[]).await;
        becomes(&next, "completed").await;
        let after = http::json("GET", &format!("/api/v1/tasks/{id}"), &Value::Null).await;
        assert_eq!(after["epoch"], task["epoch"], "I3, I7: {after}");
        assert_eq!(after["state"], "completed", "I7: {after}");
        fenced(&ledger, task["epoch"].as_str().unwrap());
        old.kill().await;
        std::fs::remove_file(&began).unwrap();
    }
}

/// The register of a handler that keeps to the fence: what wrote last was the newest delivery.
fn fenced(ledger: &std::path::Path, newest: &str) {
    let text = std::fs::read_to_string(ledger).unwrap();
    let mut largest = 0;
    for line in text.lines().filter(|line| line.starts_with("new")) {
        let epoch: u64 = line.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(epoch > largest, "I2: {text}");
        largest = epoch;
    }
    assert!(largest.to_string() == newest, "I2: {text} against {newest}");
}

#[test]
fn f11_a_task_that_kills_its_worker_each_time_is_dead_after_five_and_blocks_nobody() {
    alone(
        module_path!(),
        "f11_a_task_that_kills_its_worker_each_time_is_dead_after_five_and_blocks_nobody",
        async {
            poisoned(&Site::new()).await;
        },
    );
}

/// A task kills whoever runs it.
pub async fn poisoned(site: &Site) {
    let _server = site.serve(&Setup::default()).await;
    let poison = enqueue(site, &["--priority", "9"]).await;
    let good = enqueue(site, &[]).await;
    let line = format!("[ $HAULIER_TASK_ID != {poison} ] || kill -9 $PPID");
    let mut workers = 0;
    while task(&poison).await["state"] != "dead" {
        workers += 1;
        assert!(workers <= 8, "I6: {}", task(&poison).await);
        let mut worker = work(site, &Setup::default(), "1s", &line);
        let id = poison.as_str();
        until("the worker is dead, or the task is", || {
            let gone = worker.is_gone();
            async move { gone || task(id).await["state"] == "dead" }
        })
        .await;
        worker.kill().await;
    }
    let dead = task(&poison).await;
    assert_eq!((&dead["reason"], &dead["losses"]), (&json!("lost"), &json!(5)), "I6: {dead}");
    let _worker = work(site, &Setup::default(), "1s", &line);
    becomes(&good, "completed").await;
}

#[test]
fn f11_a_worker_that_runs_out_of_memory_is_a_lost_worker() {
    alone(module_path!(), "f11_a_worker_that_runs_out_of_memory_is_a_lost_worker", async {
        let site = Site::new();
        let _server = site.serve(&Setup::default()).await;
        let group = Group::new("memory");
        group.set("memory.limit_in_bytes", "64M");
        // The program's memory counts for its worker's group; what is killed, the kernel chooses.
        let line = "exec python3 -c 'x = bytearray(400 << 20)' || exit 1";
        let perl = "exec perl -e '$x = \"x\" x (400 << 20); print length $x'";
        let line = if crate::kit::output("sh", &["-c", "command -v perl"]).status.success() {
            perl
        } else {
            line
        };
        let _worker = work(&site, &group.setup(), "1s", line);
        let id = enqueue(&site, &["--max-attempts", "1"]).await;
        until("it is given up or lost", || async {
            let task = task(&id).await;
            task["state"] == "dead" || task["losses"].as_u64() > Some(0)
        })
        .await;
        let healthy = enqueue(&site, &["--queue", "other"]).await;
        let _other = site.start(&Setup::default(), ["work", "-q", "other", "--exec", "true"]);
        becomes(&healthy, "completed").await;
    });
}

#[test]
fn f34_handlers_that_all_fail_wait_longer_and_longer_and_slow_nobody() {
    alone(
        module_path!(),
        "f34_handlers_that_all_fail_wait_longer_and_longer_and_slow_nobody",
        async {
            failing(&Site::new()).await;
        },
    );
}

/// Every handler fails.
pub async fn failing(site: &Site) {
    let server = site.serve(&Setup::default()).await;
    let shape = Shape { trouble: 100, batches: times(4_000, 60) as u64, ..Shape::default() };
    let mut load = Load::new(seed(), shape);
    load.produce("p1", &site.client().await);
    for number in 1..=2 {
        load.work(&format!("w{number}"), &site.client().await, 16, Duration::from_secs(5));
    }
    let other = site.start(&Setup::default(), ["work", "-q", "other", "--exec", "true"]);
    load.reach(100).await;
    for _ in 0..times(600, 5) {
        let id = enqueue(site, &["--queue", "other"]).await;
        becomes(&id, "completed").await;
        rest(millis(if full() { 1_000 } else { 50 })).await;
    }
    load.trouble(0);
    site.finish("F34", load, server).await;
    other.signal(Signal::KILL);
}
