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

mod contenders;
mod designs;
mod hold;
mod nodes;
pub mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use self::server::{SETTINGS, Server};
use crate::bench::contender::Programs;
use crate::bench::{self, Amount, Ground, ROUNDS, TASKS, run, table};
use crate::metadata;

const USAGE: &str = "usage: cargo xtask bench-postgres [--rounds N] [--tasks N] [--only NAME] \
                     [--hold MINUTES | --servers N | --designs] [--data DIR]";
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
    let mut haulier = PathBuf::new();
    if !arguments.designs {
        haulier = bench::build(&target)?;
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
    bench::install("benches/postgres/peers", &peers)?;
    let programs = Programs { haulier: &haulier, peers: &peers };
    let Arguments { rounds, tasks, .. } = *arguments;
    let amount = Amount { rounds, tasks, only: arguments.only.as_deref() };
    let rows = bench::rounds(&server, &programs, &contenders::ALL, amount)?;
    let version = server.version()?;
    let document = table::document(("postgresql", &version), SETTINGS, tasks, &rows);
    let file = peers.join("report.json");
    fs::write(&file, format!("{document:#}\n")).map_err(|why| format!("report: {why}"))?;
    println!("\n{}\n{}", table::markdown(&rows), file.display());
    Ok(())
}

/// Brings our tables in, as an operator does once.
fn migrate(haulier: &Path, url: &str) -> Result<(), String> {
    run(Command::new(haulier).args(["migrate", "up", "--store", url])).map(drop)
}

impl Ground for Server {
    fn fresh(&self) -> Result<String, String> {
        self.renew("bench")?;
        Ok(self.url("bench"))
    }

    fn prepare(&self, haulier: &Path, url: &str) -> Result<(), String> {
        migrate(haulier, url)
    }
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
