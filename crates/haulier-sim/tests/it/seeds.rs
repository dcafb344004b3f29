//! The same seed gives the same history; no seed gives a bad one.

use std::ops::Range;

use haulier_core::probe;
use haulier_sim::world::{self, Backend, Outcome};
use haulier_sim::{check, history};

/// Seeds of the bounded slice.
const SLICE: Range<u64> = 0..300;
/// Seeds that once found something, each with what it was.
const REGRESSIONS: &str = include_str!("regressions.txt");
/// Seeds that gave one of two histories when who waited together was woken in an order of its own.
const VARIED: [u64; 4] =
    [1_795_530_897_614, 1_795_530_897_626, 1_795_530_897_670, 1_795_530_897_691];
/// Rare states that a bounded slice reaches, too.
const REACHED: [&str; 4] =
    ["late settle accepted", "stale refused", "repeat answered", "cancel races complete"];

fn text(outcome: &Outcome) -> String {
    let mut bytes = Vec::new();
    let written = history::write(&outcome.lines, &mut bytes);
    assert!(written.is_ok(), "{written:?}");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn judge(seed: u64, backend: Backend) {
    let outcome = world::run(seed, backend);
    let on = format!("{backend:?}").to_lowercase();
    assert!(
        outcome.findings.is_empty(),
        "seed {seed}:\n{}to repeat it: cargo run -p haulier-sim -- --seed {seed} --on {on}",
        check::report(&outcome.lines, &outcome.findings)
    );
}

/// The seeds that the environment asks for.
fn seeds() -> Range<u64> {
    let Ok(asked) = std::env::var("HAULIER_SEEDS") else { return SLICE };
    let parsed = asked.split_once("..").map(|(from, to)| (from.parse(), to.parse()));
    match parsed {
        Some((Ok(from), Ok(to))) => from..to,
        _ => panic!("HAULIER_SEEDS={asked}: write it as 0..300"),
    }
}

#[test]
fn a_seed_gives_the_same_history_twice_byte_for_byte() {
    for seed in (0..12).chain(VARIED) {
        for backend in [Backend::Memory, Backend::Embedded] {
            let [first, second] = [(); 2].map(|()| text(&world::run(seed, backend)));
            let differs = first.lines().zip(second.lines()).find(|(one, other)| one != other);
            assert!(first == second, "seed {seed} on {backend:?} first differs at {differs:?}");
        }
    }
}

#[test]
fn another_seed_gives_another_history() {
    let [one, other] = [1, 2].map(|seed| text(&world::run(seed, Backend::Memory)));
    assert_ne!(one, other);
}

#[test]
fn no_seed_breaks_a_promise() {
    let seeds = seeds();
    let whole = seeds == SLICE;
    for seed in seeds {
        judge(seed, Backend::of(seed));
    }
    let counts = probe::counts();
    for name in REACHED {
        let reached = counts.iter().find(|(other, _)| *other == name).map(|(_, count)| *count);
        assert!(!whole || reached > Some(0), "no seed reached the state `{name}`");
    }
    probe::report().unwrap();
}

#[test]
fn a_seed_that_once_found_something_finds_it_no_more() {
    for line in REGRESSIONS.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (seed, why) = line.split_once(' ').unwrap_or((line, ""));
        assert!(!why.is_empty(), "{line}: say what the seed found");
        let seed = seed.parse().unwrap();
        judge(seed, Backend::Memory);
        judge(seed, Backend::Embedded);
    }
}
