//! Who waits at one server hears of what is handed over at another: by a notification; by looking
//! now and then, where none can come.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use haulier::Client;
use haulier_core::{Clock as _, QueueName, SystemClock, Want, WorkerId};

use haulier_sim::nemesis::PgServer;

use super::{Nodes, database};
use crate::kit::{alone, connect, millis, times, until};
use crate::servers::task;
use crate::site::{PORT, Site};

/// Servers look by themselves so rarely that only a notification can be in time.
const NEVER_LOOK: &str = "poll=1h";

#[test]
fn a_task_that_is_handed_over_at_one_server_wakes_a_worker_at_another_by_notification() {
    alone(
        module_path!(),
        "a_task_that_is_handed_over_at_one_server_wakes_a_worker_at_another_by_notification",
        async {
            let (site, db) = database::<PgServer>().await;
            let url = format!("{}?{NEVER_LOOK}", db.url());
            let nodes = Nodes::on(site, db, &url, 3).await;
            let mut gaps = wakes(&nodes, times(200, 8)).await;
            gaps.sort_unstable();
            let (half, most) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
            println!("── woken across servers: {half:?} at the median, {most:?} at most");
        },
    );
}

#[test]
fn without_notifications_a_worker_at_another_server_finds_a_task_by_looking() {
    alone(
        module_path!(),
        "without_notifications_a_worker_at_another_server_finds_a_task_by_looking",
        async {
            let (site, db) = database::<PgServer>().await;
            let url = format!("{}?notify=off", db.url());
            let nodes = Nodes::on(site, db, &url, 3).await;
            let mut gaps = wakes(&nodes, times(200, 8)).await;
            gaps.sort_unstable();
            println!("── found by looking: {:?} at the median", gaps[gaps.len() / 2]);
        },
    );
}

/// How long it took each time from handing over at one server to the lease at another.
async fn wakes(nodes: &Nodes, count: usize) -> Vec<Duration> {
    let clock = SystemClock::new();
    let mut gaps = Vec::new();
    for turn in 0..count {
        let here = connect(&nodes.site.url()).await;
        let there = connect(&nodes.site.url()).await;
        let name = format!("worker-{turn}");
        let waiting = tokio::spawn(wait_for_one(there, name.clone()));
        // Once the server lists it, its want has arrived.
        let inspect = here.inspect().unwrap();
        until("the worker waits", || async {
            let workers = inspect.workers().await.unwrap();
            workers.iter().any(|worker| worker.worker.as_str() == name)
        })
        .await;
        let before = clock.monotonic();
        here.enqueue_many(vec![task(&here)]).await.unwrap();
        assert_eq!(waiting.await.unwrap(), 1, "L1: it waited, and was not woken");
        gaps.push(clock.monotonic().saturating_sub(before));
    }
    gaps
}

async fn wait_for_one(client: Client, name: String) -> usize {
    let queue = QueueName::new("default").unwrap();
    let want = Want::new(WorkerId::new(name).unwrap(), queue, 1);
    let leases = client.queue().lease(vec![want], Duration::from_secs(25)).await.unwrap();
    leases.iter().map(Vec::len).sum()
}

/// A pooler that gives each transaction whatever connection is free: no session lasts.
struct Pooler {
    child: Child,
    port: u16,
}

impl Pooler {
    async fn before(site: &Site, port: u16) -> Self {
        let at = site.path().join("pooler.ini");
        let own = PORT + 100;
        let text = format!(
            "[databases]\npostgres = host=127.0.0.1 port={port} user=postgres\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {own}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = 6\nmax_client_conn = 300\n\
             ignore_startup_parameters = extra_float_digits\nserver_login_retry = 0\n"
        );
        std::fs::write(&at, text).unwrap();
        let words = ["--reuid=postgres", "--regid=postgres", "--clear-groups", "pgbouncer", "-q"];
        let mut command = Command::new("setpriv");
        command.args(words).arg(&at).stdin(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        until("the pooler listens", || async {
            tokio::net::TcpStream::connect(("127.0.0.1", own)).await.is_ok()
        })
        .await;
        Self { child, port: own }
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _gone = self.child.kill().is_err() || self.child.wait().is_err();
    }
}

#[test]
fn a_pooler_that_changes_the_connection_with_each_transaction_changes_nothing_else() {
    alone(
        module_path!(),
        "a_pooler_that_changes_the_connection_with_each_transaction_changes_nothing_else",
        async {
            let (site, db) = database::<PgServer>().await;
            let pooler = Pooler::before(&site, db.port()).await;
            let url = format!("{}?notify=off&prepare=off", db.url_at(pooler.port));
            let mut nodes = Nodes::on(site, db, &url, 3).await;
            let load = nodes.load().await;
            load.reach(times(20_000, 300)).await;
            nodes.strike(&load, 1, millis(100)).await;
            load.reach(load.ids().len() + 100).await;
            nodes.finish("a pooler", load).await;
            drop(pooler);
        },
    );
}
