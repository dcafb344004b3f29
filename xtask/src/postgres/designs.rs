//! The designs of tables that were considered, as plain SQL that `pgbench` runs: how many whole
//! lifecycles a second each does, in which batches, after a million finished tasks, and while
//! another transaction keeps everything that is dead from being cleaned up. A script fails when a
//! batch is not whole.

use std::process::Stdio;

use super::server::Server;
use crate::bench::run;
use crate::root;

/// What they are called.
const DESIGNS: [(&str, &str); 4] = [
    ("a", "state updated in place, indexed"),
    ("b", "lock, then delete"),
    ("c", "ready and lease"),
    ("d", "one row, and a lease"),
];
const BATCHES: [u32; 4] = [1, 10, 100, 1_000];
const CLIENTS: u32 = 4;
/// While the other transaction is open: the machine shall not be what the rate ends at.
const HELD_CLIENTS: u32 = 1;
/// Of one figure.
const SECONDS: u32 = 5;
/// How long the other transaction is open; rates are taken at its beginning and its end.
const HELD_SECONDS: u32 = 120;
const FINISHED: u32 = 1_000_000;

/// Prints the table, or one row of it.
pub fn compare(server: &Server, only: Option<&str>) -> Result<(), String> {
    let batches = BATCHES.map(|batch| format!("batch {batch}")).join(" | ");
    println!("| design | {batches} | over 1 M finished | held, first | held, last | dead rows |");
    println!("|---|{}", "---|".repeat(BATCHES.len() + 4));
    for (letter, name) in DESIGNS {
        if only.is_some_and(|only| only != letter) {
            continue;
        }
        let mut cells = Vec::new();
        for batch in BATCHES {
            prepare(server, letter)?;
            cells.push(rate(server, letter, batch, CLIENTS)?);
        }
        prepare(server, letter)?;
        fill(server, letter)?;
        cells.push(rate(server, letter, 100, CLIENTS)?);
        prepare(server, letter)?;
        let (first, last) = held(server, letter)?;
        cells.extend([first, last]);
        let dead = "SELECT sum(n_dead_tup) FROM pg_stat_user_tables";
        let dead = server.sql("design", dead)?;
        let cells: Vec<String> = cells.iter().map(|rate| format!("{rate:.0}")).collect();
        println!("| ({letter}) {name} | {} | {dead} |", cells.join(" | "));
    }
    server.forget("design")
}

fn prepare(server: &Server, letter: &str) -> Result<(), String> {
    server.renew("design")?;
    server.sql("design", "CREATE SEQUENCE ids")?;
    let schema = root().join(format!("benches/postgres/designs/{letter}/schema.sql"));
    server.file("design", &schema).map(drop)
}

/// Lifecycles a second.
fn rate(server: &Server, letter: &str, batch: u32, clients: u32) -> Result<f64, String> {
    bench(server, letter, batch, clients, &["-T", &SECONDS.to_string()])
}

fn fill(server: &Server, letter: &str) -> Result<(), String> {
    let each = (FINISHED / 1_000 / CLIENTS).to_string();
    bench(server, letter, 1_000, CLIENTS, &["-t", &each]).map(drop)
}

fn bench(
    server: &Server,
    letter: &str,
    batch: u32,
    clients: u32,
    amount: &[&str],
) -> Result<f64, String> {
    let script = root().join(format!("benches/postgres/designs/{letter}/lifecycle.sql"));
    // What a server remembers: everything up to here was claimed.
    let frontier = server.sql("design", "SELECT coalesce(max(seq), 0) FROM task")?;
    let mut pgbench = server.tool("pgbench");
    pgbench.args(["-n", "-M", "prepared", "-j", "1", "-c", &clients.to_string()]).args(amount);
    pgbench.args(["-D", &format!("n={batch}"), "-D", &format!("frontier={frontier}")]);
    pgbench.args(["-D", &format!("payload={}", "x".repeat(200)), "-f"]).arg(script).arg("design");
    let said = run(pgbench.stdin(Stdio::null()))?;
    let tps = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next());
    let tps: f64 = tps.and_then(|number| number.parse().ok()).ok_or("pgbench says no rate")?;
    Ok(tps * f64::from(batch))
}

/// The rates at the beginning and at the end of another transaction.
fn held(server: &Server, letter: &str) -> Result<(f64, f64), String> {
    rate(server, letter, 100, HELD_CLIENTS)?;
    let _session = server.session("design", super::hold::OPEN)?;
    let slices = HELD_SECONDS / SECONDS;
    let rates = (0..slices).map(|_| rate(server, letter, 100, HELD_CLIENTS));
    let rates: Vec<f64> = rates.collect::<Result<_, _>>()?;
    let mean = |some: &[f64]| some.iter().sum::<f64>() / 2.0;
    Ok((mean(&rates[..2]), mean(&rates[rates.len() - 2..])))
}
