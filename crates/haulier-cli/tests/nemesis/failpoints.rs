//! The server made to fail by itself, at points inside it that only builds for tests have.

use std::os::unix::process::ExitStatusExt as _;

use haulier::Client;
use haulier_core::probe::FAILPOINTS;
use haulier_core::{NewTask, Payload};
use haulier_sim::check::STORE;
use haulier_sim::history::Fault;
use haulier_sim::nemesis::Shape;
use rustix::process::Signal;

use crate::kit::{alone, full, until};
use crate::servers::{load, task};
use crate::site::{Running, Setup, Site};

/// A clean end writes hints; whoever cannot write one says so, and ends well.
const AT_THE_END: &str = "before hint";
const ACTIONS: [&str; 3] = ["exit", "error", "pause:1"];

#[test]
fn f02_a_server_that_dies_stalls_or_errs_at_any_failpoint_loses_nothing() {
    alone(
        module_path!(),
        "f02_a_server_that_dies_stalls_or_errs_at_any_failpoint_loses_nothing",
        async {
            let site = Site::new();
            let mut server = site.serve(&Setup::default()).await;
            let load = load(&site, Shape::default()).await;
            for (at, name) in FAILPOINTS.iter().enumerate() {
                for (which, action) in ACTIONS.into_iter().enumerate() {
                    // The short form takes each point once.
                    if !full() && at % ACTIONS.len() != which {
                        continue;
                    }
                    load.recorder.fault(STORE, Fault::Crash);
                    server.kill().await;
                    fail(&site, name, action).await;
                    server = site.serve(&Setup::default()).await;
                    load.recorder.heal(STORE, Fault::Crash);
                }
            }
            site.finish("F2", load, server).await;
        },
    );
}

/// A server that is led to this point, and ends as the action demands.
async fn fail(site: &Site, name: &str, action: &str) {
    let case = format!("{name}={action}");
    let before = reached(site, name);
    let mut server = site.launch(&Setup::default().env("HAULIER_FAILPOINT", &case));
    if server.ready().await.is_none() {
        let arrives = until(&case, || async { reached(site, name) > before });
        if name == AT_THE_END {
            // There is something to write a hint of only when a segment was filled.
            fill(&site.client().await, 70).await;
            server.signal(Signal::TERM);
            arrives.await;
        } else {
            tokio::select! {
                () = arrives => {}
                () = churn(site) => {}
            }
        }
    }
    assert!(reached(site, name) > before, "{case} was not reached: {}", site.said());
    ended(site, server, name, action).await;
}

/// How it has to end: the process dies; the store stops, with 74; or it goes on.
async fn ended(site: &Site, mut server: Running, name: &str, action: &str) {
    let goes_on = action.starts_with("pause") && name != AT_THE_END;
    if goes_on {
        until("it serves again", || async {
            let client = site.client().await;
            client.enqueue_many(vec![task(&client)]).await.is_ok()
        })
        .await;
        assert!(!server.is_gone(), "{name}={action}: it ended: {}", site.said());
        return server.kill().await;
    }
    let status = server.status().await;
    let how = (status.code(), status.signal());
    let expected = match (action, name) {
        ("exit", _) => (None, Some(Signal::ABORT.as_raw())),
        (_, AT_THE_END) => (Some(0), None),
        _ => (Some(74), None),
    };
    assert_eq!(how, expected, "I1: {name}={action}: {}", site.said());
}

/// How often a server has said that it was there.
fn reached(site: &Site, name: &str) -> usize {
    site.text().matches(&format!("failpoint `{name}` was reached")).count()
}

/// Fills the log and empties it, again and again: segments begin, are copied and freed.
async fn churn(site: &Site) {
    loop {
        // The server may be ending at this very moment.
        if let Ok(client) = Client::builder(site.url()).connections(1).open().await {
            fill(&client, 8).await;
        }
        tokio::task::yield_now().await;
    }
}

/// Hands over megabytes, and has them forgotten.
async fn fill(client: &Client, megabytes: usize) {
    let payload = Payload::new(vec![b'x'; 1_000_000], "text/plain");
    for _ in 0..megabytes.div_ceil(8) {
        let tasks: Vec<NewTask> = (0..8)
            .map(|_| {
                let mut task = task(client);
                task.task.payload = payload.clone();
                task
            })
            .collect();
        let ids = tasks.iter().map(|task| task.id).collect();
        // Whether it was told of it is not asked here; that is what the load is for.
        let _stored = client.enqueue_many(tasks).await.is_ok();
        let _gone = client.control().unwrap().delete(ids).await.is_ok();
    }
}
