//! Whether more servers do more: one, two, … servers on one database, each with producers and
//! workers of its own that wait for one answer at a time. The rate is what the database counts;
//! beside it stands how busy the machine was, and which part of that was the database: where that
//! grows no more, it is the limit.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::server::Server;
use crate::bench::{patiently, pause, run};

/// How long each number of servers is measured, after a while in which it warms up.
const SECONDS: u32 = 10;
const WARM_SECONDS: u32 = 3;
/// What `/proc` counts time in.
const TICKS_A_SECOND: f64 = 100.0;
/// Kept small, so that a server with its clients is not busy all the time by itself.
const CLIENTS: [&str; 4] = ["--callers", "4", "--batch", "10"];
const ENQUEUED: &str = "SELECT coalesce(sum(n_tup_ins), 0) FROM pg_stat_user_tables \
                        WHERE relname = 'task'";

/// Measures one server, two, and so on, and prints a table.
pub fn measure(server: &Server, haulier: &Path, most: u32) -> Result<(), String> {
    let mut table = String::from(
        "| servers | lifecycles/s | processors busy | of it the database |\n|---|---|---|---|\n",
    );
    for count in 1..=most {
        let (rate, busy, database) = round(server, haulier, count)?;
        let row = format!("| {count} | {rate:.0} | {busy:.2} | {:.0} % |\n", 100.0 * database);
        print!("{row}");
        table.push_str(&row);
    }
    println!("\n{table}");
    Ok(())
}

/// Tasks a second, processors busy, and the database's part of that.
fn round(server: &Server, haulier: &Path, count: u32) -> Result<(f64, f64, f64), String> {
    server.renew("nodes")?;
    let url = server.url("nodes");
    run(Command::new(haulier).args(["migrate", "up", "--store", &url]))?;
    let nodes: Vec<Node> =
        (0..count).map(|_| Node::start(haulier, &url)).collect::<Result<_, _>>()?;
    let clients = nodes.iter().map(|node| node.clients(haulier));
    let mut clients: Vec<Child> = clients.collect::<Result<_, _>>()?;
    pause(Duration::from_secs(WARM_SECONDS.into()));
    let before = Reading::take(server)?;
    pause(Duration::from_secs(SECONDS.into()));
    let after = Reading::take(server)?;
    for client in &mut clients {
        let status = client.wait().map_err(|why| why.to_string())?;
        if !status.success() {
            return Err(format!("haulier bench ended with {status}"));
        }
    }
    let span = f64::from(SECONDS);
    let busy = (after.busy - before.busy) / TICKS_A_SECOND;
    let database = (after.database - before.database) / TICKS_A_SECOND;
    Ok(((after.tasks - before.tasks) / span, busy / span, database / busy.max(0.01)))
}

/// One server, until this is dropped.
struct Node {
    process: Child,
    url: String,
}

impl Node {
    fn start(haulier: &Path, store: &str) -> Result<Self, String> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .map_err(|why| why.to_string())?;
        let mut command = Command::new(haulier);
        command.args(["serve", "--store", store, "--listen", &free.to_string()]);
        let process = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|why| format!("haulier: {why}"))?;
        let node = Self { process, url: format!("http://{free}") };
        let healthy =
            || run(Command::new(haulier).args(["healthcheck", "--url", &node.url])).is_ok();
        if patiently(60, healthy) { Ok(node) } else { Err(format!("{} never answers", node.url)) }
    }

    /// Producers and workers of this server.
    fn clients(&self, haulier: &Path) -> Result<Child, String> {
        // A little longer than is measured.
        let seconds = (WARM_SECONDS + SECONDS + 3).to_string();
        Command::new(haulier)
            .args(["bench", &self.url, "-w", "lifecycle", "--seconds", &seconds])
            .args(CLIENTS)
            .stdout(Stdio::null())
            .spawn()
            .map_err(|why| format!("haulier: {why}"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _gone = self.process.kill().is_err() || self.process.wait().is_err();
    }
}

/// What was done by now.
struct Reading {
    tasks: f64,
    /// Ticks in which a processor was busy.
    busy: f64,
    /// Ticks of the database's processes.
    database: f64,
}

impl Reading {
    fn take(server: &Server) -> Result<Self, String> {
        let tasks = server.sql("nodes", ENQUEUED)?.parse().map_err(|_| "no count of tasks")?;
        let all = fs::read_to_string("/proc/stat").map_err(|why| format!("/proc/stat: {why}"))?;
        let first = all.lines().next().unwrap_or_default();
        let ticks: Vec<f64> =
            first.split_whitespace().skip(1).filter_map(|ticks| ticks.parse().ok()).collect();
        // user, nice, system; then idle and waiting for a disk; then interrupts.
        let busy = ticks.iter().take(3).chain(ticks.iter().skip(5).take(2)).sum();
        Ok(Self { tasks, busy, database: database_ticks() })
    }
}

/// Ticks of everything that is called `postgres`.
fn database_ticks() -> f64 {
    let Ok(entries) = fs::read_dir("/proc") else { return 0.0 };
    let stats = entries
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok())
        .filter(|stat| stat.contains("(postgres)"));
    stats.map(|stat| ticks(&stat)).sum()
}

/// The ticks in one line of `/proc/N/stat`: in user code and in the kernel.
fn ticks(stat: &str) -> f64 {
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let fields = after_name.split(' ').skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processes_ticks_are_those_in_user_code_and_in_the_kernel() {
        let line = "12 (postgres) S 1 12 12 0 -1 4194560 3 0 0 0 150 25 0 0 20 0 1 0 9";
        assert!((ticks(line) - 175.0).abs() < f64::EPSILON);
    }
}
