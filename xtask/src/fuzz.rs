//! `cargo xtask fuzz [TARGET] [--seconds N]`: builds the fuzz targets on the stable toolchain and
//! lets each of them, or one, look for bytes that break something.
//!
//! What is checked in (`fuzz/corpus`, `fuzz/regressions`) is where it begins and never changes;
//! what it learns stays in the target directory, and so do the bytes that broke something. Put
//! those into `fuzz/regressions/TARGET`: the tests feed them ever after.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{metadata, root};

/// What the compiler has to add, as its own sanitizers would.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module \
                     -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                     -Cllvm-args=-sanitizer-coverage-pc-table";
/// Memory of one target: more is a finding.
const MEMORY_MIB: u32 = 2_048;
/// An input that takes longer is a finding.
const SECONDS_PER_INPUT: u32 = 20;
/// Bytes of an input.
const INPUT_BYTES: u32 = 4_096;
/// How long a target runs if nobody says otherwise.
const SECONDS: u32 = 60;

/// Which target, all if left out, and for how many seconds.
pub fn arguments<'a>(words: &[&'a str]) -> Result<(Option<&'a str>, u32), String> {
    let (only, rest) = match words {
        [name, rest @ ..] if !name.starts_with("--") => (Some(*name), rest),
        rest => (None, rest),
    };
    match rest {
        [] => Ok((only, SECONDS)),
        ["--seconds", number] => {
            let seconds =
                number.parse().map_err(|_| format!("{number} is no number of seconds"))?;
            Ok((only, seconds))
        }
        _ => Err("usage: cargo xtask fuzz [TARGET] [--seconds N]".to_owned()),
    }
}

/// Every target, by its file.
fn targets() -> Result<Vec<String>, String> {
    let entries = fs::read_dir(root().join("fuzz/targets")).map_err(|why| why.to_string())?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut names: Vec<String> =
        paths.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}

/// Runs one target or all, each for so many seconds.
pub fn run(only: Option<&str>, seconds: u32) -> Result<(), String> {
    let targets = targets()?;
    if let Some(name) = only.filter(|name| !targets.iter().any(|known| known == name)) {
        return Err(format!("there is no target `{name}`; there are {}", targets.join(", ")));
    }
    let directory = metadata::read()?.target_directory.join("fuzz");
    let host = build(&directory)?;
    for target in targets.iter().filter(|name| only.is_none_or(|only| only == name.as_str())) {
        println!("── {target}: {seconds} s");
        look(&directory, &host, target, seconds)?;
    }
    Ok(())
}

/// Builds all targets; returns the machine they are for. It is named to cargo, so that build
/// scripts and macros are built without the flags.
fn build(directory: &Path) -> Result<String, String> {
    let version = Command::new("rustc").arg("-vV").output().map_err(|why| why.to_string())?;
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or("rustc -vV names no host")?.to_owned();
    let status = Command::new("cargo")
        .args(["build", "--release", "--locked", "--manifest-path", "fuzz/Cargo.toml"])
        .args(["--target", &host])
        .env("RUSTFLAGS", FLAGS)
        .env("CARGO_TARGET_DIR", directory)
        .current_dir(root())
        .status()
        .map_err(|why| why.to_string())?;
    if status.success() { Ok(host) } else { Err(format!("the targets were not built: {status}")) }
}

fn look(directory: &Path, host: &str, target: &str, seconds: u32) -> Result<(), String> {
    let (learnt, broken) = (directory.join("learnt").join(target), directory.join("broken"));
    for path in [&learnt, &broken] {
        fs::create_dir_all(path).map_err(|why| format!("{}: {why}", path.display()))?;
    }
    let begin = ["corpus", "regressions"].map(|sort| root().join("fuzz").join(sort).join(target));
    let status = Command::new(directory.join(host).join("release").join(target))
        .arg(learnt)
        .args(begin.iter().filter(|path| path.is_dir()))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
        .arg(format!("-timeout={SECONDS_PER_INPUT}"))
        .arg(format!("-max_len={INPUT_BYTES}"))
        .arg(format!("-artifact_prefix={}/{target}-", broken.display()))
        .args(["-print_final_stats=1", "-verbosity=0", "-fork=0"])
        .status()
        .map_err(|why| format!("{target} could not be started: {why}"))?;
    if status.success() {
        return Ok(());
    }
    Err(format!(
        "{target} found bytes that break something ({status}); they are in {}: put them into \
         fuzz/regressions/{target}, where the tests feed them",
        broken.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_and_a_time_are_taken_and_nothing_else() {
        assert_eq!(arguments(&[]), Ok((None, SECONDS)));
        assert_eq!(arguments(&["json", "--seconds", "9"]), Ok((Some("json"), 9)));
        assert_eq!(arguments(&["--seconds", "9"]), Ok((None, 9)));
        assert!(arguments(&["--seconds", "soon"]).is_err() && arguments(&["a", "b"]).is_err());
    }

    #[test]
    fn every_target_has_bytes_to_begin_with() {
        let targets = targets().unwrap();
        assert!(targets.len() >= 7, "{targets:?}");
        for target in targets {
            let corpus = root().join("fuzz/corpus").join(&target);
            let seeds = fs::read_dir(corpus).map(Iterator::count);
            assert!(seeds.is_ok_and(|count| count > 0), "{target} begins with nothing");
        }
    }
}
