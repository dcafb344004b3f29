//! Who is measured, at what, and how each of them is asked. Peers are driven by a script each below
//! `benches`, we by `haulier bench`; both fail when their books do not balance.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{Ground, run};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// Hand over only.
    Enqueue,
    /// Deliver and complete only.
    Drain,
    /// Both at the same time.
    Lifecycle,
    /// From enqueue to start, at 100 a second.
    Latency,
}

/// Somebody who does the work.
#[derive(Debug, Clone, Copy)]
pub struct Contender {
    /// What stands in the table.
    pub name: &'static str,
    /// How it is set up.
    pub how: &'static str,
    /// How it is asked.
    pub drive: Drive,
    /// What a round hands over, of the tasks that were asked for: one in so many.
    pub one_in: u32,
    /// What it is measured at.
    pub workloads: &'static [Workload],
}

/// How somebody is asked.
#[derive(Debug, Clone, Copy)]
pub enum Drive {
    /// `haulier bench` with so many callers and tasks of a call.
    Ours { callers: u32, batch: u32 },
    /// A script, its mode, and what runs it: a program, by its name or where it was installed.
    Peer { by: &'static str, script: &'static str, mode: &'static str },
}

impl Drive {
    /// A script that node runs.
    pub const fn node(script: &'static str, mode: &'static str) -> Self {
        Self::Peer { by: "node", script, mode }
    }
}

use Workload::{Drain, Enqueue, Latency, Lifecycle};

/// Tasks a second of `Latency`, and how long a round of it takes.
const LATENCY_RATE: u32 = 100;
const LATENCY_SECONDS: u32 = 10;

/// Where the programs are.
#[derive(Debug)]
pub struct Programs<'a> {
    /// The release build of the command.
    pub haulier: &'a Path,
    /// Where the peers and their scripts were installed.
    pub peers: &'a Path,
}

impl Programs<'_> {
    /// Runs a peer's script; what it printed.
    pub fn peer(&self, by: &str, words: &[&str]) -> Result<String, String> {
        let installed = self.peers.join(by);
        let program = if installed.exists() { installed } else { PathBuf::from(by) };
        run(Command::new(program).args(words).current_dir(self.peers))
    }
}

impl Workload {
    /// Every one.
    pub const ALL: [Self; 4] = [Enqueue, Drain, Lifecycle, Latency];

    /// As the scripts and the command call it.
    pub fn name(self) -> &'static str {
        match self {
            Enqueue => "enqueue",
            Drain => "drain",
            Lifecycle => "lifecycle",
            Latency => "latency",
        }
    }
}

impl Contender {
    /// One round on empty ground: the figures, a rate or two latencies in milliseconds.
    pub fn round(
        &self,
        ground: &dyn Ground,
        programs: &Programs<'_>,
        url: &str,
        workload: Workload,
        tasks: u32,
    ) -> Result<Vec<f64>, String> {
        let tasks = match workload {
            Latency => LATENCY_RATE * LATENCY_SECONDS,
            _ => (tasks / self.one_in).max(1),
        };
        let count = tasks.to_string();
        match self.drive {
            Drive::Peer { by, script, mode } => {
                let words = [script, url, mode, workload.name(), &count];
                peer(&programs.peer(by, &words)?, workload, tasks)
            }
            Drive::Ours { callers, batch } => {
                ground.prepare(programs.haulier, url)?;
                let mut bench = Command::new(programs.haulier);
                bench.args(["bench", url, "-w", workload.name(), "-o", "json"]);
                match workload {
                    Latency => bench
                        .args(["--rate", &LATENCY_RATE.to_string()])
                        .args(["--seconds", &LATENCY_SECONDS.to_string()]),
                    _ => bench.args(["--tasks", &count]),
                };
                bench.args(["--callers", &callers.to_string(), "--batch", &batch.to_string()]);
                ours(&run(&mut bench)?, tasks)
            }
        }
    }
}

/// What a peer's script printed.
fn peer(printed: &str, workload: Workload, tasks: u32) -> Result<Vec<f64>, String> {
    let value = json(printed)?;
    balanced(&value["tasks"], tasks)?;
    let names: &[&str] = match workload {
        Latency => &["p50_ms", "p99_ms"],
        _ => &["tasks_per_second"],
    };
    let figure = |name: &&str| value["figures"][*name].as_f64().ok_or("a figure is missing");
    Ok(names.iter().map(figure).collect::<Result<_, _>>()?)
}

/// What our command printed: the first figure of a rate is the row's own, a latency has two.
fn ours(printed: &str, tasks: u32) -> Result<Vec<f64>, String> {
    let value = json(printed)?;
    let row = &value["rows"][0];
    balanced(&row["tasks"], tasks)?;
    let figures = row["figures"].as_array().ok_or("a row has no figures")?;
    let rates = figures.iter().filter(|figure| figure["unit"] == "/s").take(1);
    let chosen: Vec<f64> = rates.filter_map(|figure| figure["median"].as_f64()).collect();
    if !chosen.is_empty() {
        return Ok(chosen);
    }
    Ok(figures.iter().filter_map(|figure| figure["median"].as_f64()).take(2).collect())
}

fn json(printed: &str) -> Result<Value, String> {
    // Node may say something of its own first; our report is one document.
    let text = if printed.starts_with("{\n") { printed } else { last_line(printed) };
    serde_json::from_str(text).map_err(|why| format!("no figures: {why}\n{printed}"))
}

fn last_line(printed: &str) -> &str {
    printed.lines().last().unwrap_or_default()
}

fn balanced(said: &Value, tasks: u32) -> Result<(), String> {
    match said.as_u64() {
        Some(done) if done == u64::from(tasks) => Ok(()),
        _ => Err(format!("{said} tasks were done of {tasks}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_whose_books_do_not_balance_has_no_figures() {
        let line = r#"{"tasks":5,"duplicates":0,"figures":{"tasks_per_second":12.5}}"#;
        assert_eq!(peer(line, Drain, 5), Ok(vec![12.5]));
        assert!(peer(line, Drain, 6).is_err() && peer("", Drain, 5).is_err());
        assert!(peer(line, Latency, 5).is_err());
    }

    #[test]
    fn of_our_rows_the_rate_is_taken_or_else_both_latencies() {
        let report =
            |figures: &str| format!("{{\n\"rows\": [{{\"tasks\": 7, \"figures\": [{figures}]}}]}}");
        let rate = r#"{"unit":"/s","median":900.0}"#;
        let late = r#"{"unit":"ms","median":1.5}, {"unit":"ms","median":4.0}"#;
        assert_eq!(ours(&report(&format!("{rate}, {late}")), 7), Ok(vec![900.0]));
        assert_eq!(ours(&report(late), 7), Ok(vec![1.5, 4.0]));
        assert!(ours(&report(rate), 8).is_err());
    }
}
