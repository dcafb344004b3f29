//! What happens to the server's process.

use std::time::Duration;

use haulier_core::{
    Beat, Held, LeaseBeat, Outcome, QueueName, Settled, Settlement, Want, WorkerId,
};
use haulier_sim::check::STORE;
use haulier_sim::history::Fault;
use haulier_sim::nemesis::{Load, Shape, schedule};
use rustix::process::Signal;

use crate::kit::{alone, full, millis, rest, seed, times};
use crate::site::{Running, Setup, Site};

/// Two producers and two workers, each with a connection of its own.
pub async fn load(site: &Site, shape: Shape) -> Load {
    let mut load = Load::new(seed(), shape);
    for number in 1..=2 {
        load.produce(&format!("p{number}"), &site.client().await);
        load.work(&format!("w{number}"), &site.client().await, 4, Duration::from_secs(5));
    }
    load
}

#[test]
fn f01_a_server_killed_again_and_again_under_load_loses_nothing() {
    alone(module_path!(), "f01_a_server_killed_again_and_again_under_load_loses_nothing", async {
        let site = Site::new();
        let mut server = site.serve(&Setup::default()).await;
        let load = load(&site, Shape::default()).await;
        for kill in schedule(seed(), times(200, 6), &[()], (50, 500), (0, 40)) {
            rest(kill.after).await;
            server = site.crash(&load, server, kill.lasts).await;
        }
        site.finish("F1", load, server).await;
    });
}

#[test]
fn f19_a_second_server_is_refused_while_the_first_is_frozen() {
    alone(module_path!(), "f19_a_second_server_is_refused_while_the_first_is_frozen", async {
        let site = Site::new();
        let server = site.serve(&Setup::default()).await;
        let load = load(&site, Shape::default()).await;
        load.reach(100).await;
        load.recorder.fault(STORE, Fault::Pause);
        server.signal(Signal::STOP);
        let data = site.data.to_str().unwrap();
        let (code, said) = site.run(&["serve", "--data", data, "--listen", "127.0.0.1:0"]).await;
        assert_eq!(code, Some(78), "I2: {said}");
        rest(millis(if full() { 60_000 } else { 1_500 })).await;
        server.signal(Signal::CONT);
        load.recorder.heal(STORE, Fault::Pause);
        load.reach(load.ids().len() + 100).await;
        site.finish("F19", load, server).await;
    });
}

#[test]
fn f21_leases_outlive_a_time_without_a_server() {
    alone(module_path!(), "f21_leases_outlive_a_time_without_a_server", async {
        without_a_server(&Site::new()).await;
    });
}

/// Leases are out, and for a while there is no server at all.
pub async fn without_a_server(site: &Site) {
    let server = site.serve(&Setup::default()).await;
    let count = times(10_000, 300);
    let client = site.client().await;
    let queue = client.queue();
    let tasks: Vec<_> = (0..count).map(|_| task(&client)).collect();
    for tasks in tasks.chunks(1_000) {
        client.enqueue_many(tasks.to_vec()).await.unwrap();
    }
    let worker = WorkerId::new("w-1").unwrap();
    // Until the last one is granted, the first one must last.
    let ttl = Duration::from_secs(if full() { 60 } else { 5 });
    let mut keys = Vec::new();
    while keys.len() < count {
        let name = QueueName::new("default").unwrap();
        let want = Want { ttl, ..Want::new(worker.clone(), name, 1_000) };
        let leases = queue.lease(vec![want], Duration::ZERO).await.unwrap();
        keys.extend(leases.into_iter().flatten().map(|lease| lease.key));
    }
    let server = away(site, server, if full() { 120_000 } else { 6_000 }).await;
    for keys in keys.chunks(1_000) {
        let leases = keys.iter().map(|key| LeaseBeat::renew(*key)).collect();
        let beat = Beat { worker: worker.clone(), about: None, ttl, leases };
        let held = queue.beat(vec![beat]).await.unwrap().remove(0).held;
        assert!(held.iter().all(|held| *held == Held::Yes), "I11: a lease is gone: {held:?}");
        let ends = keys
            .iter()
            .map(|key| Settlement { key: *key, outcome: Outcome::Complete { result: None } });
        let settled = queue.settle(ends.collect()).await.unwrap();
        let on_time = |s: &Settled| matches!(s, Settled::Applied { late: false, .. });
        assert!(settled.iter().all(on_time), "I6: a lease was lost: {settled:?}");
    }
    println!("── F21: {count} leases went on");
    drop(server);
}

async fn away(site: &Site, server: Running, for_ms: u64) -> Running {
    server.kill().await;
    rest(millis(for_ms)).await;
    site.serve(&Setup::default()).await
}

/// A task of the default queue.
pub fn task(client: &haulier::Client) -> haulier_core::NewTask {
    let kind = haulier_core::Kind::new("work").unwrap();
    haulier_core::NewTask::new(client.new_id(), kind, haulier_core::Payload::json("1"))
}
