//! `cargo xtask campaign [--minutes N]`: what is too long for every push, run by hand before a
//! release. Every part goes on to its end although another one failed; then a table says what was
//! done, and which rare states were reached. A rare state that nothing reached fails the campaign:
//! a test that never gets there proves nothing.
//!
//! Parts are ordinary tests and tools, which read these variables:
//!
//! | variable | what it asks for |
//! |---|---|
//! | `HAULIER_CAMPAIGN=full` | the long form of a bounded test |
//! | `HAULIER_RARE=file` | append `name<TAB>count` of the rare states that were reached |
//!
//! A line that a part prints after `totals: ` stands in the table.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use haulier_core::probe::RARE;

use crate::{metadata, root};

/// How long a campaign takes unless somebody says otherwise.
const MINUTES: u32 = 55;
/// Of these, what seeds get, and each of so many fuzz targets.
const SEED_MINUTES: u32 = 15;
const FUZZ_SECONDS: u32 = 60;
/// What a part prints before what it has done.
const TOTALS: &str = "totals: ";

/// A part of the campaign: a command line of plain words.
struct Part {
    name: &'static str,
    line: String,
}

/// The parts, for a campaign of so many minutes. Those that try every case take what they take.
fn parts(minutes: u32) -> Vec<Part> {
    let seeds = (minutes * SEED_MINUTES).div_ceil(MINUTES);
    let fuzz = (minutes * FUZZ_SECONDS).div_ceil(MINUTES);
    let part = |name, line: &str| Part { name, line: line.to_owned() };
    vec![
        Part {
            name: "planted bugs",
            line: "cargo test --workspace --locked -- planted is_caught --nocapture".to_owned(),
        },
        Part {
            name: "seeds",
            line: format!("cargo run --release --locked -p haulier-sim -- --minutes {seeds}"),
        },
        part("crashes", "cargo test --locked -p haulier-embedded -- --nocapture"),
        part("orders", "cargo xtask loom"),
        part("streams", "cargo test --locked -p haulier-server"),
        part("faults", "cargo test --locked -p haulier-cli --test nemesis -- --nocapture"),
        Part { name: "fuzzing", line: format!("cargo xtask fuzz --seconds {fuzz}") },
    ]
}

/// How a part went.
struct Done {
    name: &'static str,
    took: Duration,
    failed: Option<String>,
    totals: Vec<String>,
}

/// For how many minutes.
pub fn arguments(words: &[&str]) -> Result<u32, String> {
    match words {
        [] => Ok(MINUTES),
        ["--minutes", number] => match number.parse() {
            Ok(minutes) if minutes > 0 => Ok(minutes),
            _ => Err(format!("{number} is no number of minutes")),
        },
        _ => Err("usage: cargo xtask campaign [--minutes N]".to_owned()),
    }
}

/// Runs every part, and judges.
pub fn run(minutes: u32) -> Result<(), String> {
    let rare = metadata::read()?.target_directory.join("campaign-rare.txt");
    fs::write(&rare, "").map_err(|why| format!("{}: {why}", rare.display()))?;
    let done: Vec<Done> = parts(minutes).iter().map(|part| carry_out(part, &rare)).collect();
    let reached = fs::read_to_string(&rare).map_err(|why| format!("{}: {why}", rare.display()))?;
    let reached = sum(&reached);
    print!("\n{}", table(&done, &reached));
    let failed: Vec<&str> =
        done.iter().filter(|done| done.failed.is_some()).map(|done| done.name).collect();
    let missed: Vec<&str> =
        RARE.iter().copied().filter(|name| !reached.contains_key(name)).collect();
    match (failed.is_empty(), missed.is_empty()) {
        (true, true) => Ok(()),
        (false, _) => Err(format!("these parts failed: {}", failed.join(", "))),
        (true, false) => Err(format!("nothing reached these states: {}", missed.join(", "))),
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a part took is for people only")]
fn now() -> Instant {
    Instant::now()
}

fn carry_out(part: &Part, rare: &Path) -> Done {
    println!("── {}: {}", part.name, part.line);
    let (began, mut totals) = (now(), Vec::new());
    let failed = follow(part, rare, &mut totals).err();
    if let Some(why) = &failed {
        println!("── {} failed: {why}", part.name);
    }
    Done { name: part.name, took: began.elapsed(), failed, totals }
}

/// Runs a part, shows what it prints, and keeps its totals.
fn follow(part: &Part, rare: &Path, totals: &mut Vec<String>) -> Result<(), String> {
    let mut words = part.line.split_whitespace();
    let program = words.next().unwrap_or_default();
    let mut child = Command::new(program)
        .args(words)
        .env("HAULIER_CAMPAIGN", "full")
        .env("HAULIER_RARE", rare)
        .current_dir(root())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|why| format!("{program} could not be started: {why}"))?;
    let said = child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines);
    for line in said {
        let line = line.map_err(|why| format!("what it says cannot be read: {why}"))?;
        println!("{line}");
        // A test harness may print its own words before.
        if let Some((_, total)) = line.split_once(TOTALS) {
            totals.push(total.to_owned());
        }
    }
    let status = child.wait().map_err(|why| why.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("{program} ended with {status}")) }
}

/// Adds up lines of `name<TAB>count`; states that nobody knows are left out.
fn sum(lines: &str) -> BTreeMap<&'static str, u64> {
    let mut sums = BTreeMap::new();
    for (name, count) in lines.lines().filter_map(|line| line.split_once('\t')) {
        let known = RARE.iter().find(|rare| **rare == name);
        if let (Some(known), Ok(count)) = (known, count.parse::<u64>()) {
            *sums.entry(*known).or_default() += count;
        }
    }
    sums
}

fn table(done: &[Done], reached: &BTreeMap<&'static str, u64>) -> String {
    let parts = done.iter().flat_map(|done| {
        let how = if done.failed.is_some() { "FAILED" } else { "passed" };
        let minutes = done.took.as_secs_f64() / 60.0;
        let totals = done.totals.iter().map(|total| format!("{:<16}{total}\n", ""));
        [format!("{:<16}{how:<8}{minutes:>6.1} min\n", done.name)].into_iter().chain(totals)
    });
    let rare = RARE.iter().map(|name| {
        let count = reached.get(name).copied().unwrap_or(0);
        format!("{count:>12}  {name}\n")
    });
    parts.chain(["\nrare states\n".to_owned()]).chain(rare).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_reached_is_added_up_over_all_parts() {
        let sums = sum("tail cut\t2\nstale refused\t1\ntail cut\t3\nno such state\t9\nnonsense\n");
        assert_eq!(sums.get("tail cut"), Some(&5));
        assert_eq!(sums.len(), 2);
    }

    #[test]
    fn a_campaign_takes_as_long_as_it_is_told_and_not_nothing() {
        assert_eq!(arguments(&[]), Ok(MINUTES));
        assert_eq!(arguments(&["--minutes", "5"]), Ok(5));
        assert!(arguments(&["--minutes", "0"]).is_err() && arguments(&["5"]).is_err());
        assert!(parts(1).iter().any(|part| part.line.ends_with("--minutes 1")));
    }

    #[test]
    fn the_table_shows_every_rare_state_and_what_each_part_has_done() {
        let done = Done {
            name: "seeds",
            took: Duration::from_secs(90),
            failed: None,
            totals: vec!["7 seeds".to_owned()],
        };
        let shown = table(&[done], &BTreeMap::from([("tail cut", 4)]));
        assert!(shown.contains("seeds           passed     1.5 min\n                7 seeds\n"));
        assert!(shown.contains("           4  tail cut\n"));
        assert!(RARE.iter().all(|name| shown.contains(name)), "{shown}");
    }
}
