//! What happens to the servers, while the database stands.

use std::os::unix::process::ExitStatusExt as _;

use haulier_core::probe::FAILPOINTS_POSTGRES;
use haulier_sim::history::Fault;
use haulier_sim::nemesis::{Dice, schedule};
use rustix::process::Signal;

use super::{Backend, Fleet, Nodes, name};
use crate::kit::{alone, full, millis, rest, seed, times, until};
use crate::site::{PORT, Setup};

#[test]
fn f01_any_server_killed_again_and_again_under_load_loses_nothing() {
    alone(
        module_path!(),
        "f01_any_server_killed_again_and_again_under_load_loses_nothing",
        async {
            killed(Nodes::new().await).await;
        },
    );
}

/// Any server is killed, again and again.
pub async fn killed<D: Backend>(mut nodes: Fleet<D>) {
    let load = nodes.load().await;
    for kill in schedule(seed(), times(200, 6), &[0, 1, 2], (50, 500), (0, 300)) {
        rest(kill.after).await;
        nodes.strike(&load, kill.fault, kill.lasts).await;
    }
    nodes.finish("F1", load).await;
}

#[test]
fn f01_all_servers_killed_at_once_lose_nothing() {
    alone(module_path!(), "f01_all_servers_killed_at_once_lose_nothing", async {
        killed_at_once(Nodes::new().await).await;
    });
}

/// All servers are killed at once.
pub async fn killed_at_once<D: Backend>(mut nodes: Fleet<D>) {
    let load = nodes.load().await;
    for _ in 0..times(50, 2) {
        load.reach(load.ids().len() + 60).await;
        load.recorder.fault("servers", Fault::Crash);
        for server in &nodes.servers {
            server.signal(Signal::KILL);
        }
        for at in 0..nodes.servers.len() {
            nodes.revive(at).await;
        }
        nodes.listen().await;
        load.recorder.heal("servers", Fault::Crash);
    }
    nodes.finish("F1, all at once", load).await;
}

#[test]
fn f02_a_server_that_dies_stalls_or_errs_around_a_commit_loses_nothing() {
    alone(
        module_path!(),
        "f02_a_server_that_dies_stalls_or_errs_around_a_commit_loses_nothing",
        async {
            let mut nodes = Nodes::new().await;
            let load = nodes.load().await;
            let dice = Dice::new(seed());
            let actions = ["exit", "error", "pause:3"];
            let cases =
                FAILPOINTS_POSTGRES.iter().flat_map(|point| actions.map(|act| (point, act)));
            for (turn, (point, action)) in cases.cycle().take(times(200, 6)).enumerate() {
                let at = turn % nodes.servers.len();
                load.recorder.fault(&name(at), Fault::Crash);
                // At some commit, not at the first one.
                let case = format!("{point}={action}@{}", dice.within(10, 60));
                fail(&mut nodes, at, point, &case).await;
                nodes.servers[at].signal(Signal::KILL);
                nodes.revive(at).await;
                nodes.listen().await;
                load.recorder.heal(&name(at), Fault::Crash);
            }
            nodes.finish("F2", load).await;
        },
    );
}

/// A server that is led to a point, and dies there or goes on.
async fn fail(nodes: &mut Nodes, at: usize, point: &str, case: &str) {
    nodes.servers[at].signal(Signal::KILL);
    nodes.servers[at].ended().await;
    let said = format!("failpoint `{point}` was reached");
    let site = &nodes.site;
    let before = site.text().matches(&said).count();
    let setup = Setup::default().env("HAULIER_FAILPOINT", case);
    let mut server = site.launch_at(PORT + u16::try_from(at).unwrap(), &setup);
    until(case, || std::future::ready(site.text().matches(&said).count() > before)).await;
    if case.contains("=exit") {
        let signal = server.status().await.signal();
        assert_eq!(signal, Some(Signal::ABORT.as_raw()), "{case}: {}", site.said());
    } else {
        assert!(server.ready().await.is_none(), "{case}: it ended: {}", site.said());
    }
    nodes.servers[at] = server;
}

#[test]
fn f19_a_server_that_was_frozen_changes_nothing_when_it_goes_on() {
    alone(module_path!(), "f19_a_server_that_was_frozen_changes_nothing_when_it_goes_on", async {
        frozen(Nodes::new().await).await;
    });
}

/// One server stands still while the others go on.
pub async fn frozen<D: Backend>(nodes: Fleet<D>) {
    let load = nodes.load().await;
    load.reach(100).await;
    for at in [0, 1, 2].into_iter().take(times(3, 2)) {
        // Who hangs on a server that stands still stands still as well.
        let still = [name(at), format!("w{}", at + 1), "w0".to_owned()];
        for who in &still {
            load.recorder.fault(who, Fault::Pause);
        }
        nodes.servers[at].signal(Signal::STOP);
        rest(millis(if full() { 60_000 } else { 3_000 })).await;
        load.reach(load.ids().len() + 50).await;
        nodes.servers[at].signal(Signal::CONT);
        for who in &still {
            load.recorder.heal(who, Fault::Pause);
        }
    }
    load.reach(load.ids().len() + 50).await;
    nodes.finish("F19", load).await;
}

#[test]
fn f21_leases_outlive_a_time_without_any_server() {
    alone(module_path!(), "f21_leases_outlive_a_time_without_any_server", async {
        let (site, _db) = Nodes::site().await;
        crate::servers::without_a_server(&site).await;
    });
}
