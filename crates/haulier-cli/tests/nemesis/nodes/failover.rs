//! Another database than before: a standby that missed the last writes, yesterday's backup, one
//! without tables, one that somebody has emptied. What is lost is lost; no fence is ever repeated,
//! and it is said loudly.

use haulier_sim::history::Fault;
use haulier_sim::nemesis::{Load, PgServer, Proxy};
use rustix::process::Signal;

use super::{Backend, DATABASE, Fleet, Nodes, database};
use crate::kit::{alone, times, until};
use crate::site::Setup;

#[test]
fn f18_a_promoted_standby_that_missed_writes_repeats_no_epoch() {
    alone(module_path!(), "f18_a_promoted_standby_that_missed_writes_repeats_no_epoch", async {
        for turn in 0..times(10, 1) {
            let (mut nodes, proxy) = Nodes::behind_a_proxy().await;
            let standby = nodes.site.path().join("standby");
            let standby = nodes.db.standby(&standby).await.unwrap();
            let load = nodes.load().await;
            load.reach(100 + 20 * turn).await;
            // From here on it hears of nothing any more.
            standby.sql("alter system set primary_conninfo = ''").unwrap();
            standby.sql("select pg_reload_conf()").unwrap();
            load.reach(load.ids().len() + 150).await;
            load.recorder.fault(DATABASE, Fault::Crash);
            nodes.db.kill();
            standby.promote().unwrap();
            // The servers go on: to them it is a connection that broke.
            take_over(&mut nodes, standby, &proxy);
            nodes.listen().await;
            load.recorder.heal(DATABASE, Fault::Crash);
            lossy_end("F18", nodes, load).await;
        }
    });
}

#[test]
fn f31_a_backup_of_yesterday_repeats_no_epoch() {
    alone(module_path!(), "f31_a_backup_of_yesterday_repeats_no_epoch", async {
        let (mut nodes, proxy) = Nodes::behind_a_proxy().await;
        let load = nodes.load().await;
        load.reach(100).await;
        let mut backup = nodes.db.backup(&nodes.site.path().join("backup")).unwrap();
        load.reach(load.ids().len() + 150).await;
        load.recorder.fault(DATABASE, Fault::Crash);
        nodes.db.kill();
        for server in &nodes.servers {
            server.signal(Signal::KILL);
        }
        // As its manual says: recovery to the end of what the backup has, on a timeline of its own.
        std::fs::write(backup.data().join("recovery.signal"), "").unwrap();
        backup.configure("restore_command = 'false'").unwrap();
        backup.start().await.unwrap();
        until("the backup is recovered", || {
            std::future::ready(backup.sql("select pg_is_in_recovery()").is_ok_and(|is| is == "f"))
        })
        .await;
        take_over(&mut nodes, backup, &proxy);
        for at in 0..nodes.servers.len() {
            nodes.revive(at).await;
        }
        load.recorder.heal(DATABASE, Fault::Crash);
        lossy_end("F31", nodes, load).await;
    });
}

/// The servers' connections lead to another database from now on.
pub fn take_over<D: Backend>(nodes: &mut Fleet<D>, other: D, proxy: &Proxy) {
    proxy.lead_to(([127, 0, 0, 1], other.port()).into());
    proxy.cut();
    nodes.db = other;
}

/// Everything that is left ends; what is gone is counted; the rest keeps its promises.
pub async fn lossy_end<D: Backend>(name: &str, nodes: Fleet<D>, mut load: Load) {
    load.reach(load.ids().len() + 50).await;
    let seen = nodes.drained(&mut load).await;
    let gone = seen.iter().filter(|seen| seen.state.is_none()).count();
    assert!(gone > 0, "nothing was lost: the test shows nothing");
    let said = nodes.site.text();
    assert!(said.contains(D::SAYS_LOSS), "I16: nobody says that writes may be lost: {said}");
    load.dismiss().await.unwrap();
    let totals = load.verdict_after_a_loss().unwrap_or_else(|why| panic!("{why}"));
    println!("── {name} on {}: {totals}, {gone} lost", D::NAME);
}

#[test]
fn f23_a_database_without_tables_stops_the_start_with_78_and_says_what_is_next() {
    alone(
        module_path!(),
        "f23_a_database_without_tables_stops_the_start_with_78_and_says_what_is_next",
        async {
            let (site, db) = database::<PgServer>().await;
            let url = db.url();
            let site = site.on(url, vec![crate::site::PORT]);
            let ended = site.launch(&Setup::default()).ready().await;
            assert_eq!(ended, Some(Some(78)), "I1: {}", site.said());
            assert!(site.text().contains("haulier migrate up"), "{}", site.said());
        },
    );
}

#[test]
fn f24_tables_that_somebody_empties_stop_the_servers_with_an_alarm() {
    alone(
        module_path!(),
        "f24_tables_that_somebody_empties_stop_the_servers_with_an_alarm",
        async {
            let (site, db) = database::<PgServer>().await;
            let url = format!("{}?recheck=200ms", db.url());
            let mut nodes = Nodes::on(site, db, &url, 3).await;
            let load = nodes.load().await;
            load.reach(100).await;
            // Where it and a server stand in each other's way, the server gives way, and tries again.
            let empty = "set deadlock_timeout = '1min'; truncate haulier.task, haulier.lease";
            nodes.db.sql(empty).unwrap();
            for server in &mut nodes.servers {
                assert_eq!(server.ended().await, Some(65), "I16: {}", nodes.site.said());
            }
            println!("── F24: {}", nodes.site.said().lines().last().unwrap_or_default());
            drop(load);
        },
    );
}
