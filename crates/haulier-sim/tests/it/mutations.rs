//! The checker can see: a good history in which one thing is changed is found to be bad.

use std::collections::BTreeSet;

use haulier_core::State;
use haulier_sim::check::{Rules, check};
use haulier_sim::history::{Asked, Got, Line, StateWord, What};
use haulier_sim::world::{self, Backend};

/// Changes one line, if it can be changed so that a promise is broken for sure; says which one.
type Mutation = (&'static [&'static str], fn(&mut Line) -> bool);

fn got(line: &mut Line) -> Option<&mut Got> {
    match &mut line.what {
        What::Ok { got, .. } => Some(got),
        _ => None,
    }
}

const MUTATIONS: [Mutation; 7] = [
    (&["I9"], |line| match got(line) {
        Some(Got::Lease(Some(granted))) => {
            granted.digest ^= 1;
            true
        }
        _ => false,
    }),
    (&["I6"], |line| match got(line) {
        Some(Got::Lease(Some(granted))) => {
            granted.attempt = 1_000;
            true
        }
        _ => false,
    }),
    (&["I6"], |line| match got(line) {
        Some(Got::Lease(Some(granted))) => {
            granted.losses = 5;
            true
        }
        _ => false,
    }),
    (&["I1", "I12", "I13"], |line| match (&*line.p == "reader", got(line)) {
        (true, Some(Got::Get(view @ Some(_)))) => {
            *view = None;
            true
        }
        _ => false,
    }),
    (&["I12", "I7", "I14"], |line| match (&*line.p == "reader", got(line)) {
        (true, Some(Got::Get(Some(view)))) => {
            let dead = view.state.0 == State::Dead;
            view.state = StateWord(if dead { State::Completed } else { State::Dead });
            true
        }
        _ => false,
    }),
    (&["I14"], |line| match got(line) {
        Some(Got::Count(counts)) => {
            counts.accepted += 1;
            true
        }
        _ => false,
    }),
    (&["L2"], |line| match (&*line.p == "reader", got(line)) {
        (true, Some(Got::Get(Some(view)))) => {
            view.state = StateWord(State::Running);
            true
        }
        _ => false,
    }),
];

/// Histories in which deletions may explain that a task is gone are left out.
fn is_plain(lines: &[Line]) -> bool {
    let deletes = |line: &Line| matches!(line.what, What::Invoke { asked: Asked::Delete(_), .. });
    !lines.iter().any(deletes)
}

#[test]
fn a_good_history_in_which_one_thing_is_changed_is_found_to_be_bad() {
    let mut tried = [0; MUTATIONS.len()];
    for seed in 0..40 {
        let good = world::run(seed, Backend::Memory).lines;
        if !is_plain(&good) {
            continue;
        }
        for (at, (broken, mutate)) in MUTATIONS.iter().enumerate() {
            // The last place where it can be changed: what was read before contradicts it.
            let mut bad = good.clone();
            if !bad.iter_mut().rev().any(mutate) {
                continue;
            }
            tried[at] += 1;
            let found: BTreeSet<_> =
                check(&bad, Rules::default()).into_iter().map(|found| found.invariant).collect();
            let named = broken.iter().any(|invariant| found.contains(invariant));
            assert!(named, "seed {seed}, mutation {at}: {broken:?} are not among {found:?}");
        }
    }
    assert!(tried.iter().all(|tried| *tried > 0), "{tried:?}: a mutation that is never made");
}
