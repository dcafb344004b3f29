//! Runs seeds: `haulier-sim --seed 7` shows one, `haulier-sim --seeds 0..10000` judges many.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks")]

use std::io::{self, Write};
use std::ops::Range;
use std::process::ExitCode;
use std::time::Duration;

use haulier_core::{Clock, SystemClock, probe};
use haulier_sim::world::{self, Backend};
use haulier_sim::{check, history};

const USAGE: &str = "\
usage: haulier-sim --seed N [--on memory|embedded]       shows the history, and what is wrong in it
       haulier-sim --seeds A..B [--on memory|embedded]   judges many; shows those that fail
       haulier-sim --minutes N [--on memory|embedded]    judges new ones for so long";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (task, on) = match words.as_slice() {
        [option, value] => ((*option, *value), None),
        [option, value, "--on", on] => ((*option, *value), backend(on)),
        _ => return usage(),
    };
    let ended = match (task, parse(task.1)) {
        (("--seed", seed), _) => seed.parse().map_or(Ok(false), |seed| show(seed, on)),
        (("--seeds", _), Some(seeds)) => judge(seeds, on, |_| true),
        (("--minutes", minutes), _) => minutes.parse().map_or(Ok(false), |m| explore(m, on)),
        _ => return usage(),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(64)
}

fn backend(name: &str) -> Option<Backend> {
    match name {
        "memory" => Some(Backend::Memory),
        "embedded" => Some(Backend::Embedded),
        _ => None,
    }
}

fn parse(seeds: &str) -> Option<Range<u64>> {
    let (from, to) = seeds.split_once("..")?;
    Some(from.parse().ok()?..to.parse().ok()?)
}

fn show(seed: u64, on: Option<Backend>) -> io::Result<bool> {
    let outcome = world::run(seed, on.unwrap_or_else(|| Backend::of(seed)));
    let mut out = io::stdout().lock();
    history::write(&outcome.lines, &mut out)?;
    write!(out, "{}", check::report(&outcome.lines, &outcome.findings))?;
    Ok(outcome.findings.is_empty())
}

/// Seeds that nobody has seen yet: they begin at the present second, a thousand for each.
fn explore(minutes: u64, on: Option<Backend>) -> io::Result<bool> {
    let clock = SystemClock::new();
    let from = clock.wall().0;
    println!("seeds from {from}");
    let until = Duration::from_secs(60 * minutes);
    judge(from..u64::MAX, on, |_| clock.monotonic() < until)
}

fn judge(
    seeds: Range<u64>,
    on: Option<Backend>,
    goes_on: impl Fn(u64) -> bool,
) -> io::Result<bool> {
    let (mut count, mut bad, mut lines, mut tasks) = (0, 0, 0, 0);
    for seed in seeds.take_while(|seed| goes_on(*seed)) {
        count += 1;
        let outcome = world::run(seed, on.unwrap_or_else(|| Backend::of(seed)));
        lines += outcome.lines.len();
        tasks += outcome.tasks;
        if !outcome.findings.is_empty() {
            bad += 1;
            println!("seed {seed}:\n{}", check::report(&outcome.lines, &outcome.findings));
        }
    }
    println!(
        "totals: {count} seeds, {tasks} tasks, {lines} lines of history: {bad} seeds with findings"
    );
    for (name, reached) in probe::counts().into_iter().filter(|(_, reached)| *reached > 0) {
        println!("    {name}: {reached}");
    }
    probe::report()?;
    Ok(bad == 0)
}
