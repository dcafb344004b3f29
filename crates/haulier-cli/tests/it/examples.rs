//! Every example of every `--help` runs, in the order of the commands, against one server, and one
//! database.

use std::path::Path;
use std::process::Command;

use haulier_sim::nemesis::PgServer;
use rustix::process::Signal;

use crate::kit::{self, HAULIER, Place, Running};

/// The examples of a help text.
fn examples(help: &str) -> Vec<String> {
    let after = help.split("Examples:\n").nth(1).unwrap_or_default();
    after.lines().take_while(|line| !line.is_empty()).map(|line| line.trim().to_owned()).collect()
}

/// The names of the commands below one, as its help lists them.
fn commands(help: &str) -> Vec<String> {
    let after = help.split("Commands:\n").nth(1).unwrap_or_default();
    after
        .lines()
        .take_while(|line| !line.is_empty())
        // Descriptions that are wrapped begin further to the right.
        .filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// All examples below a command, with the command that shows them.
fn collect(place: &Place, path: &[String], found: &mut Vec<(String, String)>) {
    let help = place.run(path.iter().map(String::as_str).chain(["--help"])).ok();
    let own = examples(&help);
    let below = commands(&help);
    assert!(
        !below.is_empty() || !own.is_empty(),
        "haulier {} --help has no example",
        path.join(" ")
    );
    found.extend(own.into_iter().map(|example| (path.join(" "), example)));
    for name in below {
        let path: Vec<String> = path.iter().cloned().chain([name]).collect();
        collect(place, &path, found);
    }
}

fn shell(place: &Place, line: &str) -> Command {
    let mut shell = kit::command("/bin/sh", place.path());
    let bin = Path::new(HAULIER).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    shell
        .env("PATH", path)
        .env("HAULIER_URL", &place.url)
        .args(["-c", &format!("rm -f haulier.toml; {line}")]);
    shell
}

#[test]
fn every_example_of_every_help_runs() {
    let (place, _server) = Place::with_dev();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let database = runtime.block_on(PgServer::create(&dir.path().join("pg"))).unwrap();
    let _worker = place.work("hello", "cat");
    std::fs::write(place.path().join("a-file"), "for the quickstart").unwrap();
    let mut found = Vec::new();
    collect(&place, &[], &mut found);
    for (of, example) in found {
        let example = example
            .replace("http://127.0.0.1:7420", &place.url)
            .replace("postgres://haulier@localhost/app", &database.url());
        let goes_on = ["dev", "serve", "work"].contains(&of.as_str());
        if goes_on {
            run_until_ready(&place, &example);
            continue;
        }
        let ran = kit::finish(shell(&place, &example));
        assert_eq!(ran.code, Some(0), "{example}: {ran:?}");
    }
}

/// Starts what goes on by itself, waits until it does, and ends it.
fn run_until_ready(place: &Place, example: &str) {
    let (before, last) = example.rsplit_once("&& ").unwrap_or(("true", example));
    // The signal is for the program, not for its shell.
    let mut command = shell(place, &format!("{before} && exec {last}"));
    command.env("HAULIER_LISTEN", "127.0.0.1:0");
    let mut running = Running::start(command);
    if last.contains("haulier work") {
        running.wait_for("working");
    } else {
        running.line();
    }
    let status = running.end(Signal::TERM);
    assert!(status.success(), "{example}: {status}");
}
