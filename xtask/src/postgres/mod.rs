//! `cargo xtask bench-postgres`: what is measured on PostgreSQL, with others beside us on the same
//! server. It takes long and needs a quiet machine, Node and npm; no test waits for it.
//!
//! | words | what is measured |
//! |---|---|
//! | none | everybody at everything, interleaved, medians of `--rounds` |
//! | `--hold MINUTES` | our lifecycles while a transaction is open, and over 1 M finished tasks |
//! | `--servers N` | lifecycles with one server to N, each with clients of its own |
//! | `--designs` | the designs of tables in `benches/postgres/designs`, as plain SQL |
//!
//! Anything whose books do not balance ends the command without a table.

mod contender;
mod designs;
mod hold;
mod nodes;
pub mod server;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use self::contender::{Contender, Programs, Workload};
use self::server::{SETTINGS, Server, run};
use self::table::Row;
use crate::{metadata, root};

const USAGE: &str = "usage: cargo xtask bench-postgres [--rounds N] [--tasks N] [--only NAME] \
                     [--hold MINUTES | --servers N | --designs] [--data DIR]";
/// Of each round.
const ROUNDS: u32 = 5;
const TASKS: u32 = 100_000;

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments {
    rounds: u32,
    tasks: u32,
    only: Option<String>,
    hold: Option<u32>,
    servers: Option<u32>,
    designs: bool,
    data: PathBuf,
}

/// Reads the command line.
pub fn arguments(words: &[&str]) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        rounds: ROUNDS,
        tasks: TASKS,
        only: None,
        hold: None,
        servers: None,
        designs: false,
        data: std::env::temp_dir(),
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if *word == "--designs" {
            arguments.designs = true;
            continue;
        }
        let value = words.next().ok_or(USAGE)?;
        let number = || match value.trim_end_matches('m').parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(format!("{value} is no number above zero\n{USAGE}")),
        };
        match *word {
            "--rounds" => arguments.rounds = number()?,
            "--tasks" => arguments.tasks = number()?,
            "--hold" => arguments.hold = Some(number()?),
            "--servers" => arguments.servers = Some(number()?),
            "--only" => arguments.only = Some((*value).to_owned()),
            "--data" => arguments.data = PathBuf::from(value),
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(arguments)
}

/// Measures.
pub fn measure(arguments: &Arguments) -> Result<(), String> {
    let target = metadata::read()?.target_directory;
    let haulier = target.join("release/haulier");
    if !arguments.designs {
        let words = ["build", "--release", "--locked", "-p", "haulier-cli"];
        run(Command::new("cargo").args(words).current_dir(root()))?;
    }
    let server = Server::start(&arguments.data)?;
    println!("PostgreSQL {}, {SETTINGS}", server.version()?);
    if arguments.designs {
        return designs::compare(&server, arguments.only.as_deref());
    }
    if let Some(minutes) = arguments.hold {
        return hold::measure(&server, &haulier, minutes);
    }
    if let Some(most) = arguments.servers {
        return nodes::measure(&server, &haulier, most);
    }
    let peers = target.join("bench-postgres");
    install(&peers)?;
    let programs = Programs { haulier: &haulier, peers: &peers };
    let rows = rounds(arguments, &server, &programs)?;
    let document = table::document(&server.version()?, SETTINGS, arguments.tasks, &rows);
    let file = peers.join("report.json");
    fs::write(&file, format!("{document:#}\n")).map_err(|why| format!("report: {why}"))?;
    println!("\n{}\n{}", table::markdown(&rows), file.display());
    Ok(())
}

/// Puts the peers and their scripts into a directory of their own.
fn install(into: &Path) -> Result<(), String> {
    fs::create_dir_all(into).map_err(|why| format!("{}: {why}", into.display()))?;
    let scripts = root().join("benches/postgres/peers");
    let entries = fs::read_dir(&scripts).map_err(|why| format!("{}: {why}", scripts.display()))?;
    for entry in entries {
        let entry = entry.map_err(|why| why.to_string())?;
        fs::copy(entry.path(), into.join(entry.file_name())).map_err(|why| why.to_string())?;
    }
    let words = ["install", "--no-audit", "--no-fund", "--loglevel=error"];
    run(Command::new("npm").args(words).current_dir(into)).map(drop)
}

/// Every round of everybody, each on a database of its own, one after the other.
fn rounds(
    arguments: &Arguments,
    server: &Server,
    programs: &Programs<'_>,
) -> Result<Vec<Row>, String> {
    let chosen = |contender: &Contender| {
        arguments.only.as_ref().is_none_or(|only| contender.name.contains(only.as_str()))
    };
    let mut rows: Vec<Row> = Workload::ALL
        .into_iter()
        .flat_map(|workload| {
            let measured = contender::ALL.into_iter().filter(chosen);
            measured
                .filter(move |contender| contender.workloads.contains(&workload))
                .map(move |contender| Row { contender, workload, rounds: Vec::new() })
        })
        .collect();
    for round in 1..=arguments.rounds {
        for row in &mut rows {
            let (name, workload) = (row.contender.name, row.workload);
            server.fresh("bench")?;
            let url = server.url("bench");
            let figures = row
                .contender
                .round(programs, &url, workload, arguments.tasks)
                .map_err(|why| format!("{name}, {}: {why}", workload.name()))?;
            println!("round {round}: {} of {name}: {figures:.1?}", workload.name());
            row.rounds.push(figures);
        }
    }
    Ok(rows)
}

/// Asks until the answer is yes, for at most so many seconds.
fn patiently(seconds: u32, mut yes: impl FnMut() -> bool) -> bool {
    (0..seconds * 10).any(|_| yes() || pause(Duration::from_millis(100)))
}

/// Waits; never a yes.
#[expect(clippy::disallowed_methods, reason = "what is measured is how much happens in that time")]
fn pause(time: Duration) -> bool {
    std::thread::sleep(time);
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_rounds_are_measured_unless_somebody_says_otherwise() {
        let read = |words: &[&str]| arguments(words);
        assert_eq!(read(&[]).map(|read| (read.rounds, read.tasks)), Ok((ROUNDS, TASKS)));
        assert_eq!(read(&["--hold", "10m"]).map(|read| read.hold), Ok(Some(10)));
        assert!(read(&["--hold"]).is_err() && read(&["--rounds", "0"]).is_err());
        assert!(read(&["--nonsense", "1"]).is_err());
    }
}
