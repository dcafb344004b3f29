//! The file of bounds: a line for each count, its name, what was measured, and the most that is
//! allowed.

use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counts/bounds.txt");
const HEAD: &str = "\
# What was measured, and the most that is allowed, for each lifecycle of a task of 200 bytes.
# Batches have a thousand tasks, singles one; instructions are those of a build for
# tests, not of a release. `UPDATE=1 cargo test -p haulier-embedded --test counts`
# writes this file; raise a bound only for a reason that the commit tells.
";

/// One writes at a time.
static FILE: Mutex<()> = Mutex::new(());

/// Compares a count with its bound; with `UPDATE` it is written, with `percent` more as the bound.
pub fn check(name: &str, measured: f64, percent: f64) {
    let guard = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let text = std::fs::read_to_string(PATH).unwrap_or_default();
    let mut lines: Vec<(String, f64, f64)> = text.lines().filter_map(parse).collect();
    if std::env::var_os("UPDATE").is_some() {
        lines.retain(|(other, ..)| other != name);
        lines.push((name.to_owned(), measured, measured * (1.0 + percent / 100.0)));
        lines.sort_by(|a, b| a.0.cmp(&b.0));
        let mut text = HEAD.to_owned();
        for (name, measured, bound) in &lines {
            writeln!(text, "{name:<28}{measured:>12.2}{bound:>12.2}").unwrap();
        }
        std::fs::write(PATH, text).unwrap();
    }
    drop(guard);
    let bound = lines.iter().find(|(other, ..)| other == name).map(|(.., bound)| *bound);
    let Some(bound) = bound else { panic!("{name} stands not in {PATH}; UPDATE=1 writes it") };
    assert!(
        measured <= bound + 0.005,
        "{name}: {measured:.2} a lifecycle, and at most {bound:.2} are allowed; make it cheaper, or \
         raise the bound with UPDATE=1 and say why"
    );
}

fn parse(line: &str) -> Option<(String, f64, f64)> {
    let mut words = line.split_whitespace();
    let name = words.next().filter(|name| !name.starts_with('#'))?;
    Some((name.to_owned(), words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}
