//! The checker can see: a good history in which one thing is changed is found to be bad.

use std::collections::BTreeSet;

use haulier_core::{Held, State};
use haulier_sim::check::{Rules, check};
use haulier_sim::history::{Asked, Got, HeldWord, Line, Settlement, StateWord, What};
use haulier_sim::world::{self, Backend};

/// Changes one line, if it can be changed so that a promise is broken for sure; says which one.
type Mutation = (&'static [&'static str], fn(&mut Line) -> bool);

fn got(line: &mut Line) -> Option<&mut Got> {
    match &mut line.what {
        What::Ok { got, .. } => Some(got),
        _ => None,
    }
}

const MUTATIONS: [Mutation; 8] = [
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
    (&["I3", "I15"], |line| match got(line) {
        // The other way round it would be the store's free choice.
        Some(Got::Beat { held }) if held.0 == Held::Stale => {
            *held = HeldWord(Held::Yes);
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

/// A stale beat may have come when its lease had just run out, and nobody can prove that it had.
fn can_be_proved(lines: &[Line], broken: &[&str]) -> bool {
    !broken.contains(&"I3")
        || lines.iter().any(|line| {
            let settled = Got::Settle(Settlement::Stale);
            matches!(&line.what, What::Ok { got, .. } if *got == settled)
        })
}

#[test]
fn a_good_history_in_which_one_thing_is_changed_is_found_to_be_bad() {
    let mut tried = [0; MUTATIONS.len()];
    let mut caught = [0; MUTATIONS.len()];
    for seed in 0..40 {
        let good = world::run(seed, Backend::Memory).lines;
        if !is_plain(&good) {
            continue;
        }
        for (at, (broken, mutate)) in MUTATIONS.iter().enumerate() {
            // The place is the seed's, so that many places are tried and a failure repeats itself.
            let mut bad = good.clone();
            let from = bad.len() * usize::try_from(seed).unwrap() / 40;
            let changed = bad[from..].iter_mut().any(mutate);
            if !changed || !can_be_proved(&good, broken) {
                continue;
            }
            tried[at] += 1;
            let found: BTreeSet<_> =
                check(&bad, Rules::default()).into_iter().map(|found| found.invariant).collect();
            let named = broken.iter().any(|invariant| found.contains(invariant));
            caught[at] += usize::from(named);
            let sure = !broken.contains(&"I3");
            assert!(named || !sure, "seed {seed}, mutation {at}: {broken:?} among {found:?}");
        }
    }
    assert!(tried.iter().all(|tried| *tried > 0), "{tried:?}: a mutation that is never made");
    assert!(caught.iter().all(|caught| *caught > 0), "{caught:?} of {tried:?}: one is never seen");
}
