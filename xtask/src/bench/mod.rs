//! Others beside us on one server: what `bench-postgres` and `bench-redis` have in common. Each of
//! them names its contenders and its ground; everything else is here.
//!
//! | where | what |
//! |---|---|
//! | `contender` | who is measured, at what, and how each of them is asked |
//! | `table` | what is published |

pub mod contender;
pub mod table;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use self::contender::{Contender, Programs, Workload};
use self::table::Row;
use crate::root;

/// Of each round.
pub const ROUNDS: u32 = 5;
pub const TASKS: u32 = 100_000;

/// Where rounds take place.
pub trait Ground {
    /// Everything that was written is gone, and does not burden what comes. Answers where it is.
    fn fresh(&self) -> Result<String, String>;

    /// What an operator of ours does once before the first task.
    fn prepare(&self, haulier: &Path, url: &str) -> Result<(), String>;
}

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub struct Amount<'a> {
    /// Rounds of each row.
    pub rounds: u32,
    /// Tasks of a round.
    pub tasks: u32,
    /// A part of the names of those who are measured.
    pub only: Option<&'a str>,
}

impl Amount<'_> {
    /// Whether somebody is measured.
    pub fn takes(&self, contender: &Contender) -> bool {
        self.only.is_none_or(|only| contender.name.contains(only))
    }
}

/// Every round of everybody, one after the other, all rows in turn.
pub fn rounds(
    ground: &dyn Ground,
    programs: &Programs<'_>,
    all: &[Contender],
    amount: Amount<'_>,
) -> Result<Vec<Row>, String> {
    let row = |workload| {
        let measured = all.iter().filter(move |one| amount.takes(one));
        measured.filter(move |one| one.workloads.contains(&workload)).map(move |one| Row {
            contender: *one,
            workload,
            rounds: Vec::new(),
        })
    };
    let mut rows: Vec<Row> = Workload::ALL.into_iter().flat_map(row).collect();
    for round in 1..=amount.rounds {
        for row in &mut rows {
            let (name, workload) = (row.contender.name, row.workload);
            let url = ground.fresh()?;
            let figures = row
                .contender
                .round(ground, programs, &url, workload, amount.tasks)
                .map_err(|why| format!("{name}, {}: {why}", workload.name()))?;
            println!("round {round}: {} of {name}: {figures:.1?}", workload.name());
            row.rounds.push(figures);
        }
    }
    Ok(rows)
}

/// Builds our command; where it is.
pub fn build(target: &Path) -> Result<PathBuf, String> {
    let words = ["build", "--release", "--locked", "-p", "haulier-cli"];
    run(Command::new("cargo").args(words).current_dir(root()))?;
    Ok(target.join("release/haulier"))
}

/// Puts peers and their scripts into a directory of their own: what npm has, and what pip has if
/// there is a list of that.
pub fn install(from: &str, into: &Path) -> Result<(), String> {
    fs::create_dir_all(into).map_err(|why| format!("{}: {why}", into.display()))?;
    let copy = |path: PathBuf| {
        let name = path.file_name().ok_or_else(|| io::Error::other("a path without a name"))?;
        fs::copy(&path, into.join(name)).map(drop)
    };
    let failed = |why: io::Error| format!("the peers' scripts: {why}");
    for entry in fs::read_dir(root().join(from)).map_err(failed)? {
        copy(entry.map_err(failed)?.path()).map_err(failed)?;
    }
    copy(root().join("benches/books.mjs")).map_err(failed)?;
    let words = ["install", "--no-audit", "--no-fund", "--loglevel=error"];
    run(Command::new("npm").args(words).current_dir(into))?;
    if into.join("requirements.txt").exists() {
        run(Command::new("python3").args(["-m", "venv", "python"]).current_dir(into))?;
        let words = ["install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"];
        run(Command::new(into.join("python/bin/pip")).args(words).current_dir(into))?;
    }
    Ok(())
}

/// Runs a command; what it printed.
pub fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|why| format!("{name} could not be started: {why}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    Err(format!("{name} ended with {}\n{}", output.status, said.trim_end()))
}

/// A port that nobody uses.
pub fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|why| why.to_string())?;
    Ok(listener.local_addr().map_err(|why| why.to_string())?.port())
}

/// Asks until the answer is yes, for at most so many seconds.
pub fn patiently(seconds: u32, mut yes: impl FnMut() -> bool) -> bool {
    (0..seconds * 10).any(|_| yes() || pause(Duration::from_millis(100)))
}

/// Waits; never a yes.
#[expect(clippy::disallowed_methods, reason = "what is measured is how much happens in that time")]
pub fn pause(time: Duration) -> bool {
    std::thread::sleep(time);
    false
}
