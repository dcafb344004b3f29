//! Planted bugs of the rules: the tests of the rules are started again with each, must fail, and
//! must name the promise that is broken.

use std::process::Command;

use crate::probe::{Layer, PLANTS};

/// Each bug of this layer, and the test that has to catch it.
const CAUGHT_BY: &[(&str, &str)] = &[
    ("jitter-downwards", "retry::tests::jitter_only_adds_and_never_more_than_its_share"),
    (
        "attempts-off-by-one",
        "transition::tests::every_event_in_every_state_is_answered_and_keeps_the_invariants",
    ),
];

#[test]
fn every_bug_in_a_rule_is_caught_by_the_tests_of_that_rule() {
    for plant in PLANTS.iter().filter(|plant| plant.layer == Layer::Rules) {
        let test = CAUGHT_BY.iter().find(|(name, _)| *name == plant.name);
        let Some((name, test)) = test else { panic!("nobody catches {}", plant.name) };
        let (holds, said) = run(test, "");
        assert!(holds, "{test} has to hold without a bug: {said}");
        let (holds, said) = run(test, name);
        assert!(!holds, "{test} does not catch {name}");
        let promise = format!("{}: ", plant.breaks);
        assert!(said.contains(&promise), "{test} does not name {}: {said}", plant.breaks);
    }
}

/// Runs one test of this program with a bug planted: whether it held, and what it said.
fn run(test: &str, bug: &str) -> (bool, String) {
    let program = std::env::current_exe();
    let output = program.and_then(|program| {
        Command::new(program)
            .args([test, "--exact", "--nocapture"])
            .env("HAULIER_PLANT", bug)
            // A planted bug is no regression to remember.
            .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1")
            .output()
    });
    let Ok(output) = output else { panic!("the tests could not be started again: {output:?}") };
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains("running 1 test"), "there is no test {test}: {said}");
    (output.status.success(), said)
}
