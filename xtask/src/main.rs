//! The one door to the repository's checks: what CI runs, anybody can run with the same words.
//!
//! It knows the repository, never the inside of a crate: it starts cargo and reads files.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks")]

mod bench;
mod campaign;
mod codegen;
mod fuzz;
mod gate;
mod guides;
mod loom;
mod metadata;
mod postgres;
mod redis;
mod release;
mod services;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test              everything that CI runs: format, lints, generated code, tidy, tests, documents,
                    examples, guides, quickstart, release
  codegen           makes the protocol's code from its definitions; --check compares
  tidy              the house rules that no compiler checks: sizes, edges, licences, budgets, links
  guides            runs the shell blocks of the guides against a server of its own
  loom              every order of what threads do to the embedded store's inbox
  release           what is shipped holds nothing that tests look into it with
  fuzz              feeds bytes to whatever reads them: [TARGET] [--seconds N], all for 60 s each if
                    left out
  campaign          what is too long for every push: seeds, crashes, faults, fuzzing; [--minutes N],
                    55 if left out
  bench-postgres    others beside us on one PostgreSQL: [--rounds N] [--tasks N]; --hold MINUTES:
                    whether the rate stays while a transaction is open; --servers N: what more
                    servers bring; --designs: of tables
  bench-redis       others beside us on one Redis: [--rounds N] [--tasks N] [--fsync HOW]; --cost:
                    counts only";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test"] => gate::run(),
        ["codegen"] => codegen::run(false),
        ["codegen", "--check"] => codegen::run(true),
        ["tidy"] => tidy::run(),
        ["guides"] => guides::run(),
        ["loom"] => loom::run(),
        ["release"] => release::run(),
        ["fuzz", rest @ ..] => fuzz::arguments(rest).and_then(|(only, time)| fuzz::run(only, time)),
        ["bench-postgres", rest @ ..] => {
            postgres::arguments(rest).and_then(|arguments| postgres::measure(&arguments))
        }
        ["bench-redis", rest @ ..] => {
            redis::arguments(rest).and_then(|arguments| redis::measure(&arguments))
        }
        ["campaign", rest @ ..] => campaign::arguments(rest).and_then(campaign::run),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(format!("there is no command `{}`\n{USAGE}", words.join(" "))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Where the repository is.
fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
