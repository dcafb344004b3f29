//! The suite can fail: each bug that is planted is caught by the test that has to, with the promise
//! that it breaks.

use std::process::Command;

use haulier_conformance::prelude::Must;
use haulier_core::probe::{Layer, PLANTS};

const CRASHES: &str =
    "crashes::a_crash_at_any_call_of_the_disk_loses_nothing_that_was_acknowledged";
const RINGS: &str = "crashes::what_a_segment_held_before_is_never_taken_for_what_it_holds_now";
const ENQUEUE: &str = "crashes::an_enqueue_that_was_acknowledged_is_on_the_disk";
const SYNC: &str = "failures::a_sync_that_failed_acknowledges_nothing";
const FLIPS: &str = "damage::a_flipped_bit_anywhere_is_reported_or_changes_nothing";

/// The test that has to catch a bug.
fn catcher(plant: &str) -> &'static str {
    match plant {
        "ack-before-sync" => ENQUEUE,
        "sync-retried" => SYNC,
        "old-segment-replayed" => RINGS,
        "cut-in-the-middle" => FLIPS,
        _ => CRASHES,
    }
}

#[test]
fn every_bug_of_this_layer_is_caught_by_its_name() {
    for plant in PLANTS.iter().filter(|plant| plant.layer == Layer::Crash) {
        let output = Command::new(std::env::current_exe().must())
            .args(["--exact", "--nocapture", catcher(plant.name)])
            .env("HAULIER_PLANT", plant.name)
            .env_remove("HAULIER_CAMPAIGN")
            .output()
            .must();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{} was not caught", plant.name);
        let named = format!("{}:", plant.breaks);
        assert!(said.contains(&named), "{} was caught as something else: {said}", plant.name);
    }
}
