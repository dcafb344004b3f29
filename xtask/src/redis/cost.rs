//! What a task costs Redis: memory while it waits, and work for its whole life. Counts and the time
//! of Redis's own thread say more on a busy machine than rates do.

use std::process::Command;

use super::server::Server;
use crate::bench::contender::{Contender, Drive, Programs, Workload};
use crate::bench::{Ground, run};

/// A payload of 200 bytes, as everybody has.
const PAYLOAD_BYTES: usize = 200;

/// What was counted since Redis was started.
#[derive(Debug, PartialEq)]
struct Counted {
    scripts: f64,
    commands: f64,
}

/// Measures those who work in batches, and prints a table.
pub fn measure(
    server: &Server,
    programs: &Programs<'_>,
    all: &[Contender],
    tasks: u32,
) -> Result<String, String> {
    let mut table = String::from(
        "| | bytes a waiting task | scripts a 1,000 lifecycles | commands a lifecycle | Redis's \
         thread, µs a lifecycle |\n|---|---|---|---|---|\n",
    );
    for one in all {
        let Some(bytes) = waiting(server, programs, one, tasks)? else { continue };
        let done = f64::from((tasks / one.one_in).max(1));
        let url = server.fresh()?;
        one.round(server, programs, &url, Workload::Lifecycle, tasks)?;
        let Counted { scripts, commands } = counted(&server.ask(&["INFO", "commandstats"])?);
        let time = server.number("cpu", "used_cpu_user_main_thread")?
            + server.number("cpu", "used_cpu_sys_main_thread")?;
        let row = format!(
            "| {} | {bytes:.0} | {:.1} | {:.2} | {:.1} |\n",
            one.name,
            1_000.0 * scripts / done,
            commands / done,
            1e6 * time / done,
        );
        print!("{row}");
        table.push_str(&row);
    }
    Ok(table)
}

/// Bytes that a waiting task takes; nothing of those whose batches are of one.
fn waiting(
    server: &Server,
    programs: &Programs<'_>,
    one: &Contender,
    tasks: u32,
) -> Result<Option<f64>, String> {
    let count = (tasks / one.one_in).max(1).to_string();
    let url = server.fresh()?;
    let before = server.number("memory", "used_memory")?;
    match one.drive {
        Drive::Ours { batch: 1, .. } | Drive::Peer { mode: "default", .. } => return Ok(None),
        Drive::Ours { .. } => {
            let payload = format!("\"{}\"", "x".repeat(PAYLOAD_BYTES - 2));
            let mut enqueue = Command::new(programs.haulier);
            run(enqueue.args(["enqueue", "bench", &payload, "--count", &count, "--url", &url]))?;
        }
        Drive::Peer { by, script, mode } => {
            programs.peer(by, &[script, &url, mode, "fill", &count])?;
        }
    }
    let after = server.number("memory", "used_memory")?;
    Ok(Some((after - before) / f64::from((tasks / one.one_in).max(1))))
}

/// Calls of scripts, and calls of everything else, by whomever.
fn counted(commandstats: &str) -> Counted {
    let mut counted = Counted { scripts: 0.0, commands: 0.0 };
    for line in commandstats.lines() {
        let Some((name, rest)) =
            line.strip_prefix("cmdstat_").and_then(|line| line.split_once(':'))
        else {
            continue;
        };
        let calls = rest.strip_prefix("calls=").and_then(|rest| rest.split(',').next());
        let calls: f64 = calls.and_then(|calls| calls.parse().ok()).unwrap_or_default();
        match name {
            "evalsha" | "eval" => counted.scripts += calls,
            "info" | "ping" => {}
            _ => counted.commands += calls,
        }
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_counted_apart_from_what_they_do() {
        let said = "# Commandstats\r\ncmdstat_evalsha:calls=3,usec=9,usec_per_call=3.00\r\n\
                    cmdstat_hset:calls=12,usec=9\r\ncmdstat_info:calls=2,usec=1\r\n";
        assert_eq!(counted(said), Counted { scripts: 3.0, commands: 12.0 });
    }
}
