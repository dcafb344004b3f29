//! `cargo xtask test`: every check in the order in which it fails cheapest, and nothing that CI
//! does beyond it. The first failure ends the run and names the command that repeats it.
//!
//! Artefacts are shared on purpose: lints and documentation use one set, tests, examples and guides
//! another, and only quickstart builds for release, because it is what a stranger types first; the
//! last step looks into that.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::metadata::{self, Metadata};
use crate::postgres::server::Server;
use crate::{bench, codegen, guides, loom, release, root, services, tidy};

/// Runs every step.
pub fn run() -> Result<(), String> {
    let mut gate = Gate::default();
    gate.command("format", "cargo fmt --all --check")?;
    gate.step("tidy", "cargo xtask tidy", tidy::run)?;
    gate.step("generated code", "cargo xtask codegen --check", || codegen::run(true))?;
    gate.command("lints", "cargo clippy --workspace --all-targets --locked -- -D warnings")?;
    gate.command("features", "cargo check -p haulier --no-default-features --locked")?;
    // The fuzz targets are a workspace of their own, whose lock file nothing else would look at.
    gate.command("fuzz targets", "cargo tree --locked --depth 0 --manifest-path fuzz/Cargo.toml")?;
    gate.step("tools", "apt-get install …, as it says", services::provide)?;
    gate.command("tests", "cargo test --workspace --locked")?;
    gate.step("orders", "cargo xtask loom", loom::run)?;
    gate.step("examples", "cargo run -p haulier --example NAME", || examples(&metadata::read()?))?;
    gate.step("guides", "cargo xtask guides", guides::run)?;
    gate.command(
        "documentation",
        "RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps --locked",
    )?;
    gate.command("quickstart", "cargo run --release --locked -- quickstart")?;
    gate.step("release", "cargo xtask release", release::run)?;
    gate.report();
    Ok(())
}

/// What ran so far, and for how long.
#[derive(Default)]
struct Gate {
    steps: Vec<(&'static str, Duration)>,
}

impl Gate {
    /// A step that is one command, written as a person would type it.
    fn command(&mut self, name: &'static str, line: &str) -> Result<(), String> {
        self.step(name, line, || shell(line))
    }

    fn step(
        &mut self,
        name: &'static str,
        repeat: &str,
        run: impl FnOnce() -> Result<(), String>,
    ) -> Result<(), String> {
        println!("── {name}: {repeat}");
        let began = now();
        run().map_err(|why| format!("{name} failed: {why}\n  to repeat it: {repeat}"))?;
        let took = began.elapsed();
        println!("── {name}: passed in {:.1} s\n", took.as_secs_f64());
        self.steps.push((name, took));
        Ok(())
    }

    fn report(&self) {
        for (name, took) in &self.steps {
            println!("{name:<16}{:>8.1} s", took.as_secs_f64());
        }
        let all: Duration = self.steps.iter().map(|(_, took)| *took).sum();
        println!("{:<16}{:>8.1} s: {} steps passed", "in all", all.as_secs_f64(), self.steps.len());
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a step took is for people only")]
fn now() -> Instant {
    Instant::now()
}

/// Runs a command line of plain words in the repository's root; variables may stand before it.
pub fn shell(line: &str) -> Result<(), String> {
    let mut words = line.split_whitespace().peekable();
    let variables: Vec<_> =
        std::iter::from_fn(|| words.next_if(|word| word.contains('='))?.split_once('=')).collect();
    let program = words.next().unwrap_or_default();
    let status = Command::new(program)
        .args(words)
        .envs(variables)
        .current_dir(root())
        .status()
        .map_err(|error| format!("{program} could not be started: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{program} ended with {status}")) }
}

/// Runs every example that the tests have built; each ends by itself and says by its exit code
/// whether what it shows was true. Those that need a database find one with the tables.
fn examples(metadata: &Metadata) -> Result<(), String> {
    if metadata.examples.is_empty() {
        return Err("there is no example in the workspace".to_owned());
    }
    let programs = metadata.target_directory.join("debug");
    let database = Server::start(&std::env::temp_dir())?;
    let url = database.url("postgres");
    bench::run(Command::new(programs.join("haulier")).args(["migrate", "up", "--store", &url]))?;
    for name in &metadata.examples {
        println!("   {name}");
        let path = programs.join("examples").join(name);
        let output = Command::new(&path)
            .current_dir(root())
            .env("DATABASE_URL", &url)
            .output()
            .map_err(|error| format!("{} could not be started: {error}", path.display()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("example {name} ended with {}\n{said}", output.status));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_fails_says_how_to_repeat_it() {
        let mut gate = Gate::default();
        assert!(gate.command("fine", "A=1 B=2 true").is_ok());
        let why = gate.command("broken", "A=1 false").unwrap_err();
        assert!(why.contains("broken failed") && why.ends_with("to repeat it: A=1 false"), "{why}");
    }
}
