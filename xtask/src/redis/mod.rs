//! `cargo xtask bench-redis`: what is measured on Redis, with others beside us on the same server.
//! It needs a quiet machine, Node, npm and Python; no test waits for it.
//!
//! Anything whose books do not balance ends the command without a table.

mod contenders;
mod cost;
mod server;

use std::fs;
use std::path::PathBuf;

use self::server::Server;
use crate::bench::contender::Programs;
use crate::bench::{self, Amount, Ground as _, ROUNDS, TASKS, table};
use crate::metadata;

const USAGE: &str = "usage: cargo xtask bench-redis [--rounds N] [--tasks N] [--only NAME] \
                     [--fsync always|everysec|no] [--cost] [--data DIR]";

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments {
    rounds: u32,
    tasks: u32,
    only: Option<String>,
    fsync: String,
    /// Counts only: no rates.
    cost: bool,
    data: PathBuf,
}

/// Reads the command line.
pub fn arguments(words: &[&str]) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        rounds: ROUNDS,
        tasks: TASKS,
        only: None,
        fsync: "always".to_owned(),
        cost: false,
        data: std::env::temp_dir(),
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if *word == "--cost" {
            arguments.cost = true;
            continue;
        }
        let value = words.next().ok_or(USAGE)?;
        let number = || match value.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(format!("{value} is no number above zero\n{USAGE}")),
        };
        match (*word, *value) {
            ("--rounds", _) => arguments.rounds = number()?,
            ("--tasks", _) => arguments.tasks = number()?,
            ("--only", name) => arguments.only = Some(name.to_owned()),
            ("--fsync", how @ ("always" | "everysec" | "no")) => {
                how.clone_into(&mut arguments.fsync);
            }
            ("--data", dir) => arguments.data = PathBuf::from(dir),
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(arguments)
}

/// Measures.
pub fn measure(arguments: &Arguments) -> Result<(), String> {
    let target = metadata::read()?.target_directory;
    let haulier = bench::build(&target)?;
    let peers = target.join("bench-redis");
    bench::install("benches/redis/peers", &peers)?;
    let programs = Programs { haulier: &haulier, peers: &peers };
    let server = Server::below(&arguments.data, &arguments.fsync)?;
    server.fresh()?;
    let version = server.info("server", "redis_version")?;
    println!("Redis {version}, {}", server.settings());
    let Arguments { rounds, tasks, .. } = *arguments;
    let amount = Amount { rounds, tasks, only: arguments.only.as_deref() };
    let chosen: Vec<_> = contenders::ALL.into_iter().filter(|one| amount.takes(one)).collect();
    let costs = cost::measure(&server, &programs, &chosen, tasks)?;
    if arguments.cost {
        return Ok(());
    }
    let rows = bench::rounds(&server, &programs, &chosen, amount)?;
    let document = table::document(("redis", &version), &server.settings(), tasks, &rows);
    let file = peers.join("report.json");
    fs::write(&file, format!("{document:#}\n")).map_err(|why| format!("report: {why}"))?;
    println!("\n{}\n{costs}\n{}", table::markdown(&rows), file.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_write_is_synced_unless_somebody_says_otherwise() {
        assert_eq!(arguments(&[]).map(|read| read.fsync), Ok("always".to_owned()));
        let read = arguments(&["--fsync", "everysec", "--cost", "--tasks", "7"]);
        let read = read.map(|read| (read.fsync, read.cost, read.tasks));
        assert_eq!(read, Ok(("everysec".to_owned(), true, 7)));
        assert!(arguments(&["--fsync", "sometimes"]).is_err() && arguments(&["--tasks"]).is_err());
    }
}
