//! Every order of what callers, writer, clock and engine do to the inbox: whatever comes while the
//! engine falls asleep wakes it (L1), and nothing that was taken in is lost. `cargo xtask loom`.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Command;
use std::sync::Arc;
use std::task::Wake;

use haulier_core::probe::{Layer, PLANTS};
use loom::thread;

use super::Inbox;
use crate::log::writer::Written;
use crate::place::Position;

/// Tries every order. A model in which nobody can go on any more says so in its own words; here it
/// means that somebody sleeps although there is something to do.
fn every_order(run: impl Fn() + Sync + Send + 'static) {
    let outcome = catch_unwind(AssertUnwindSafe(|| loom::model(run)));
    if let Err(why) = outcome {
        let said = why.downcast_ref::<String>().map_or("", String::as_str);
        assert!(
            !said.contains("deadlock"),
            "L1: the engine sleeps although something came: {said}"
        );
        resume_unwind(why);
    }
}

fn written() -> Written {
    Written { result: Ok(Position::new(1, 64)), synced: true, spent: Vec::new() }
}

#[test]
fn a_call_that_comes_while_the_engine_falls_asleep_wakes_it() {
    every_order(|| {
        let inbox = Inbox::new();
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let inbox = Arc::clone(&inbox);
                thread::spawn(move || assert!(inbox.ask_to_close().is_some(), "it is open"))
            })
            .collect();
        let mut taken = 0;
        while taken < callers.len() {
            let (_, calls) = inbox.take(None, true, true);
            taken += calls.len();
        }
        callers.into_iter().for_each(|caller| caller.join().unwrap());
    });
}

#[test]
fn a_report_wakes_an_engine_that_wants_no_calls_and_the_call_waits_for_its_turn() {
    every_order(|| {
        let inbox = Inbox::new();
        let (caller, writer) = (Arc::clone(&inbox), Arc::clone(&inbox));
        let caller = thread::spawn(move || caller.ask_to_close().is_some());
        let writer = thread::spawn(move || writer.report(written()));
        let (reports, calls) = inbox.take(None, false, true);
        assert_eq!((reports.len(), calls.len()), (1, 0), "only the report is taken");
        let (_, calls) = inbox.take(None, true, true);
        assert_eq!(calls.len(), 1, "the call was not lost");
        assert!(caller.join().unwrap());
        writer.join().unwrap();
    });
}

#[test]
fn an_alarm_that_rings_while_the_engine_falls_asleep_wakes_it() {
    every_order(|| {
        let inbox = Inbox::new();
        let clock = Arc::clone(&inbox);
        let clock = thread::spawn(move || clock.wake());
        let (reports, calls) = inbox.take(None, true, true);
        assert!(reports.is_empty() && calls.is_empty(), "it woke by the alarm alone");
        clock.join().unwrap();
    });
}

#[test]
fn a_call_at_the_close_is_refused_or_handed_back_and_never_lost() {
    every_order(|| {
        let inbox = Inbox::new();
        let caller = Arc::clone(&inbox);
        let caller = thread::spawn(move || caller.ask_to_close().is_some());
        let handed_back = inbox.close().len();
        let accepted = caller.join().unwrap();
        assert_eq!(handed_back, usize::from(accepted), "what was accepted is handed back");
        assert!(inbox.ask_to_close().is_none(), "a closed inbox takes nothing");
    });
}

#[test]
fn every_bug_that_only_an_order_of_threads_shows_is_planted_here() {
    let of_order = PLANTS.iter().filter(|plant| plant.layer == Layer::Loom);
    let listed: Vec<_> = of_order.map(|plant| (plant.name, plant.breaks)).collect();
    assert_eq!(listed, [("wake-lost", "L1")]);
}

#[test]
fn a_signal_that_comes_before_its_call_is_caught() {
    let test = "inbox::tests::a_call_that_comes_while_the_engine_falls_asleep_wakes_it";
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env("HAULIER_PLANT", "wake-lost")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(said.contains("running 1 test"), "there is no test {test}: {said}");
    assert!(!output.status.success(), "{test} does not catch wake-lost");
    assert!(said.contains("L1: "), "{test} does not name L1: {said}");
}
